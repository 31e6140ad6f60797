-- Handles on domains of their owners are looked at again, since whoever has a domain may lose it: when next, and since when
-- one leads to its account no more, while it does not. Those under the service's domains are never looked at (NULL). Which
-- of the accounts that are there already are whose is not known here: all are due once.
ALTER TABLE account ADD COLUMN handle_check_us INTEGER DEFAULT 0;
ALTER TABLE account ADD COLUMN handle_failed_us INTEGER;

CREATE INDEX account_handle_check ON account (handle_check_us) WHERE handle_check_us IS NOT NULL;

-- From where an account was signed in to with its password, so that its owner is told of a sign-in from elsewhere. Nobody
-- can read there who or what it was: it is told apart by a keyed digest.
CREATE TABLE known_device (
    did TEXT NOT NULL REFERENCES account (did) ON DELETE CASCADE,
    device BLOB NOT NULL,            -- HMAC of address and program
    seen_us INTEGER NOT NULL,        -- when it was last signed in from there
    told_us INTEGER,                 -- when its owner was told of it, if they were
    PRIMARY KEY (did, device)
) STRICT, WITHOUT ROWID;
