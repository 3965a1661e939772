//! Changing a container's environment.

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{ContainerStatus, SetEnvParams};
use protocol::rpc::{Code, Failure};
use protocol::secrets::{Secrets, check_beside};

use super::{Api, command_failure, secrets};
use crate::deploy::OwnerOrder;
use crate::store::EnvPart;

impl Api {
    /// Gives a container another environment, and other secrets if there are some in `params`. Its process
    /// is started anew; the manifest's hash changes.
    ///
    /// # Errors
    /// [`Failure`]; nothing changed.
    pub async fn set_env(
        &self,
        caller: &PublicKey,
        params: SetEnvParams,
    ) -> Result<ContainerStatus, Failure> {
        let container = self.find_owned(caller, &params.pubkey)?;
        let Some(salt) = container.spec.salt.clone() else {
            return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
        };
        let ctx = self.ctx();
        let changed = match &params.secrets {
            Some(sealed) => {
                let mut opened = secrets::open(ctx, caller, Some(sealed), &params.env)?;
                // The account at the registry is nothing that the container sees; it stays unless replaced.
                if opened.registry.is_none() {
                    opened.registry = secrets::kept(ctx, &container)?.and_then(|kept| kept.registry.clone());
                }
                Some((secrets::keep(ctx, &opened)?, opened.hmacs(&salt)))
            }
            None => {
                let kept = secrets::kept(ctx, &container)?;
                check_beside(kept.as_ref().unwrap_or(&Secrets::default()), &params.env)?;
                None
            }
        };
        let env_hmacs =
            params.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect();
        let part = EnvPart { env: params.env, env_hmacs, secrets: changed };
        let order = OwnerOrder::SetEnv(Box::new(part));
        self.fleet.order(&params.pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, &params.pubkey)
    }
}
