-- Who asked for an invoice, each with a part of its own: its payee, another Nostr key, somebody over HTTP, or the
-- house (the server around the wallet, for itself and its containers).
ALTER TABLE invoice ADD COLUMN asked_by TEXT NOT NULL DEFAULT 'payee'
    CHECK (asked_by IN ('payee', 'key', 'web', 'house'));
UPDATE invoice SET asked_by = 'key' WHERE own = 0;
DROP INDEX invoice_open_by_payee;
CREATE INDEX invoice_open_by_payee ON invoice (payee, asked_by, accept_until) WHERE state = 'open';

-- The house's open invoices, counted apart.
ALTER TABLE open_invoices ADD COLUMN house INTEGER NOT NULL DEFAULT 0 CHECK (house >= 0);
DROP TRIGGER invoice_opens;
DROP TRIGGER invoice_closes;
CREATE TRIGGER invoice_opens AFTER INSERT ON invoice WHEN NEW.state = 'open'
BEGIN UPDATE open_invoices SET total = total + 1, unfunded = unfunded + NEW.unfunded,
    house = house + (NEW.asked_by = 'house'); END;
CREATE TRIGGER invoice_closes AFTER UPDATE OF state ON invoice WHEN OLD.state = 'open' AND NEW.state <> 'open'
BEGIN UPDATE open_invoices SET total = total - 1, unfunded = unfunded - OLD.unfunded,
    house = house - (OLD.asked_by = 'house'); END;
CREATE TRIGGER invoice_keeps_who_asked BEFORE UPDATE OF asked_by ON invoice
BEGIN SELECT RAISE(ABORT, 'an invoice keeps its terms'); END;

-- Receipts that wait: of one payee at most 100, of all at most 5,000. Beyond that the oldest of that payee is given
-- up, or the oldest of whichever payee has most of them: whoever zaps itself in circles crowds out its own.
DROP TRIGGER zap_is_paid;
CREATE TRIGGER zap_is_paid AFTER UPDATE OF state ON invoice
WHEN NEW.state = 'settled' AND OLD.state <> 'settled' AND NEW.zap_request IS NOT NULL
BEGIN
    INSERT OR IGNORE INTO zap_receipt (invoice_id, request_id, payee, next_at)
    VALUES (NEW.id, json_extract(NEW.zap_request, '$.id'), NEW.payee, NEW.settled_at);
    UPDATE zap_receipt SET next_at = NULL WHERE invoice_id = (
        SELECT min(invoice_id) FROM zap_receipt
        WHERE payee = NEW.payee AND next_at IS NOT NULL HAVING count(*) > 100);
    UPDATE zap_receipt SET next_at = NULL WHERE invoice_id = (
        SELECT min(invoice_id) FROM zap_receipt WHERE next_at IS NOT NULL AND payee =
            CASE WHEN (SELECT count(*) FROM zap_receipt WHERE next_at IS NOT NULL) > 5000
            THEN (SELECT payee FROM zap_receipt WHERE next_at IS NOT NULL
                  GROUP BY payee ORDER BY count(*) DESC LIMIT 1) END);
END;
