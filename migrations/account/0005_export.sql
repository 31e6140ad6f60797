-- Archives that were made: the owner is to see when keys have left.
CREATE TABLE export (
    id INTEGER PRIMARY KEY,
    made_us INTEGER NOT NULL,
    moving INTEGER NOT NULL
) STRICT;
