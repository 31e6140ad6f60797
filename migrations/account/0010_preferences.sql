-- What the account's owner set in apps (app.bsky.actor.putPreferences): private, so sealed under the master key, as one
-- JSON list.
CREATE TABLE preferences (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    sealed BLOB NOT NULL,
    count INTEGER NOT NULL
) STRICT;
