-- Accounts are made at their first posting. A liability (what the house owes to somebody) is never negative.
CREATE TABLE ledger_account (
    id           INTEGER PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    class        TEXT    NOT NULL,
    balance_msat INTEGER NOT NULL,
    CHECK (class <> 'liability' OR balance_msat >= 0)
) STRICT;

-- The one pair that a finished transaction refers to: its postings sum to zero and none is missing.
CREATE TABLE ledger_complete (
    sum_msat INTEGER NOT NULL CHECK (sum_msat = 0),
    missing  INTEGER NOT NULL CHECK (missing = 0),
    PRIMARY KEY (sum_msat, missing)
) STRICT, WITHOUT ROWID;
INSERT INTO ledger_complete (sum_msat, missing) VALUES (0, 0);

-- `sum_msat` and `missing` are kept by the trigger below. The foreign key is checked at COMMIT, so SQLite
-- itself refuses to commit a transaction that does not balance or has a posting too few; the CHECK refuses
-- one too many, which also keeps later postings out of old transactions.
CREATE TABLE ledger_transaction (
    id        INTEGER PRIMARY KEY,
    key       TEXT    NOT NULL UNIQUE,
    kind      TEXT    NOT NULL,
    memo      TEXT    NOT NULL,
    posted_at INTEGER NOT NULL,
    sum_msat  INTEGER NOT NULL DEFAULT 0,
    missing   INTEGER NOT NULL CHECK (missing >= 0),
    FOREIGN KEY (sum_msat, missing) REFERENCES ledger_complete (sum_msat, missing) DEFERRABLE INITIALLY DEFERRED
) STRICT;

CREATE TABLE ledger_posting (
    transaction_id     INTEGER NOT NULL REFERENCES ledger_transaction (id),
    account_id         INTEGER NOT NULL REFERENCES ledger_account (id),
    amount_msat        INTEGER NOT NULL CHECK (amount_msat <> 0),
    balance_after_msat INTEGER NOT NULL,
    PRIMARY KEY (transaction_id, account_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_posting_by_account ON ledger_posting (account_id, transaction_id);

-- Applies a posting to its account and transaction, and refuses one that does not continue the balance.
CREATE TRIGGER ledger_posting_is_applied AFTER INSERT ON ledger_posting
BEGIN
    UPDATE ledger_account SET balance_msat = NEW.balance_after_msat
        WHERE id = NEW.account_id AND balance_msat + NEW.amount_msat = NEW.balance_after_msat;
    SELECT RAISE(ABORT, 'a posting must continue the balance of its account') WHERE changes() <> 1;
    UPDATE ledger_transaction SET sum_msat = sum_msat + NEW.amount_msat, missing = missing - 1
        WHERE id = NEW.transaction_id;
END;

CREATE TRIGGER ledger_posting_is_final BEFORE UPDATE ON ledger_posting
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER ledger_posting_stays BEFORE DELETE ON ledger_posting
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER ledger_transaction_is_final BEFORE UPDATE OF id, key, kind, memo, posted_at ON ledger_transaction
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER ledger_transaction_stays BEFORE DELETE ON ledger_transaction
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER ledger_account_is_final BEFORE UPDATE OF id, key, class ON ledger_account
BEGIN SELECT RAISE(ABORT, 'an account keeps its key and class'); END;
CREATE TRIGGER ledger_account_stays BEFORE DELETE ON ledger_account
BEGIN SELECT RAISE(ABORT, 'an account is never deleted'); END;
CREATE TRIGGER ledger_complete_stays BEFORE DELETE ON ledger_complete
BEGIN SELECT RAISE(ABORT, 'the mark of completeness is never deleted'); END;
