//! Who may be paid here.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::params;
use units::UnixSecs;

use super::sql::secs;

/// The rule of who may be paid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Access {
    /// Any key has a wallet.
    Open,
    /// Only these keys, and those that the first of them admitted.
    Admitted {
        /// The administrator.
        admin: PublicKey,
        /// Keys that need no admission: the service's own, the faucet's.
        always: Vec<PublicKey>,
    },
}

impl Access {
    /// Whether `key` may be paid.
    pub(crate) fn allows(&self, view: View<'_>, key: &PublicKey) -> rusqlite::Result<bool> {
        match self {
            Self::Open => Ok(true),
            Self::Admitted { admin, always } => {
                Ok(admin == key || always.contains(key) || is_registered(view, key)?)
            }
        }
    }
}

/// Admits a key; again changes nothing.
pub(crate) fn register(tx: &LedgerTx<'_>, key: &PublicKey, now: UnixSecs) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("INSERT OR IGNORE INTO registration (pubkey, registered_at) VALUES (?1, ?2)")?
        .execute(params![key.as_bytes(), secs(now)])
        .map(drop)
}

fn is_registered(view: View<'_>, key: &PublicKey) -> rusqlite::Result<bool> {
    view.sql().prepare_cached("SELECT 1 FROM registration WHERE pubkey = ?1")?.exists([key.as_bytes()])
}
