-- New nodes are mostly replaced within a few commits; those that last are settled, many at a time. Each kind has an index of
-- its own: a commit touches the small one, and leaves the large one, which is in the CIDs' random order, alone.

CREATE TABLE node_settled (
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL,
    rev TEXT NOT NULL,
    block BLOB NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0 CHECK (settled IN (0, 1))
) STRICT;
INSERT INTO node_settled (id, cid, rev, block, settled) SELECT id, cid, rev, block, 1 FROM node;
DROP TABLE node;
ALTER TABLE node_settled RENAME TO node;
CREATE INDEX node_new ON node (cid) WHERE settled = 0;
CREATE INDEX node_old ON node (cid) WHERE settled = 1;
