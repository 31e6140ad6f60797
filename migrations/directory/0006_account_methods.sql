-- Mails on their way, and for a day what was sent: how often an account asked. What a mail says, with its recipient, is
-- sealed under the master key: it has a code in it.
CREATE TABLE mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    purpose TEXT,                    -- of the code in it; NULL when there is none
    sealed BLOB,                     -- NULL once it was sent or given up
    created_us INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_us INTEGER NOT NULL          -- when it is tried next
) STRICT;

CREATE INDEX mail_due ON mail (due_us, id) WHERE sealed IS NOT NULL;
CREATE INDEX mail_of ON mail (did, purpose, created_us);
CREATE INDEX mail_age ON mail (created_us);

-- Whether the operator gives an account no more invite codes.
ALTER TABLE account ADD COLUMN invites_disabled INTEGER NOT NULL DEFAULT 0;

-- A code alone says whose password is to be reset.
CREATE INDEX mail_code_digest ON mail_code (purpose, digest);

-- Keys that were promised for accounts that are still to come (com.atproto.server.reserveSigningKey), wrapped.
CREATE TABLE reserved_key (
    subject TEXT PRIMARY KEY,        -- a DID; the key itself, a did:key, where none was named
    wrapped BLOB NOT NULL,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX reserved_key_age ON reserved_key (created_us);
