-- Changes of several steps, and an agent's first token.

-- What is being done to an account, until its last step is done.
CREATE TABLE flow (
    did TEXT PRIMARY KEY,
    flow BLOB NOT NULL,              -- DAG-CBOR; see src/directory/flow.rs
    begun_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Whether the one who made the agent has yet to be given its first token.
ALTER TABLE account ADD COLUMN token_owed INTEGER NOT NULL DEFAULT 0;
