-- The network's event log.

-- Every event that consumers may still ask for. seq counts microseconds and so is the event's age as well.
CREATE TABLE event (
    seq INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    frame BLOB NOT NULL
) STRICT;
CREATE INDEX event_by_source ON event (source, seq);

-- Every DID that ever sent an event. An event is taken only when its outbox id is above last_outbox_id.
CREATE TABLE source (
    id INTEGER PRIMARY KEY,
    did TEXT NOT NULL UNIQUE,
    last_outbox_id INTEGER NOT NULL,
    remove_before INTEGER        -- the seq of its `#account deleted`, until the rows before that are gone
) STRICT;
CREATE INDEX source_to_remove ON source (id) WHERE remove_before IS NOT NULL;

-- What is known beyond the rows there are: last_seq the newest number whose row is gone, expired_seq the newest whose
-- row expired. The newest number ever given is last_seq or the newest row's.
CREATE TABLE head (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_seq INTEGER NOT NULL,
    expired_seq INTEGER NOT NULL
) STRICT;
INSERT INTO head (id, last_seq, expired_seq) VALUES (1, 0, 0);
