-- How many bytes of commits' events the account has sent on which day (days since the Unix epoch), in the row that each
-- commit writes anyway.
ALTER TABLE head ADD COLUMN sent_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN sent_bytes INTEGER NOT NULL DEFAULT 0;
