-- Containers, built-ins included.
CREATE TABLE containers (
    pubkey BLOB PRIMARY KEY CHECK (length(pubkey) = 32),
    seckey BLOB NOT NULL CHECK (length(seckey) = 32),
    -- What the guest API admits, hex.
    token TEXT NOT NULL UNIQUE,
    -- Number of the container's network: its bridge and its addresses; null once it is over and wiped.
    slot INTEGER UNIQUE,
    -- Name of a built-in; null for what somebody launched.
    builtin TEXT UNIQUE,
    -- Who launched it, and with which command; null for a built-in.
    owner BLOB CHECK (length(owner) = 32),
    request_key TEXT UNIQUE,
    units INTEGER NOT NULL CHECK (units > 0),
    holds_units INTEGER NOT NULL CHECK (holds_units IN (0, 1)),
    -- What was agreed, and what it takes to run it; never changes.
    spec TEXT NOT NULL,
    state TEXT NOT NULL,
    invoice TEXT,
    balance_msat INTEGER NOT NULL DEFAULT 0,
    app BLOB CHECK (length(app) = 32),
    reason TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    CHECK ((builtin IS NULL) = (owner IS NOT NULL))
) STRICT;
CREATE INDEX containers_owner ON containers (owner);

-- Ports of the server, and whose they are.
CREATE TABLE ports (
    port INTEGER PRIMARY KEY CHECK (port BETWEEN 1 AND 65535),
    pubkey BLOB NOT NULL REFERENCES containers (pubkey) ON DELETE CASCADE
) STRICT;

-- One row per charge: the intent first, then its invoice, then its proof.
CREATE TABLE charges (
    pubkey BLOB NOT NULL REFERENCES containers (pubkey),
    period INTEGER NOT NULL,
    amount_msat INTEGER NOT NULL CHECK (amount_msat >= 0),
    invoice TEXT,
    payment_hash TEXT,
    preimage TEXT,
    created_at INTEGER NOT NULL,
    paid_at INTEGER,
    PRIMARY KEY (pubkey, period)
) STRICT, WITHOUT ROWID;

-- One row per payment that an owner asked for.
CREATE TABLE withdrawals (
    request_key TEXT PRIMARY KEY,
    pubkey BLOB NOT NULL REFERENCES containers (pubkey),
    invoice TEXT NOT NULL,
    amount_msat INTEGER NOT NULL CHECK (amount_msat > 0),
    preimage TEXT,
    fees_msat INTEGER,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Single facts, such as the time of the last heartbeat.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
