//! A container's way to its money.

use std::sync::Arc;

use protocol::guest::WalletReply;

use crate::guest::Guests;
use crate::guest::refusal::{Refusal, RefusalCode};
use crate::guest_wallets::{self, GuestWalletError};
use crate::store::Container;
use crate::wallet::WalletError;

/// A connection to the account that pays for the container, on the relays where everybody reaches the wallet.
/// Its key is the app's alone; the account's own, which is the container's, never leaves the server.
pub(super) async fn wallet(guests: &Arc<Guests>, container: &Container) -> Result<WalletReply, Refusal> {
    if container.is_builtin() {
        return Err(Refusal::new(RefusalCode::Unavailable, "a built-in has no account"));
    }
    // Two of one container would each make one.
    let _alone = guests.limits.wallet(container.pubkey())?;
    let uri = guest_wallets::connection(guests.fleet.context(), container).await?;
    Ok(WalletReply { nwc: uri.reveal().to_string() })
}

impl From<GuestWalletError> for Refusal {
    fn from(error: GuestWalletError) -> Self {
        match error {
            GuestWalletError::NoWallet => Self::new(RefusalCode::Unavailable, error.to_string()),
            GuestWalletError::NotHolding(failure) => Self::new(RefusalCode::NotHolding, failure.message),
            GuestWalletError::Wallet(WalletError::Refused { message, .. }) => {
                Self::new(RefusalCode::Unavailable, format!("the wallet says: {message}"))
            }
            GuestWalletError::Wallet(WalletError::Silent(_)) => {
                tracing::warn!("guest API: {error}");
                Self::new(
                    RefusalCode::ServerBusy,
                    "the server's wallet does not answer; ask again in a minute",
                )
            }
            GuestWalletError::Store(_)
            | GuestWalletError::Sealing(_)
            | GuestWalletError::Uri(_)
            | GuestWalletError::Relay => Self::internal(&error),
        }
    }
}
