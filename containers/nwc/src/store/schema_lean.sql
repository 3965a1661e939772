-- The same rules for less work: the writer is what bounds how much can be paid.

-- How many requests of a client are remembered, those that wait included, so that nobody counts rows.
DROP TRIGGER request_comes;
DROP TRIGGER request_is_answered;
DROP TRIGGER request_goes;
DROP TRIGGER answers_change;
ALTER TABLE answers_of ADD COLUMN items INTEGER NOT NULL DEFAULT 0 CHECK (items >= 0);
-- Whoever waited for a payment had the money for it. From now on who makes the row says whether its client has any.
INSERT INTO answers_of (client, bytes, stranger)
    SELECT DISTINCT client, 0, 0 FROM request WHERE house = 0 AND client NOT IN (SELECT client FROM answers_of);
UPDATE answers_of SET items = (SELECT count(*) FROM request r WHERE r.client = answers_of.client AND r.house = 0);

CREATE TRIGGER request_comes AFTER INSERT ON request WHEN NEW.house = 0
BEGIN
    UPDATE request_bytes SET bytes = bytes + 400 + coalesce(octet_length(NEW.reply), 0);
    INSERT INTO answers_of (client, items, bytes)
        VALUES (NEW.client, 1, coalesce(400 + octet_length(NEW.reply), 0))
        ON CONFLICT (client) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER request_is_answered AFTER UPDATE OF reply ON request WHEN OLD.house = 0 AND OLD.reply IS NULL
BEGIN
    UPDATE request_bytes SET bytes = bytes + octet_length(NEW.reply);
    UPDATE answers_of SET bytes = bytes + 400 + octet_length(NEW.reply) WHERE client = NEW.client;
END;
CREATE TRIGGER request_goes AFTER DELETE ON request WHEN OLD.house = 0
BEGIN
    UPDATE request_bytes SET bytes = bytes - 400 - coalesce(octet_length(OLD.reply), 0);
    UPDATE answers_of SET items = items - 1, bytes = bytes - coalesce(400 + octet_length(OLD.reply), 0)
        WHERE client = OLD.client;
    DELETE FROM answers_of WHERE client = OLD.client AND items = 0 AND forgotten_until IS NULL;
END;
CREATE TRIGGER answers_change AFTER UPDATE OF bytes, stranger ON answers_of WHEN OLD.stranger = 1 OR NEW.stranger = 1
BEGIN
    UPDATE request_bytes SET strangers =
        strangers + NEW.stranger * (200 + NEW.bytes) - OLD.stranger * (200 + OLD.bytes);
END;

-- Whether money stays in the house is written by whoever moves it, in the same statement.
DROP TRIGGER invoice_paid_inside;
DROP TRIGGER payment_paid_inside;

-- One index lists a payer's payments: all of them, those that are settled, and those that are finished.
DROP INDEX payment_settled;
DROP INDEX payment_finished_by_payer;
DROP INDEX payment_by_payer;
CREATE INDEX payment_by_payer ON payment (payer, created_at, state);
