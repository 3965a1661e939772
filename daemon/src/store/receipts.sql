-- One row per paid period: the receipt as it was signed, each naming the one before it.
CREATE TABLE receipts (
    pubkey BLOB NOT NULL REFERENCES containers (pubkey),
    number INTEGER NOT NULL,
    period INTEGER NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 32),
    event TEXT NOT NULL,
    PRIMARY KEY (pubkey, number),
    UNIQUE (pubkey, period)
) STRICT, WITHOUT ROWID;
