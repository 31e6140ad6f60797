-- What a sign-in needs beside the password, or in its place. An account that has none of it has one factor.

-- Codes by time.
CREATE TABLE totp (
    did TEXT PRIMARY KEY REFERENCES account (did) ON DELETE CASCADE,
    sealed BLOB NOT NULL,            -- the secret, under a key derived from the master key
    is_on INTEGER NOT NULL DEFAULT 0, -- 0 until a code of it was shown
    last_step INTEGER NOT NULL DEFAULT 0, -- the step whose code was used last
    created_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Codes on paper, each good once: digests of 80 random bits.
CREATE TABLE recovery_code (
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    digest BLOB NOT NULL,
    PRIMARY KEY (did, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE passkey (
    id BLOB PRIMARY KEY,             -- as its authenticator named it
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    name TEXT NOT NULL,
    public_key TEXT NOT NULL,        -- multikey
    sign_count INTEGER NOT NULL,
    may_be_copied INTEGER NOT NULL,  -- whether its authenticator says that it can be on several devices
    created_us INTEGER NOT NULL,
    used_us INTEGER,
    refused_us INTEGER               -- when it was last shown with a counter that had gone back
) STRICT, WITHOUT ROWID;

CREATE INDEX passkey_did ON passkey (did, created_us);

-- Challenges that a passkey has answered: none is answered twice.
CREATE TABLE passkey_challenge (
    challenge BLOB PRIMARY KEY,
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX passkey_challenge_age ON passkey_challenge (expires_us);

-- Browsers that have shown a password, and not yet what is needed beside it.
CREATE TABLE half_sign_in (
    browser BLOB PRIMARY KEY,        -- digest of what the browser was given with that
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    proof BLOB NOT NULL,             -- what was shown, DAG-CBOR
    expires_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX half_sign_in_did ON half_sign_in (did, expires_us);
