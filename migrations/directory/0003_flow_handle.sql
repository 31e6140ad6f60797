-- A handle that an account is being given is kept for it from the first step on.
ALTER TABLE flow ADD COLUMN handle TEXT;
CREATE UNIQUE INDEX flow_by_handle ON flow (handle) WHERE handle IS NOT NULL;
