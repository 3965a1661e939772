-- Messages about money and ends that relays have not taken yet: sealed as they go out, for each way that they go.
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL CHECK (length(id) = 32),
    way TEXT NOT NULL,
    receiver BLOB NOT NULL CHECK (length(receiver) = 32),
    event TEXT NOT NULL,
    is_customer INTEGER NOT NULL CHECK (is_customer IN (0, 1)),
    at INTEGER NOT NULL,
    UNIQUE (id, way)
) STRICT;
