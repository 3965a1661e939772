-- An account of a user that is empty and that no posting names any more may go with a compaction: keys cost nothing,
-- and the same money may pass through any number of them. Not the newest, so that numbers rise for ever and none
-- is given twice.
DROP TRIGGER ledger_account_stays;
CREATE TRIGGER ledger_account_stays BEFORE DELETE ON ledger_account
WHEN OLD.balance_msat <> 0 OR OLD.key NOT LIKE 'user:%'
    OR OLD.id = (SELECT max(id) FROM ledger_account)
    OR EXISTS (SELECT 1 FROM ledger_posting WHERE account_id = OLD.id)
    OR NOT EXISTS (SELECT 1 FROM ledger_compacting)
BEGIN SELECT RAISE(ABORT, 'only a compaction deletes accounts, and only empty ones'); END;
