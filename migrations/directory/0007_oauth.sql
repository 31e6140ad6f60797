-- OAuth: what an owner is being asked to grant, and what they granted. A request for which nobody signed in is in no table.

CREATE TABLE oauth_request (
    id TEXT PRIMARY KEY,             -- SHA-256 of the request_uri, base64url
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    request BLOB NOT NULL,           -- DAG-CBOR; see src/directory/oauth/consent.rs
    browser BLOB NOT NULL,           -- digest of what the browser was given at the sign-in
    proof BLOB NOT NULL,             -- what was signed in with, DAG-CBOR
    code BLOB UNIQUE,                -- digest of the code, once granted
    is_over INTEGER NOT NULL DEFAULT 0,
    created_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_request_did ON oauth_request (did, created_us);

CREATE TABLE oauth_session (
    id TEXT PRIMARY KEY,
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    client_id TEXT NOT NULL,
    client_key TEXT,                 -- thumbprint of the key that a confidential client began with
    dpop_jkt TEXT NOT NULL,          -- thumbprint of the key that tokens are bound to
    scope TEXT NOT NULL,
    code BLOB NOT NULL UNIQUE,       -- digest of the code that began it: who shows that again ends it
    code_challenge TEXT NOT NULL,
    number INTEGER NOT NULL,         -- of the refresh token that is good; one with a lower number ends it
    created_us INTEGER NOT NULL,
    refreshed_us INTEGER NOT NULL,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX oauth_session_did ON oauth_session (did, refreshed_us);
CREATE INDEX oauth_session_challenge ON oauth_session (code_challenge, created_us);
