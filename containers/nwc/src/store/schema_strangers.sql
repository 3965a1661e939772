-- History of keys that hold nothing, counted apart: what costs nothing displaces nothing of those who hold money. Kept
-- where a balance comes to hold, or holds no more; `least_msat` is written by the start, which looks anew then.
ALTER TABLE history_of ADD COLUMN stranger INTEGER NOT NULL DEFAULT 1 CHECK (stranger IN (0, 1));
ALTER TABLE history_size ADD COLUMN strangers INTEGER NOT NULL DEFAULT 0 CHECK (strangers >= 0);
UPDATE history_of SET stranger = NOT EXISTS (SELECT 1 FROM ledger_account
    WHERE key = 'user:' || lower(hex(pubkey)) AND balance_msat >= (SELECT least_msat FROM accounts_size));
UPDATE history_size SET strangers = (SELECT coalesce(sum(bytes), 0) FROM history_of WHERE stranger = 1);
CREATE INDEX history_of_strangers ON history_of (bytes) WHERE stranger = 1;

DROP TRIGGER history_begins;
CREATE TRIGGER history_begins AFTER INSERT ON history_of
BEGIN
    UPDATE history_size SET items = items + NEW.items, bytes = bytes + NEW.bytes,
        strangers = strangers + NEW.bytes * NEW.stranger;
    UPDATE history_of SET stranger = 0 WHERE pubkey = NEW.pubkey AND EXISTS (SELECT 1 FROM ledger_account
        WHERE key = 'user:' || lower(hex(NEW.pubkey)) AND balance_msat >= (SELECT least_msat FROM accounts_size));
END;
DROP TRIGGER history_changes;
CREATE TRIGGER history_changes AFTER UPDATE OF items, bytes, stranger ON history_of
BEGIN
    UPDATE history_size SET items = items + NEW.items - OLD.items, bytes = bytes + NEW.bytes - OLD.bytes,
        strangers = strangers + NEW.bytes * NEW.stranger - OLD.bytes * OLD.stranger;
END;
DROP TRIGGER account_fills;
CREATE TRIGGER account_fills AFTER UPDATE OF balance_msat ON ledger_account
WHEN NEW.key LIKE 'user:%' AND ((OLD.balance_msat > 0) <> (NEW.balance_msat > 0)
    OR (OLD.balance_msat >= (SELECT least_msat FROM accounts_size))
        <> (NEW.balance_msat >= (SELECT least_msat FROM accounts_size)))
BEGIN
    UPDATE accounts_size SET
        holding = holding + (NEW.balance_msat >= least_msat) - (OLD.balance_msat >= least_msat),
        dust = dust + (NEW.balance_msat > 0 AND NEW.balance_msat < least_msat)
            - (OLD.balance_msat > 0 AND OLD.balance_msat < least_msat);
    UPDATE history_of SET stranger = NEW.balance_msat < (SELECT least_msat FROM accounts_size)
        WHERE pubkey = unhex(substr(NEW.key, 6));
END;
