-- Every operation ever accepted, in order. Nullified ones stay: the audit log shows them.
CREATE TABLE operation (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    did           TEXT NOT NULL,
    cid           TEXT NOT NULL,
    operation     TEXT NOT NULL,              -- JSON, as GET /:did/log gives it
    nullified     INTEGER NOT NULL DEFAULT 0,
    created_at_us INTEGER NOT NULL UNIQUE,    -- whole milliseconds, strictly rising, so that export pages lose nothing
    UNIQUE (did, cid)
) STRICT;

CREATE INDEX operation_of_did ON operation (did, seq);
