-- Browsers that are signed in to the account's own pages.
CREATE TABLE browser_session (
    id TEXT PRIMARY KEY,             -- SHA-256 of what the cookie says, base64url
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    client TEXT,                     -- from where, if that is known
    device TEXT,                     -- what the browser says it is, if it does
    opened_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX browser_session_did ON browser_session (did, opened_us);

-- What an owner is told of a session; NULL in those from before.
ALTER TABLE session ADD COLUMN opened_us INTEGER;
ALTER TABLE session ADD COLUMN used_us INTEGER;
ALTER TABLE session ADD COLUMN client TEXT;

-- What a client called itself when it was allowed.
ALTER TABLE oauth_request ADD COLUMN client_name TEXT;
ALTER TABLE oauth_session ADD COLUMN client_name TEXT;
