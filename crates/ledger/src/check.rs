//! The audit: everything that the books promise, recomputed from the journal.

use rusqlite::OptionalExtension;
use units::Msat;

use crate::{Account, Class, View};

/// A promise of the books that does not hold. The service must stop paying and an operator must look.
#[derive(Debug, thiserror::Error)]
pub enum BooksBroken {
    /// All balances together are not zero: money was made or lost.
    #[error("the books sum to {sum} instead of zero")]
    Sum {
        /// The sum.
        sum: Msat,
    },
    /// An account is one that this release does not know, or has the wrong class.
    #[error("the account {key:?} is not one of ours")]
    Account {
        /// Its key.
        key: String,
    },
    /// An account's balance is not the sum of its postings.
    #[error("the balance of {key} is not the sum of its postings")]
    Balance {
        /// The account's key.
        key: String,
    },
    /// A posting's balance does not follow from the one before it.
    #[error("the postings of {key} do not continue each other")]
    Chain {
        /// The account's key.
        key: String,
    },
    /// A liability is or was below zero.
    #[error("the liability {key} is or was below zero")]
    Negative {
        /// The account's key.
        key: String,
    },
    /// A transaction does not balance or is incomplete.
    #[error("the transaction {key:?} does not balance")]
    Transaction {
        /// Its idempotency key.
        key: String,
    },
    /// The database failed.
    #[error("the books cannot be read")]
    Sqlite(#[from] rusqlite::Error),
}

/// Accounts whose balance is not the sum of their postings.
const WRONG_BALANCE: &str = "
    SELECT a.key FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id
    GROUP BY a.id HAVING a.balance_msat <> coalesce(sum(p.amount_msat), 0) LIMIT 1";

/// Accounts with a posting whose balance is not the previous balance plus its amount.
const BROKEN_CHAIN: &str = "
    SELECT a.key FROM (
        SELECT account_id, amount_msat, balance_after_msat, lag(balance_after_msat, 1, 0)
            OVER (PARTITION BY account_id ORDER BY transaction_id) AS balance_before_msat
        FROM ledger_posting
    ) p JOIN ledger_account a ON a.id = p.account_id
    WHERE p.balance_before_msat + p.amount_msat <> p.balance_after_msat LIMIT 1";

/// Liabilities that are or ever were below zero.
const NEGATIVE: &str = "
    SELECT a.key FROM ledger_account a LEFT JOIN ledger_posting p ON p.account_id = a.id
    WHERE a.class = 'liability' AND (a.balance_msat < 0 OR p.balance_after_msat < 0) LIMIT 1";

/// Transactions that do not balance, are incomplete, or have fewer than two postings.
const UNBALANCED: &str = "
    SELECT t.key FROM ledger_transaction t LEFT JOIN ledger_posting p ON p.transaction_id = t.id
    GROUP BY t.id
    HAVING coalesce(sum(p.amount_msat), 1) <> 0 OR count(p.amount_msat) < 2 OR t.sum_msat <> 0 OR t.missing <> 0
    LIMIT 1";

impl View<'_> {
    /// Recomputes the books from the journal and compares. Reads everything: for a start, a test, an
    /// audit, not for every payment ([`View::sum`] is for that).
    ///
    /// # Errors
    /// [`BooksBroken`], naming the first promise that does not hold.
    pub fn check_books(&self) -> Result<(), BooksBroken> {
        let sum = self.sum()?;
        if sum != Msat::ZERO {
            return Err(BooksBroken::Sum { sum });
        }
        self.check_accounts()?;
        self.expect_none(WRONG_BALANCE, |key| BooksBroken::Balance { key })?;
        self.expect_none(BROKEN_CHAIN, |key| BooksBroken::Chain { key })?;
        self.expect_none(NEGATIVE, |key| BooksBroken::Negative { key })?;
        self.expect_none(UNBALANCED, |key| BooksBroken::Transaction { key })
    }

    fn check_accounts(&self) -> Result<(), BooksBroken> {
        let mut select = self.sql().prepare_cached("SELECT key, class FROM ledger_account")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (key, class): (String, String) = (row.get(0)?, row.get(1)?);
            let ours = key.parse::<Account>().map(Account::class).map(Class::as_str);
            if ours != Ok(class.as_str()) {
                return Err(BooksBroken::Account { key });
            }
        }
        Ok(())
    }

    fn expect_none(
        &self,
        query: &str,
        broken: impl FnOnce(String) -> BooksBroken,
    ) -> Result<(), BooksBroken> {
        match self.sql().query_row(query, [], |row| row.get(0)).optional()? {
            None => Ok(()),
            Some(key) => Err(broken(key)),
        }
    }
}

#[cfg(test)]
mod tests;
