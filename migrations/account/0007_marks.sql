-- What a cell needs when it wakes, without reading all it has.

-- Nodes that are not settled, counted with each commit.
ALTER TABLE head ADD COLUMN new_nodes INTEGER NOT NULL DEFAULT 0;
UPDATE head SET new_nodes = (SELECT count(*) FROM node WHERE settled = 0);

-- What a memory says, and what a fact states, as marks under a key of the agent's own: the same is found again without
-- opening all. They go with the row, as the key does. A memory without is marked when the next one is kept; one that does
-- not open has an empty mark.
ALTER TABLE keyring ADD COLUMN content BLOB;
ALTER TABLE keyring ADD COLUMN statement BLOB;
CREATE INDEX keyring_content ON keyring (content) WHERE content IS NOT NULL;
CREATE INDEX keyring_statement ON keyring (statement) WHERE statement IS NOT NULL;
CREATE INDEX keyring_unmarked ON keyring (rkey) WHERE content IS NULL;
