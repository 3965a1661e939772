-- Compaction. The oldest transactions may be replaced by what they add up to: one posting for each account in
-- the transaction number 0, which is older than every other. Nothing else ever changes or goes.

-- There is a row only while a compaction runs. Its foreign key names a pair that can never be there, so
-- SQLite refuses every COMMIT until the row is deleted again: no other change can be made under its cover.
CREATE TABLE ledger_compacting (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    -- The last transaction that may go.
    through  INTEGER NOT NULL CHECK (through >= 0),
    sum_msat INTEGER NOT NULL DEFAULT 0 CHECK (sum_msat = 0),
    missing  INTEGER NOT NULL DEFAULT -1 CHECK (missing = -1),
    FOREIGN KEY (sum_msat, missing) REFERENCES ledger_complete (sum_msat, missing) DEFERRABLE INITIALLY DEFERRED
) STRICT;

-- Of a transaction that went: its key, so that it cannot be posted again, and the SHA-256 of what it said.
CREATE TABLE ledger_carried (
    key    TEXT PRIMARY KEY,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER ledger_carried_is_final BEFORE UPDATE ON ledger_carried
BEGIN SELECT RAISE(ABORT, 'what was carried forward keeps its digest'); END;
CREATE TRIGGER ledger_carried_stays BEFORE DELETE ON ledger_carried
WHEN NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'only a compaction forgets keys'); END;

-- What is carried forward was applied when it was posted.
DROP TRIGGER ledger_posting_is_applied;
CREATE TRIGGER ledger_posting_is_applied AFTER INSERT ON ledger_posting WHEN NEW.transaction_id <> 0
BEGIN
    UPDATE ledger_account SET balance_msat = NEW.balance_after_msat
        WHERE id = NEW.account_id AND balance_msat + NEW.amount_msat = NEW.balance_after_msat;
    SELECT RAISE(ABORT, 'a posting must continue the balance of its account') WHERE changes() <> 1;
    UPDATE ledger_transaction SET sum_msat = sum_msat + NEW.amount_msat, missing = missing - 1
        WHERE id = NEW.transaction_id;
END;
CREATE TRIGGER ledger_posting_is_carried BEFORE INSERT ON ledger_posting
WHEN NEW.transaction_id = 0 AND NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'only a compaction carries forward'); END;

DROP TRIGGER ledger_posting_is_final;
CREATE TRIGGER ledger_posting_is_final BEFORE UPDATE ON ledger_posting
WHEN OLD.transaction_id <> 0 OR NEW.transaction_id <> 0 OR NEW.account_id <> OLD.account_id
    OR NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
DROP TRIGGER ledger_posting_stays;
CREATE TRIGGER ledger_posting_stays BEFORE DELETE ON ledger_posting
WHEN NOT EXISTS (SELECT 1 FROM ledger_compacting WHERE OLD.transaction_id <= through)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
DROP TRIGGER ledger_transaction_is_final;
CREATE TRIGGER ledger_transaction_is_final BEFORE UPDATE OF id, key, kind, memo, posted_at ON ledger_transaction
WHEN OLD.id <> 0 OR NEW.id <> 0 OR NEW.key <> OLD.key OR NEW.kind <> OLD.kind OR NEW.memo <> OLD.memo
    OR NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
DROP TRIGGER ledger_transaction_stays;
CREATE TRIGGER ledger_transaction_stays BEFORE DELETE ON ledger_transaction
WHEN NOT EXISTS (SELECT 1 FROM ledger_compacting WHERE OLD.id <= through)
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
