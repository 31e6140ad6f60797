-- The directory cell: who belongs to the network, and how they prove it.
-- Times are microseconds since the epoch. No secret rests here in the clear: passwords are Argon2id strings, random
-- secrets are SHA-256 digests, keys are wrapped under the master key.

CREATE TABLE account (
    did TEXT PRIMARY KEY,
    handle TEXT UNIQUE,              -- lower case; NULL once deleted
    email TEXT UNIQUE,               -- lower case
    email_confirmed_us INTEGER,
    password_hash TEXT,
    kind TEXT NOT NULL CHECK (kind IN ('person', 'agent')),
    status TEXT NOT NULL
        CHECK (status IN ('pending', 'active', 'deactivated', 'suspended', 'takendown', 'deleted')),
    deactivated_us INTEGER,          -- outlives a takedown, so that lifting one does not activate
    delete_after_us INTEGER,         -- the owner's wish, given when deactivating
    takedown_reference TEXT,
    display_name TEXT,
    model TEXT,
    config TEXT,                     -- an agent's own JSON, opaque here
    invite_code TEXT,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX account_age ON account (created_us, did);
CREATE INDEX account_kind_age ON account (kind, created_us, did);
CREATE INDEX account_pending ON account (created_us) WHERE status = 'pending';

-- What a signup needs to go on after a crash; gone once the account is complete.
CREATE TABLE reservation (
    did TEXT PRIMARY KEY REFERENCES account (did) ON DELETE CASCADE,
    plc_operation TEXT,              -- signed genesis operation, JSON; NULL when the account brings its own DID
    signing_key BLOB NOT NULL        -- wrapped
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
    id TEXT PRIMARY KEY,             -- jti of the refresh token
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    app_password TEXT,               -- name of the app password that opened it
    expires_us INTEGER NOT NULL,
    next_id TEXT                     -- set once rotated: every repetition gets the same successor
) STRICT, WITHOUT ROWID;

CREATE INDEX session_did ON session (did, app_password);

CREATE TABLE app_password (
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('plain', 'privileged', 'vault')),
    created_us INTEGER NOT NULL,
    PRIMARY KEY (did, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE agent_token (
    digest BLOB PRIMARY KEY,
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX agent_token_did ON agent_token (did);

CREATE TABLE invite_code (
    code TEXT PRIMARY KEY,
    uses INTEGER NOT NULL CHECK (uses > 0),
    disabled INTEGER NOT NULL DEFAULT 0,
    for_account TEXT NOT NULL,       -- a DID, or 'admin'
    created_by TEXT NOT NULL,
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX invite_code_account ON invite_code (for_account);

CREATE TABLE invite_use (
    code TEXT NOT NULL REFERENCES invite_code (code),
    used_by TEXT NOT NULL,
    used_us INTEGER NOT NULL,
    PRIMARY KEY (code, used_by)
) STRICT, WITHOUT ROWID;

-- Codes sent by mail, one a purpose.
CREATE TABLE mail_code (
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_us INTEGER NOT NULL,
    PRIMARY KEY (did, purpose)
) STRICT, WITHOUT ROWID;

CREATE TABLE secret (
    name TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- What other cells must hear; the host drains it.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    did TEXT NOT NULL,
    notice BLOB NOT NULL
) STRICT;
