-- Bytes of the frames of the events up to bytes_through, for the log is bounded in bytes as well. Those of later events are
-- counted when the log is opened, so that an append writes no row more.
ALTER TABLE head ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN bytes_through INTEGER NOT NULL DEFAULT 0;
