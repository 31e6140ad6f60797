-- Counts the ends of what proves an account's owner: an access token of an earlier count opens neither the vault nor the
-- whole account.
ALTER TABLE account ADD COLUMN generation INTEGER NOT NULL DEFAULT 0;
