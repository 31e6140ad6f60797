-- The last commit that each DID told of, so that listing repos asks no account. Empty for one that has told of none
-- since; its cell is asked once then.
ALTER TABLE source ADD COLUMN head BLOB;
ALTER TABLE source ADD COLUMN rev TEXT;
