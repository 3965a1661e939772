//! A container's image: changed, held, and what was done about it.

use nostr::key::PublicKey;
use protocol::rpc::Failure;
use protocol::rpc::enclaved::{ContainerStatus, UpgradeParams, Upgrades};
use relay::request_log::RequestKey;
use relay::rpc::Caller;

use super::{Api, command_failure, store_failure};
use crate::upgrade;

impl Api {
    /// Has another image take the place of the one that runs. On record when this returns; `status` says
    /// `upgrading` while the process is replaced, and `upgrades` what became of it.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub async fn upgrade(
        &self,
        by: &Caller,
        key: RequestKey,
        params: &UpgradeParams,
    ) -> Result<ContainerStatus, Failure> {
        let caller = &by.pubkey;
        let container = self.find_owned(caller, &params.pubkey)?;
        // The same command again, after a crash: it has had its effect.
        if self.ctx().store.upgraded_by(&key.to_hex()).map_err(|e| store_failure(&e))? {
            return self.status(caller, &params.pubkey);
        }
        let _asking = self.ask_registry(by)?;
        let order = upgrade::order_of(self.ctx(), &container, caller, key, &params.docker).await?;
        self.fleet.upgrade(&params.pubkey, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, &params.pubkey)
    }

    /// Holds a container at the image that it has, or lets it go again.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub fn pin(&self, caller: &PublicKey, pubkey: &PublicKey, pinned: bool) -> Result<Upgrades, Failure> {
        let container = self.find_owned(caller, pubkey)?;
        upgrade::set_pinned(self.ctx(), &container, pinned).map_err(|e| store_failure(&e))?;
        if !pinned {
            self.fleet.look_for_releases();
        }
        self.upgrades(caller, pubkey)
    }

    /// What was decided about a container's image, and why.
    ///
    /// # Errors
    /// [`Failure`] if there is no such container, or it is another's.
    pub fn upgrades(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<Upgrades, Failure> {
        let container = self.find_owned(caller, pubkey)?;
        upgrade::list(self.ctx(), &container).map_err(|e| store_failure(&e))
    }
}
