//! Further keys of an account: made, listed and ended in the name of the key that it belongs to.

use nostr::key::{Keys, PublicKey};
use protocol::nwc::{ConnectionItem, CreateConnection, ListConnections, RevokeConnection};

use super::{ANSWER_WAIT, Wallet, WalletError};

impl Wallet {
    /// Lets another key use the account of `keys`; returns the wallet's key for that connection alone.
    ///
    /// # Errors
    /// [`WalletError`]; if the wallet is silent the connection may be there.
    pub async fn connect(&self, keys: &Keys, wanted: &CreateConnection) -> Result<PublicKey, WalletError> {
        Ok(self.connection()?.client.call(keys, wanted, ANSWER_WAIT).await?.wallet_pubkey)
    }

    /// The connections of the account of `keys`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn connections(&self, keys: &Keys) -> Result<Vec<ConnectionItem>, WalletError> {
        Ok(self.connection()?.client.call(keys, &ListConnections {}, ANSWER_WAIT).await?.connections)
    }

    /// Ends a connection of the account of `keys`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn disconnect(&self, keys: &Keys, service: PublicKey) -> Result<(), WalletError> {
        let request = RevokeConnection { wallet_pubkey: service };
        self.connection()?.client.call(keys, &request, ANSWER_WAIT).await?;
        Ok(())
    }
}
