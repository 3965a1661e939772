-- What happened to each container, for its owner.
CREATE TABLE history (
    pubkey BLOB NOT NULL REFERENCES containers (pubkey) ON DELETE CASCADE,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    -- The command that did it, where it must not be done twice.
    request_key TEXT UNIQUE,
    PRIMARY KEY (pubkey, seq)
) STRICT, WITHOUT ROWID;
