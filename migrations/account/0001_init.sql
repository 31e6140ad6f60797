-- One account: its keys, its repo, its blobs, and the events on their way out.

CREATE TABLE account (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    did TEXT NOT NULL,
    status TEXT NOT NULL,
    signing_key BLOB NOT NULL,   -- wrapped under the network's master key
    created_us INTEGER NOT NULL
) STRICT;

-- The newest commit. `block` is the signed commit itself.
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    rev TEXT NOT NULL,
    commit_cid BLOB NOT NULL,
    data_cid BLOB NOT NULL,
    block BLOB NOT NULL
) STRICT;

-- Nodes of the current tree, and no others. With a rowid, so that new nodes stand together and a commit, which puts new
-- nodes in place of recent ones, touches few pages; only the small index is in the CIDs' random order.
CREATE TABLE node (
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL UNIQUE,
    rev TEXT NOT NULL,
    block BLOB NOT NULL
) STRICT;

-- Records of the current tree, in the tree's own order: path is collection/rkey.
CREATE TABLE record (
    path TEXT PRIMARY KEY,
    cid BLOB NOT NULL,
    rev TEXT NOT NULL,
    block BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX record_by_cid ON record (cid);

-- Uploaded blobs whose bytes the host keeps.
CREATE TABLE blob (
    cid TEXT PRIMARY KEY,
    mime TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    uploaded_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which record refers to which blob, uploaded or not.
CREATE TABLE blob_reference (
    path TEXT NOT NULL,
    cid TEXT NOT NULL,
    rev TEXT NOT NULL,
    PRIMARY KEY (path, cid)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_reference_by_cid ON blob_reference (cid);

-- Events until the sequencer has synced them. id is microseconds, strictly rising.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,
    seq_at INTEGER NOT NULL,
    frame BLOB NOT NULL
) STRICT;
