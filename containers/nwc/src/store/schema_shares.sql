-- What everybody has of what is for all, so that whoever has most can be found and gives way.

-- Accounts: how many there are, how many of users hold at least so much, and how many hold less than that, but not
-- nothing. `least_msat` is written by the start, which counts anew if it is another one.
CREATE TABLE accounts_size (
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    least_msat INTEGER NOT NULL CHECK (least_msat > 0),
    total      INTEGER NOT NULL CHECK (total >= 0),
    holding    INTEGER NOT NULL CHECK (holding >= 0),
    dust       INTEGER NOT NULL CHECK (dust >= 0)
) STRICT;
INSERT INTO accounts_size (one, least_msat, total, holding, dust)
    SELECT 1, 1, count(*), coalesce(sum(balance_msat > 0 AND key LIKE 'user:%'), 0), 0 FROM ledger_account;
CREATE TRIGGER account_comes AFTER INSERT ON ledger_account
BEGIN UPDATE accounts_size SET total = total + 1; END;
CREATE TRIGGER account_goes AFTER DELETE ON ledger_account
BEGIN UPDATE accounts_size SET total = total - 1; END;
CREATE TRIGGER account_fills AFTER UPDATE OF balance_msat ON ledger_account
WHEN NEW.key LIKE 'user:%' AND ((OLD.balance_msat > 0) <> (NEW.balance_msat > 0)
    OR (OLD.balance_msat >= (SELECT least_msat FROM accounts_size))
        <> (NEW.balance_msat >= (SELECT least_msat FROM accounts_size)))
BEGIN
    UPDATE accounts_size SET
        holding = holding + (NEW.balance_msat >= least_msat) - (OLD.balance_msat >= least_msat),
        dust = dust + (NEW.balance_msat > 0 AND NEW.balance_msat < least_msat)
            - (OLD.balance_msat > 0 AND OLD.balance_msat < least_msat);
END;

-- Open invoices of each payee, by who asked and by whether the payee held money; the house's are counted apart.
CREATE TABLE open_of (
    payee    BLOB    NOT NULL CHECK (length(payee) = 32),
    asked_by TEXT    NOT NULL,
    unfunded INTEGER NOT NULL,
    items    INTEGER NOT NULL CHECK (items >= 0),
    bytes    INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (payee, asked_by, unfunded)
) STRICT, WITHOUT ROWID;
INSERT INTO open_of (payee, asked_by, unfunded, items, bytes)
    SELECT payee, asked_by, unfunded, count(*), sum(bytes) FROM invoice
    WHERE state = 'open' AND asked_by <> 'house' GROUP BY payee, asked_by, unfunded;
ALTER TABLE open_invoices ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0);
UPDATE open_invoices SET bytes = (SELECT coalesce(sum(bytes), 0) FROM open_of);
CREATE TRIGGER invoice_opens_of AFTER INSERT ON invoice WHEN NEW.state = 'open' AND NEW.asked_by <> 'house'
BEGIN
    INSERT INTO open_of (payee, asked_by, unfunded, items, bytes)
        VALUES (NEW.payee, NEW.asked_by, NEW.unfunded, 1, NEW.bytes)
        ON CONFLICT (payee, asked_by, unfunded) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
    UPDATE open_invoices SET bytes = bytes + NEW.bytes;
END;
CREATE TRIGGER invoice_closes_of AFTER UPDATE OF state ON invoice
WHEN OLD.state = 'open' AND NEW.state <> 'open' AND OLD.asked_by <> 'house'
BEGIN
    UPDATE open_of SET items = items - 1, bytes = bytes - OLD.bytes
        WHERE payee = OLD.payee AND asked_by = OLD.asked_by AND unfunded = OLD.unfunded;
    DELETE FROM open_of
        WHERE payee = OLD.payee AND asked_by = OLD.asked_by AND unfunded = OLD.unfunded AND items = 0;
    UPDATE open_invoices SET bytes = bytes - OLD.bytes;
END;
-- What was counted once is taken away as it was counted.
CREATE TRIGGER invoice_keeps_its_size BEFORE UPDATE OF description, metadata, zap_request ON invoice
WHEN OLD.state = 'open'
BEGIN SELECT RAISE(ABORT, 'an invoice keeps its terms'); END;

-- Connections that the house made, counted apart.
ALTER TABLE connection ADD COLUMN house INTEGER NOT NULL DEFAULT 0 CHECK (house IN (0, 1));

-- Answers of each client. Where there is no room the oldest of whichever client has most are forgotten, and no event of
-- that client is taken any more that was signed as early: it could be one of them. Those of the house stay. When a
-- request of before was signed is not known; it may have been dated ahead by ten minutes.
ALTER TABLE request ADD COLUMN signed_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE request ADD COLUMN house INTEGER NOT NULL DEFAULT 0 CHECK (house IN (0, 1));
UPDATE request SET signed_at = at + 600;
CREATE TABLE answers_of (
    client          BLOB    PRIMARY KEY CHECK (length(client) = 32),
    bytes           INTEGER NOT NULL CHECK (bytes >= 0),
    forgotten_until INTEGER,
    -- It held no money at any of its requests. Strangers give way to each other, and not who holds money to them.
    stranger        INTEGER NOT NULL DEFAULT 1 CHECK (stranger IN (0, 1))
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_bytes ON answers_of (bytes, forgotten_until);
CREATE INDEX answers_of_strangers ON answers_of (bytes) WHERE stranger = 1;
INSERT INTO answers_of (client, bytes, stranger)
    SELECT client, sum(400 + octet_length(reply)), 0 FROM request WHERE reply IS NOT NULL GROUP BY client;
UPDATE request_bytes SET bytes = bytes + 200 * (SELECT count(*) FROM answers_of);
ALTER TABLE request_bytes ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0 CHECK (strangers >= 0);
CREATE TRIGGER answers_begin AFTER INSERT ON answers_of
BEGIN
    UPDATE request_bytes SET bytes = bytes + 200, strangers = strangers + NEW.stranger * (200 + NEW.bytes);
END;
CREATE TRIGGER answers_change AFTER UPDATE OF bytes, stranger ON answers_of
BEGIN
    UPDATE request_bytes SET strangers =
        strangers + NEW.stranger * (200 + NEW.bytes) - OLD.stranger * (200 + OLD.bytes);
END;
CREATE TRIGGER answers_end AFTER DELETE ON answers_of
BEGIN
    UPDATE request_bytes SET bytes = bytes - 200, strangers = strangers - OLD.stranger * (200 + OLD.bytes);
END;

DROP TRIGGER request_comes;
CREATE TRIGGER request_comes AFTER INSERT ON request WHEN NEW.house = 0
BEGIN
    UPDATE request_bytes SET bytes = bytes + 400 + coalesce(octet_length(NEW.reply), 0);
    INSERT INTO answers_of (client, bytes)
        SELECT NEW.client, 400 + octet_length(NEW.reply) WHERE NEW.reply IS NOT NULL
        ON CONFLICT (client) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
DROP TRIGGER request_is_answered;
CREATE TRIGGER request_is_answered AFTER UPDATE OF reply ON request WHEN OLD.house = 0 AND OLD.reply IS NULL
BEGIN
    UPDATE request_bytes SET bytes = bytes + octet_length(NEW.reply);
    -- Whoever waited for a payment had the money for it.
    INSERT INTO answers_of (client, bytes, stranger) VALUES (NEW.client, 400 + octet_length(NEW.reply), 0)
        ON CONFLICT (client) DO UPDATE SET bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER request_keeps_its_answer BEFORE UPDATE OF reply ON request
WHEN OLD.reply IS NOT NULL OR NEW.reply IS NULL
BEGIN SELECT RAISE(ABORT, 'what was answered stays answered'); END;
DROP TRIGGER request_goes;
CREATE TRIGGER request_goes AFTER DELETE ON request WHEN OLD.house = 0
BEGIN
    UPDATE request_bytes SET bytes = bytes - 400 - coalesce(octet_length(OLD.reply), 0);
    UPDATE answers_of SET bytes = bytes - 400 - octet_length(OLD.reply)
        WHERE client = OLD.client AND OLD.reply IS NOT NULL;
    DELETE FROM answers_of WHERE client = OLD.client AND bytes = 0 AND forgotten_until IS NULL;
END;
-- Requests that wait, by payer.
CREATE INDEX request_waiting_by_payer ON request (payer, payment_hash) WHERE reply IS NULL;
