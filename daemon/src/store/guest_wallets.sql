-- The connection to its account that a container's app was given: a key of its own, never the container's.
CREATE TABLE guest_wallets (
    id INTEGER PRIMARY KEY,
    pubkey BLOB NOT NULL REFERENCES containers (pubkey) ON DELETE CASCADE,
    -- The wallet that it is a connection of.
    wallet BLOB NOT NULL CHECK (length(wallet) = 32),
    -- The key that uses it, and its secret, sealed by the service key to itself; wiped at its end.
    client BLOB NOT NULL UNIQUE CHECK (length(client) = 32),
    secret TEXT,
    -- Whoever had it shall have it no more; the row stays until the wallet has heard so.
    ended INTEGER NOT NULL DEFAULT 0 CHECK (ended IN (0, 1)),
    CHECK ((secret IS NULL) = (ended = 1))
) STRICT;
-- One at a time.
CREATE UNIQUE INDEX guest_wallets_open ON guest_wallets (pubkey) WHERE ended = 0;
