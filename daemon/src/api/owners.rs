//! A container that changes hands.

use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::rpc::enclaved::{ContainerStatus, TransferParams};
use protocol::rpc::{Code, Failure};

use super::{Api, command_failure, launch};
use crate::deploy::OwnerOrder;

impl Api {
    /// Gives a container of the caller's to another key, which commands it from then on. What was agreed
    /// names its owner, so the manifest's hash and the certificate change, too.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub async fn transfer(
        &self,
        caller: &PublicKey,
        params: &TransferParams,
    ) -> Result<ContainerStatus, Failure> {
        self.find_owned(caller, &params.pubkey)?;
        if params.owner == *caller {
            return Err(Failure::new(Code::ParamsInvalid, "owner: it is yours already; name another key"));
        }
        let order = OwnerOrder::Transfer { to: params.owner, salt: Salt::new(launch::random()?) };
        self.fleet.order(&params.pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        // Its last words to who gave it away, and all that they may know of it from now on.
        let mut status = self.status(&params.owner, &params.pubkey)?;
        status.salt = Salt::new([0; 32]);
        Ok(status)
    }
}
