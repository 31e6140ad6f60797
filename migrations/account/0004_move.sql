-- Moving between hosts.

-- A repo that is being rebuilt from an archive: there is no account until it is whole.
CREATE TABLE import (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    did TEXT NOT NULL,
    signing_key BLOB NOT NULL,   -- wrapped under the network's master key
    rev TEXT NOT NULL,           -- of the commit that it must come to
    commit_cid BLOB NOT NULL,    -- that commit
    data_cid BLOB NOT NULL       -- root of the tree so far
) STRICT;

-- The key that may change the DID document during a move: on the old host until the account is gone from there, on the
-- new one until the document names that.
CREATE TABLE move_key (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    did_key TEXT NOT NULL,
    wrapped BLOB NOT NULL
) STRICT;
