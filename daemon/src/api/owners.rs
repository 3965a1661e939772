//! A container that changes hands, in two steps: its owner offers it, and the next one accepts.

use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::rpc::enclaved::{ContainerStatus, TransferParams};
use protocol::rpc::{Code, Failure};

use super::{Api, command_failure, launch};
use crate::deploy::{OwnerOrder, check_offered};

impl Api {
    /// Offers a container of the caller's to another key, which becomes its owner if it accepts in time. One
    /// offer stands at a time.
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
        self.change_hands(caller, &params.pubkey, OwnerOrder::Offer { to: params.owner }).await
    }

    /// Takes back the offer of a container of the caller's.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub async fn cancel_transfer(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
    ) -> Result<ContainerStatus, Failure> {
        self.find_owned(caller, pubkey)?;
        self.change_hands(caller, pubkey, OwnerOrder::CancelOffer).await
    }

    /// Makes the caller the owner of a container that is offered to it. What was agreed names its owner, so
    /// the manifest's hash and the certificate change, too; its process is started anew.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub async fn accept_transfer(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
    ) -> Result<ContainerStatus, Failure> {
        // The same command again, after a crash: it has had its effect.
        if self.find(pubkey)?.owner() == Some(caller) {
            return self.status(caller, pubkey);
        }
        // Before it takes a place that its owner's commands may want.
        check_offered(self.ctx(), pubkey, caller).map_err(|e| command_failure(&e))?;
        let salt = Salt::new(launch::random()?);
        self.change_hands(caller, pubkey, OwnerOrder::Accept { salt }).await
    }

    async fn change_hands(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
        order: OwnerOrder,
    ) -> Result<ContainerStatus, Failure> {
        self.fleet.order(pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, pubkey)
    }
}
