-- History: what is finished is kept within bounds. How much there is of every key, and of all, is kept by
-- triggers so that asking costs nothing. 600 and 800 bytes stand for a row's numbers and its entries in indexes.
ALTER TABLE payment ADD COLUMN bytes INTEGER NOT NULL GENERATED ALWAYS AS
    (600 + octet_length(bolt11) + coalesce(octet_length(description), 0) + coalesce(octet_length(metadata), 0)
         + coalesce(octet_length(failure), 0)) VIRTUAL;
ALTER TABLE invoice ADD COLUMN bytes INTEGER NOT NULL GENERATED ALWAYS AS
    (800 + octet_length(bolt11) + coalesce(octet_length(description), 0) + coalesce(octet_length(metadata), 0)
         + coalesce(octet_length(zap_request), 0)) VIRTUAL;
-- 1 unless money moved between wallets of ours: a node may report of it again.
ALTER TABLE payment ADD COLUMN outside INTEGER NOT NULL DEFAULT 1 CHECK (outside IN (0, 1));
ALTER TABLE invoice ADD COLUMN outside INTEGER NOT NULL DEFAULT 1 CHECK (outside IN (0, 1));
UPDATE payment SET outside = 0 WHERE state = 'settled' AND EXISTS (
    SELECT 1 FROM invoice i WHERE i.payment_hash = payment.payment_hash AND i.bolt11 = payment.bolt11
        AND i.state = 'settled');
UPDATE invoice SET outside = 0 WHERE state = 'settled' AND EXISTS (
    SELECT 1 FROM payment p WHERE p.payment_hash = invoice.payment_hash AND p.bolt11 = invoice.bolt11
        AND p.state = 'settled');
-- The transaction that paid the invoice, once the payment's own row is gone.
ALTER TABLE invoice ADD COLUMN settle_key TEXT;
CREATE INDEX invoice_settle_key ON invoice (settle_key) WHERE settle_key IS NOT NULL;

CREATE INDEX payment_finished ON payment (created_at) WHERE state IN ('settled', 'failed');
CREATE INDEX payment_finished_by_payer ON payment (payer, created_at) WHERE state IN ('settled', 'failed');
CREATE INDEX invoice_finished ON invoice (created_at) WHERE state = 'settled';

CREATE TABLE history_of (
    pubkey          BLOB    PRIMARY KEY CHECK (length(pubkey) = 32),
    items           INTEGER NOT NULL CHECK (items >= 0),
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    -- What was made at this moment or before may be gone.
    forgotten_until INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX history_by_items ON history_of (items);
CREATE INDEX history_by_bytes ON history_of (bytes);
CREATE TABLE history_size (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    items INTEGER NOT NULL CHECK (items >= 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
INSERT INTO history_of (pubkey, items, bytes)
    SELECT pubkey, count(*), sum(bytes) FROM (
        SELECT payer AS pubkey, bytes FROM payment WHERE state IN ('settled', 'failed')
        UNION ALL SELECT payee, bytes FROM invoice WHERE state = 'settled')
    GROUP BY pubkey;
INSERT INTO history_size (one, items, bytes)
    SELECT 1, coalesce(sum(items), 0), coalesce(sum(bytes), 0) FROM history_of;

-- The two tables say the same: one is the other's sum.
CREATE TRIGGER history_begins AFTER INSERT ON history_of
BEGIN UPDATE history_size SET items = items + NEW.items, bytes = bytes + NEW.bytes; END;
CREATE TRIGGER history_changes AFTER UPDATE OF items, bytes ON history_of
BEGIN UPDATE history_size SET items = items + NEW.items - OLD.items, bytes = bytes + NEW.bytes - OLD.bytes; END;

-- A row leaves as it was and enters as it is; one that stays finished does both.
CREATE TRIGGER payment_left_history AFTER UPDATE OF state, bolt11, description, metadata, failure ON payment
WHEN OLD.state IN ('settled', 'failed')
BEGIN UPDATE history_of SET items = items - 1, bytes = bytes - OLD.bytes WHERE pubkey = OLD.payer; END;
CREATE TRIGGER payment_enters_history AFTER UPDATE OF state, bolt11, description, metadata, failure ON payment
WHEN NEW.state IN ('settled', 'failed')
BEGIN
    INSERT INTO history_of (pubkey, items, bytes) VALUES (NEW.payer, 1, NEW.bytes)
        ON CONFLICT (pubkey) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER payment_went AFTER DELETE ON payment WHEN OLD.state IN ('settled', 'failed')
BEGIN
    UPDATE history_of SET items = items - 1, bytes = bytes - OLD.bytes,
        forgotten_until = max(coalesce(forgotten_until, 0), OLD.created_at) WHERE pubkey = OLD.payer;
END;
CREATE TRIGGER invoice_left_history AFTER UPDATE OF state, description, metadata, zap_request ON invoice
WHEN OLD.state = 'settled'
BEGIN UPDATE history_of SET items = items - 1, bytes = bytes - OLD.bytes WHERE pubkey = OLD.payee; END;
CREATE TRIGGER invoice_enters_history AFTER UPDATE OF state, description, metadata, zap_request ON invoice
WHEN NEW.state = 'settled'
BEGIN
    INSERT INTO history_of (pubkey, items, bytes) VALUES (NEW.payee, 1, NEW.bytes)
        ON CONFLICT (pubkey) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER invoice_went AFTER DELETE ON invoice WHEN OLD.state = 'settled'
BEGIN
    UPDATE history_of SET items = items - 1, bytes = bytes - OLD.bytes,
        forgotten_until = max(coalesce(forgotten_until, 0), OLD.created_at) WHERE pubkey = OLD.payee;
END;

-- Whether the money stayed in the house is known when it moves: both rows are there then.
CREATE TRIGGER invoice_paid_inside AFTER UPDATE OF state ON invoice
WHEN NEW.state = 'settled' AND OLD.state <> 'settled' AND EXISTS (
    SELECT 1 FROM payment WHERE payment_hash = NEW.payment_hash AND bolt11 = NEW.bolt11
        AND state IN ('held', 'dispatched'))
BEGIN UPDATE invoice SET outside = 0 WHERE id = NEW.id; END;
CREATE TRIGGER payment_paid_inside AFTER UPDATE OF state ON payment
WHEN NEW.state = 'settled' AND OLD.state <> 'settled' AND EXISTS (
    SELECT 1 FROM invoice WHERE payment_hash = NEW.payment_hash AND bolt11 = NEW.bolt11 AND state = 'settled')
BEGIN UPDATE payment SET outside = 0 WHERE id = NEW.id; END;

-- Only a compaction deletes what is finished, and nobody what is not.
DROP TRIGGER payment_stays;
CREATE TRIGGER payment_stays BEFORE DELETE ON payment
WHEN OLD.state NOT IN ('settled', 'failed') OR NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'only a compaction deletes finished payments'); END;
DROP TRIGGER invoice_stays;
CREATE TRIGGER invoice_stays BEFORE DELETE ON invoice
WHEN OLD.state NOT IN ('expired', 'cancelled')
    AND (OLD.state <> 'settled' OR NOT EXISTS (SELECT 1 FROM ledger_compacting))
BEGIN SELECT RAISE(ABORT, 'only dead invoices are deleted, and paid ones by a compaction'); END;

-- What a connection spent with payments that went, by day: periods of budgets begin with a day.
CREATE TABLE connection_spent (
    connection INTEGER NOT NULL,
    day        INTEGER NOT NULL,
    msat       INTEGER NOT NULL,
    PRIMARY KEY (connection, day)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER payment_spent AFTER DELETE ON payment
WHEN OLD.state = 'settled' AND EXISTS (SELECT 1 FROM connection WHERE id = OLD.connection)
BEGIN
    INSERT INTO connection_spent (connection, day, msat)
        VALUES (OLD.connection, OLD.created_at / 86400, OLD.amount_msat + OLD.fee_msat)
        ON CONFLICT (connection, day) DO UPDATE SET msat = msat + excluded.msat;
END;
CREATE TRIGGER connection_went AFTER DELETE ON connection
BEGIN DELETE FROM connection_spent WHERE connection = OLD.id; END;

-- Hashes of payments over Lightning whose rows went, for as long as somebody may ask for them again.
CREATE TABLE past_hash (
    payment_hash BLOB    PRIMARY KEY CHECK (length(payment_hash) = 32),
    until        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX past_hash_until ON past_hash (until);
