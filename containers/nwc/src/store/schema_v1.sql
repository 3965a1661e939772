-- What the file belongs to: service key, node key, network.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Keys that the administrator admitted; only looked at where there is one.
CREATE TABLE registration (
    pubkey        BLOB PRIMARY KEY CHECK (length(pubkey) = 32),
    registered_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Invoices of this wallet, in both senses of "incoming": asked for, and paid.
CREATE TABLE invoice (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_hash     BLOB    NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    -- Null only where somebody else holds it (a hold invoice).
    preimage         BLOB    CHECK (length(preimage) = 32),
    payee            BLOB    NOT NULL CHECK (length(payee) = 32),
    -- 1 if the payee asked for it itself.
    own              INTEGER NOT NULL CHECK (own IN (0, 1)),
    -- 1 if the payee had never been paid when it was made.
    unfunded         INTEGER NOT NULL CHECK (unfunded IN (0, 1)),
    bolt11           TEXT    NOT NULL,
    amount_msat      INTEGER NOT NULL CHECK (amount_msat > 0),
    description      TEXT,
    description_hash BLOB    CHECK (length(description_hash) = 32),
    metadata         TEXT,
    zap_request      TEXT,
    state            TEXT    NOT NULL CHECK (state IN ('open', 'claiming', 'settled', 'expired', 'cancelled')),
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    -- The last second in which a payment is honoured: the expiry, and what is allowed after it.
    accept_until     INTEGER NOT NULL CHECK (accept_until >= expires_at),
    settled_at       INTEGER,
    received_msat    INTEGER CHECK (received_msat > 0),
    CHECK ((state = 'settled') = (settled_at IS NOT NULL AND received_msat IS NOT NULL)),
    CHECK (state <> 'settled' OR preimage IS NOT NULL)
) STRICT;
CREATE INDEX invoice_by_payee ON invoice (payee, created_at);
CREATE INDEX invoice_settled ON invoice (payee, created_at) WHERE state = 'settled';
CREATE INDEX invoice_open ON invoice (accept_until) WHERE state = 'open';
CREATE INDEX invoice_open_by_payee ON invoice (payee, own, accept_until) WHERE state = 'open';
CREATE INDEX invoice_dead ON invoice (accept_until) WHERE state IN ('expired', 'cancelled');

-- How many invoices are open, kept by triggers so that asking costs nothing.
CREATE TABLE open_invoices (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    total    INTEGER NOT NULL CHECK (total >= 0),
    unfunded INTEGER NOT NULL CHECK (unfunded >= 0)
) STRICT;
INSERT INTO open_invoices (one, total, unfunded) VALUES (1, 0, 0);

CREATE TRIGGER invoice_opens AFTER INSERT ON invoice WHEN NEW.state = 'open'
BEGIN UPDATE open_invoices SET total = total + 1, unfunded = unfunded + NEW.unfunded; END;
CREATE TRIGGER invoice_closes AFTER UPDATE OF state ON invoice WHEN OLD.state = 'open' AND NEW.state <> 'open'
BEGIN UPDATE open_invoices SET total = total - 1, unfunded = unfunded - OLD.unfunded; END;
CREATE TRIGGER invoice_steps BEFORE UPDATE OF state ON invoice
WHEN NOT (OLD.state = 'open' AND NEW.state IN ('claiming', 'settled', 'expired', 'cancelled')
       OR OLD.state = 'claiming' AND NEW.state = 'settled')
BEGIN SELECT RAISE(ABORT, 'an invoice does not step that way'); END;
CREATE TRIGGER invoice_is_final
BEFORE UPDATE OF id, payment_hash, payee, own, unfunded, bolt11, amount_msat, created_at, expires_at, accept_until
ON invoice
BEGIN SELECT RAISE(ABORT, 'an invoice keeps its terms'); END;
CREATE TRIGGER invoice_stays BEFORE DELETE ON invoice WHEN OLD.state NOT IN ('expired', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'only dead invoices are deleted'); END;

-- Payments of this wallet's users. One row per payer and hash: a retry after a failure is another attempt.
CREATE TABLE payment (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    payer            BLOB    NOT NULL CHECK (length(payer) = 32),
    payment_hash     BLOB    NOT NULL CHECK (length(payment_hash) = 32),
    bolt11           TEXT    NOT NULL,
    amount_msat      INTEGER NOT NULL CHECK (amount_msat > 0),
    -- What is set aside for fees while the payment is in flight.
    reserve_msat     INTEGER NOT NULL CHECK (reserve_msat >= 0),
    fee_msat         INTEGER NOT NULL DEFAULT 0 CHECK (fee_msat >= 0),
    attempt          INTEGER NOT NULL CHECK (attempt > 0),
    state            TEXT    NOT NULL CHECK (state IN ('held', 'dispatched', 'settled', 'failed')),
    preimage         BLOB    CHECK (length(preimage) = 32),
    failure          TEXT,
    description      TEXT,
    description_hash BLOB    CHECK (length(description_hash) = 32),
    metadata         TEXT,
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    settled_at       INTEGER,
    UNIQUE (payment_hash, payer),
    CHECK ((state = 'settled') = (settled_at IS NOT NULL AND preimage IS NOT NULL))
) STRICT;
-- A hash is paid once, by whomever; a second payer could only take the first one's proof.
CREATE UNIQUE INDEX payment_live ON payment (payment_hash) WHERE state <> 'failed';
CREATE INDEX payment_by_payer ON payment (payer, created_at);
CREATE INDEX payment_settled ON payment (payer, created_at) WHERE state = 'settled';
CREATE INDEX payment_in_flight ON payment (state) WHERE state IN ('held', 'dispatched');

CREATE TRIGGER payment_steps BEFORE UPDATE OF state ON payment
WHEN NOT (OLD.state = 'held' AND NEW.state IN ('dispatched', 'settled', 'failed')
       OR OLD.state = 'dispatched' AND NEW.state IN ('settled', 'failed')
       OR OLD.state = 'failed' AND NEW.state IN ('held', 'settled'))
BEGIN SELECT RAISE(ABORT, 'a payment does not step that way'); END;
CREATE TRIGGER payment_is_final BEFORE UPDATE OF id, payer, payment_hash ON payment
BEGIN SELECT RAISE(ABORT, 'a payment keeps its name'); END;
CREATE TRIGGER payment_stays BEFORE DELETE ON payment
BEGIN SELECT RAISE(ABORT, 'a payment is never deleted'); END;
