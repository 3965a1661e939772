//! Money from nowhere, once, for development.

use ledger::{Account, LedgerTx, NewTransaction, PostError, Posted};
use units::UnixSecs;

use crate::config::Faucet;

/// One key for all faucets: a file is filled once, whatever the configuration says later.
const KEY: &str = "faucet";

/// Fills the faucet's account, unless that was done before.
///
/// # Errors
/// [`PostError::KeyReused`] if it was filled with another amount or for another key.
pub(crate) fn fill(tx: &LedgerTx<'_>, faucet: &Faucet, now: UnixSecs) -> Result<Posted, PostError> {
    let user = Account::User(faucet.pubkey.to_bytes());
    let from_nowhere =
        faucet.amount.negated().map_err(|_| PostError::Overflow { account: Account::Faucet })?;
    tx.post(
        &NewTransaction::new(KEY, "faucet", "development faucet", now)
            .posting(Account::Faucet, from_nowhere)
            .posting(user, faucet.amount),
    )
}
