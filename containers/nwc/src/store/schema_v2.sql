-- Invoices, written anew: hold invoices add a state and what a node still has to be told.
CREATE TABLE invoice_v2 (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_hash     BLOB    NOT NULL UNIQUE CHECK (length(payment_hash) = 32),
    -- Null only where the payee holds it (a hold invoice that was not settled).
    preimage         BLOB    CHECK (length(preimage) = 32),
    payee            BLOB    NOT NULL CHECK (length(payee) = 32),
    own              INTEGER NOT NULL CHECK (own IN (0, 1)),
    unfunded         INTEGER NOT NULL CHECK (unfunded IN (0, 1)),
    bolt11           TEXT    NOT NULL,
    amount_msat      INTEGER NOT NULL CHECK (amount_msat > 0),
    description      TEXT,
    description_hash BLOB    CHECK (length(description_hash) = 32),
    metadata         TEXT,
    zap_request      TEXT,
    state            TEXT    NOT NULL
        CHECK (state IN ('open', 'accepted', 'claiming', 'settled', 'expired', 'cancelled')),
    created_at       INTEGER NOT NULL,
    expires_at       INTEGER NOT NULL,
    accept_until     INTEGER NOT NULL CHECK (accept_until >= expires_at),
    settled_at       INTEGER,
    received_msat    INTEGER CHECK (received_msat > 0),
    -- A hold invoice: for how long money from another wallet of ours may be locked in.
    hold_secs        INTEGER CHECK (hold_secs > 0),
    -- While accepted: the last second (money from another wallet of ours) or the height (money from
    -- outside) by which the payee must settle.
    settle_until     INTEGER,
    settle_height    INTEGER,
    -- What the node must be told: 'claim' or 'reject'. Told again after a crash.
    node_intent      TEXT    CHECK (node_intent IN ('claim', 'reject')),
    CHECK ((state = 'settled') = (settled_at IS NOT NULL AND received_msat IS NOT NULL)),
    CHECK (state NOT IN ('claiming', 'settled') OR preimage IS NOT NULL),
    CHECK (preimage IS NOT NULL OR hold_secs IS NOT NULL),
    CHECK ((state = 'accepted') = (settle_until IS NOT NULL OR settle_height IS NOT NULL)),
    CHECK (settle_until IS NULL OR settle_height IS NULL)
) STRICT;
INSERT INTO invoice_v2 (id, payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, description,
        description_hash, metadata, zap_request, state, created_at, expires_at, accept_until, settled_at,
        received_msat)
    SELECT id, payment_hash, preimage, payee, own, unfunded, bolt11, amount_msat, description, description_hash,
        metadata, zap_request, state, created_at, expires_at, accept_until, settled_at, received_msat FROM invoice;
DROP TABLE invoice;
ALTER TABLE invoice_v2 RENAME TO invoice;

CREATE INDEX invoice_by_payee ON invoice (payee, created_at);
CREATE INDEX invoice_settled ON invoice (payee, created_at) WHERE state = 'settled';
CREATE INDEX invoice_open ON invoice (accept_until) WHERE state = 'open';
CREATE INDEX invoice_open_by_payee ON invoice (payee, own, accept_until) WHERE state = 'open';
CREATE INDEX invoice_dead ON invoice (accept_until) WHERE state IN ('expired', 'cancelled');
CREATE INDEX invoice_locked_in ON invoice (payee) WHERE state IN ('accepted', 'claiming');
CREATE INDEX invoice_intent ON invoice (id) WHERE node_intent IS NOT NULL;

CREATE TRIGGER invoice_opens AFTER INSERT ON invoice WHEN NEW.state = 'open'
BEGIN UPDATE open_invoices SET total = total + 1, unfunded = unfunded + NEW.unfunded; END;
CREATE TRIGGER invoice_closes AFTER UPDATE OF state ON invoice WHEN OLD.state = 'open' AND NEW.state <> 'open'
BEGIN UPDATE open_invoices SET total = total - 1, unfunded = unfunded - OLD.unfunded; END;
CREATE TRIGGER invoice_steps BEFORE UPDATE OF state ON invoice
WHEN NOT (OLD.state = 'open' AND NEW.state IN ('accepted', 'claiming', 'settled', 'expired', 'cancelled')
       OR OLD.state = 'accepted' AND NEW.state IN ('claiming', 'settled', 'cancelled')
       OR OLD.state = 'claiming' AND NEW.state = 'settled')
BEGIN SELECT RAISE(ABORT, 'an invoice does not step that way'); END;
CREATE TRIGGER invoice_is_final
BEFORE UPDATE OF id, payment_hash, payee, own, unfunded, bolt11, amount_msat, created_at, expires_at, accept_until,
    hold_secs
ON invoice
BEGIN SELECT RAISE(ABORT, 'an invoice keeps its terms'); END;
CREATE TRIGGER invoice_stays BEFORE DELETE ON invoice WHEN OLD.state NOT IN ('expired', 'cancelled')
BEGIN SELECT RAISE(ABORT, 'only dead invoices are deleted'); END;
CREATE TRIGGER invoice_told BEFORE DELETE ON invoice WHEN OLD.node_intent IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'the node was not told yet'); END;

-- What the house takes for a payment, set aside with it; and through which connection it was asked for.
ALTER TABLE payment ADD COLUMN service_fee_msat INTEGER NOT NULL DEFAULT 0 CHECK (service_fee_msat >= 0);
ALTER TABLE payment ADD COLUMN connection INTEGER;
CREATE INDEX payment_by_connection ON payment (connection, created_at) WHERE connection IS NOT NULL;
CREATE INDEX payment_in_flight_by_payer ON payment (payer) WHERE state IN ('held', 'dispatched');

-- Further keys of a wallet. Each connection has a service key of its own, so that a client uses it on
-- purpose: a key that somebody entered here without asking keeps its own wallet at the main key.
CREATE TABLE connection (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    service       BLOB    NOT NULL UNIQUE CHECK (length(service) = 32),
    secret        BLOB    NOT NULL CHECK (length(secret) = 32),
    client        BLOB    NOT NULL CHECK (length(client) = 32),
    owner         BLOB    NOT NULL CHECK (length(owner) = 32),
    name          TEXT    NOT NULL,
    methods       TEXT    NOT NULL,
    notifications INTEGER NOT NULL CHECK (notifications IN (0, 1)),
    budget_msat   INTEGER CHECK (budget_msat > 0),
    renewal       TEXT    NOT NULL CHECK (renewal IN ('daily', 'weekly', 'monthly', 'yearly', 'never')),
    expires_at    INTEGER,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER
) STRICT;
CREATE INDEX connection_by_owner ON connection (owner) WHERE revoked_at IS NULL;

-- Requests that change something, with their answers, written together with what they change: an event
-- is acted on once, whatever happens. Without an answer: it waits for the outcome of a payment.
CREATE TABLE request (
    event        BLOB    PRIMARY KEY CHECK (length(event) = 32),
    client       BLOB    NOT NULL CHECK (length(client) = 32),
    service      BLOB    NOT NULL CHECK (length(service) = 32),
    scheme       TEXT    NOT NULL CHECK (scheme IN ('nip44', 'nip04')),
    payer        BLOB    CHECK (length(payer) = 32),
    payment_hash BLOB    CHECK (length(payment_hash) = 32),
    reply        TEXT,
    at           INTEGER NOT NULL,
    CHECK (reply IS NOT NULL OR (payer IS NOT NULL AND payment_hash IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX request_answered ON request (at) WHERE reply IS NOT NULL;
CREATE INDEX request_waiting ON request (payment_hash, payer) WHERE reply IS NULL;
