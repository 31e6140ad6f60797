-- When the points that the account's writes took will be paid off, in the short window and in the long one (microseconds
-- since the Unix epoch), in the row that each commit writes anyway.
ALTER TABLE head ADD COLUMN paid_short_us INTEGER NOT NULL DEFAULT 0;
ALTER TABLE head ADD COLUMN paid_long_us INTEGER NOT NULL DEFAULT 0;
