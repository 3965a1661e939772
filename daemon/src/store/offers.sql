-- Containers that their owners offer to other keys, which have not accepted.
CREATE TABLE offers (
    pubkey BLOB PRIMARY KEY REFERENCES containers (pubkey) ON DELETE CASCADE,
    heir BLOB NOT NULL CHECK (length(heir) = 32),
    -- The last second in which it can be accepted.
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
