-- Rows of the outbox are written over in place of coming and going: theirs are the slots 0 to 63. The slot of any other row is
-- its id, so that those are in the order of their ids.
CREATE TABLE outbox_slots (
    slot INTEGER PRIMARY KEY,
    id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    seq_at INTEGER NOT NULL,
    frame BLOB NOT NULL
) STRICT;
INSERT INTO outbox_slots (slot, id, kind, seq_at, frame) SELECT id, id, kind, seq_at, frame FROM outbox;
DROP TABLE outbox;
ALTER TABLE outbox_slots RENAME TO outbox;
