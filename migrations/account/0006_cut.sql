-- Whether the write-ahead log still holds a key that was ended: it has to be cut. By triggers, so that no write that ends
-- a key is forgotten. Without OR IGNORE, in whose place the policy of the statement that fires a trigger would stand.
CREATE TABLE cut_owed (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

CREATE TRIGGER keyring_deleted AFTER DELETE ON keyring
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;
CREATE TRIGGER keyring_overwritten AFTER UPDATE OF wrapped ON keyring
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;
CREATE TRIGGER key_epoch_ended AFTER UPDATE OF wrapped ON key_epoch
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;
CREATE TRIGGER key_epoch_deleted AFTER DELETE ON key_epoch
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;
CREATE TRIGGER key_root_deleted AFTER DELETE ON key_root
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;
CREATE TRIGGER move_key_deleted AFTER DELETE ON move_key
    BEGIN INSERT INTO cut_owed (id) SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM cut_owed); END;

-- What was ended before this was kept track of.
INSERT INTO cut_owed (id) VALUES (1);
