-- Keys, each wrapped under the one above it: master (not here), root, epoch, data key. See src/vault/keyring.rs.

CREATE TABLE key_root (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    wrapped BLOB NOT NULL,
    created_us INTEGER NOT NULL
) STRICT;

-- A destroyed epoch keeps its row, without its key, so that "destroyed" and "never was" stay apart.
CREATE TABLE key_epoch (
    id INTEGER PRIMARY KEY CHECK (id > 0),
    wrapped BLOB,
    created_us INTEGER NOT NULL,
    destroyed_us INTEGER,
    CHECK ((wrapped IS NULL) = (destroyed_us IS NOT NULL))
) STRICT;

-- The newest data key of each sealed record. Deleting a row is forgetting the record.
CREATE TABLE keyring (
    rkey TEXT PRIMARY KEY,
    version INTEGER NOT NULL CHECK (version > 0),
    epoch INTEGER NOT NULL REFERENCES key_epoch (id),
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX keyring_epoch ON keyring (epoch);
