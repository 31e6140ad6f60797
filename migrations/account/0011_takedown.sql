-- What moderators took down. The repo stays as it is; records and blobs named here are shown to nobody.
CREATE TABLE record_takedown (
    path TEXT PRIMARY KEY,           -- collection/rkey; outlives the record, so that it does not come back by being rewritten
    reference TEXT NOT NULL          -- the moderators' own
) STRICT, WITHOUT ROWID;

CREATE TABLE blob_takedown (
    cid TEXT PRIMARY KEY,
    reference TEXT NOT NULL
) STRICT, WITHOUT ROWID;
