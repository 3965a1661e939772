//! What can be posted.

use std::collections::BTreeSet;

use units::{Msat, UnixSecs};

use crate::Account;

/// Longest idempotency key: room for a prefix, a hash in hex and a step.
const KEY_CHARS_MAX: usize = 128;
/// Longest kind; kinds are short words of the program.
const KIND_CHARS_MAX: usize = 32;
/// Longest memo; a memo is one line for a person, not a place for data.
const MEMO_CHARS_MAX: usize = 200;
/// Most postings of a transaction: every real one has two to four; the bound keeps a loop gone wrong out.
const POSTINGS_MAX: usize = 16;

/// One line of a transaction: so much to (positive) or from (negative) an account.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Posting {
    /// The account.
    pub account: Account,
    /// The change of its balance, not zero.
    pub amount: Msat,
}

/// A transaction to be posted: a unique key, what it is, and postings that sum to zero.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NewTransaction {
    pub(crate) key: String,
    pub(crate) kind: &'static str,
    pub(crate) memo: String,
    pub(crate) at: UnixSecs,
    pub(crate) postings: Vec<Posting>,
}

/// Why a transaction cannot be posted, whatever the books hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum InvalidTransaction {
    /// The key is empty or too long.
    #[error("the key must have 1 to {KEY_CHARS_MAX} characters")]
    Key,
    /// The kind is empty, too long, or not in `snake_case`.
    #[error("the kind must have 1 to {KIND_CHARS_MAX} characters, a to z and underscore")]
    Kind,
    /// The memo is too long or has more than one line.
    #[error("the memo must be one line of at most {MEMO_CHARS_MAX} characters")]
    Memo,
    /// The time is after the year 292 billion.
    #[error("the time is out of range")]
    Time,
    /// Too few or too many postings.
    #[error("a transaction has 2 to {POSTINGS_MAX} postings")]
    Postings,
    /// A posting of nothing.
    #[error("a posting to {0} is zero")]
    Zero(Account),
    /// An account appears twice.
    #[error("two postings to {0}")]
    Repeated(Account),
    /// The postings do not sum to zero.
    #[error("the postings sum to {sum} instead of zero")]
    Unbalanced {
        /// The sum.
        sum: Msat,
    },
    /// The sum of the postings leaves the range of an amount.
    #[error("the sum of the postings is out of range")]
    Overflow,
}

impl NewTransaction {
    /// A transaction without postings yet. `key` is what makes a repetition recognisable; `kind` a short
    /// word in `snake_case`; `memo` one line for a person.
    #[must_use]
    pub fn new(key: impl Into<String>, kind: &'static str, memo: impl Into<String>, at: UnixSecs) -> Self {
        Self { key: key.into(), kind, memo: memo.into(), at, postings: Vec::new() }
    }

    /// Adds a posting: `amount` to `account`, or from it if negative.
    #[must_use]
    pub fn posting(mut self, account: Account, amount: Msat) -> Self {
        self.postings.push(Posting { account, amount });
        self
    }

    /// The same, except that nothing is added for an amount of zero: for parts that are often absent,
    /// such as fees.
    #[must_use]
    pub fn posting_unless_zero(self, account: Account, amount: Msat) -> Self {
        if amount == Msat::ZERO { self } else { self.posting(account, amount) }
    }

    /// Checks everything that can be checked without the books.
    pub(crate) fn check(&self) -> Result<(), InvalidTransaction> {
        if self.key.is_empty() || self.key.chars().count() > KEY_CHARS_MAX {
            return Err(InvalidTransaction::Key);
        }
        let snake = self.kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if self.kind.is_empty() || self.kind.len() > KIND_CHARS_MAX || !snake {
            return Err(InvalidTransaction::Kind);
        }
        if self.memo.chars().count() > MEMO_CHARS_MAX || self.memo.chars().any(char::is_control) {
            return Err(InvalidTransaction::Memo);
        }
        if i64::try_from(self.at.0).is_err() {
            return Err(InvalidTransaction::Time);
        }
        if !(2..=POSTINGS_MAX).contains(&self.postings.len()) {
            return Err(InvalidTransaction::Postings);
        }
        let mut seen = BTreeSet::new();
        let mut sum = Msat::ZERO;
        for posting in &self.postings {
            if posting.amount == Msat::ZERO {
                return Err(InvalidTransaction::Zero(posting.account));
            }
            if !seen.insert(posting.account) {
                return Err(InvalidTransaction::Repeated(posting.account));
            }
            sum = sum.plus(posting.amount).map_err(|_| InvalidTransaction::Overflow)?;
        }
        if sum == Msat::ZERO { Ok(()) } else { Err(InvalidTransaction::Unbalanced { sum }) }
    }
}

#[cfg(test)]
mod tests;
