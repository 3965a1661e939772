-- Names of Lightning addresses. A name is its key's for ever: who was paid under it once must not be
-- impersonated by the next one who likes it.
CREATE TABLE lightning_name (
    name      TEXT    PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    pubkey    BLOB    NOT NULL CHECK (length(pubkey) = 32),
    -- When its key chose it last; the newest one is shown, all of them are served.
    chosen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX lightning_name_by_key ON lightning_name (pubkey, chosen_at);
CREATE TRIGGER lightning_name_is_kept BEFORE UPDATE OF name, pubkey ON lightning_name
BEGIN SELECT RAISE(ABORT, 'a name keeps its key'); END;

-- Zap receipts (NIP-57) that are to be published, and those that were. One for each zap request,
-- however often somebody has the same request paid.
CREATE TABLE zap_receipt (
    invoice_id INTEGER PRIMARY KEY,
    request_id TEXT    NOT NULL UNIQUE,
    payee      BLOB    NOT NULL CHECK (length(payee) = 32),
    -- The relays that need it no more: a JSON list of their addresses.
    settled    TEXT    NOT NULL DEFAULT '[]',
    attempts   INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- When to try (again); null once there is nothing left to do.
    next_at    INTEGER
) STRICT;
CREATE INDEX zap_receipt_due ON zap_receipt (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX zap_receipt_waiting ON zap_receipt (payee) WHERE next_at IS NOT NULL;

-- Written with the payment itself, by whichever way it came, so that no crash can lose it. Of one payee
-- at most 1,000 wait, of all 20,000: whoever zaps itself in circles fills no disk and delays no other's.
CREATE TRIGGER zap_is_paid AFTER UPDATE OF state ON invoice
WHEN NEW.state = 'settled' AND OLD.state <> 'settled' AND NEW.zap_request IS NOT NULL
 AND (SELECT count(*) FROM zap_receipt WHERE payee = NEW.payee AND next_at IS NOT NULL) < 1000
 AND (SELECT count(*) FROM zap_receipt WHERE next_at IS NOT NULL) < 20000
BEGIN
    INSERT OR IGNORE INTO zap_receipt (invoice_id, request_id, payee, next_at)
    VALUES (NEW.id, json_extract(NEW.zap_request, '$.id'), NEW.payee, NEW.settled_at);
END;
