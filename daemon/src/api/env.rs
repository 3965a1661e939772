//! Changing a container's environment.

use std::collections::BTreeMap;

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{ContainerStatus, SetEnvParams};
use protocol::rpc::{Code, Failure};
use protocol::secrets::{RegistryLogin, Sealed, Secrets, check_beside};

use super::{Api, command_failure, secrets};
use crate::deploy::OwnerOrder;
use crate::image::Reference;
use crate::store::{Container, EnvPart};

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
        let Some(env) = params.env else {
            return self.set_login(caller, &container, params.secrets.as_ref()).await;
        };
        let Some(salt) = container.spec.salt.clone() else {
            return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
        };
        let ctx = self.ctx();
        let changed = match &params.secrets {
            Some(sealed) => {
                let mut opened = secrets::open(ctx, caller, Some(sealed), &env)?;
                // The account at the registry is nothing that the container sees; it stays unless replaced.
                if opened.registry.is_none() {
                    opened.registry = secrets::kept(ctx, &container)?.and_then(|kept| kept.registry.clone());
                }
                Some((secrets::keep(ctx, &opened)?, opened.hmacs(&salt)))
            }
            None => {
                let kept = secrets::kept(ctx, &container)?;
                check_beside(kept.as_ref().unwrap_or(&Secrets::default()), &env)?;
                None
            }
        };
        let env_hmacs = env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect();
        let part = EnvPart { env, env_hmacs, secrets: changed };
        let order = OwnerOrder::SetEnv(Box::new(part));
        self.fleet.order(&params.pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, &params.pubkey)
    }

    /// Gives a container another account at its image's registry, or none. Whoever took it over has to give one, as
    /// that of its former owner is forgotten, and may whatever its launch says: the container does not see it, and
    /// the manifest says nothing of it.
    async fn set_login(
        &self,
        caller: &PublicKey,
        container: &Container,
        sealed: Option<&Sealed>,
    ) -> Result<ContainerStatus, Failure> {
        let invalid = |message: &str| Failure::new(Code::SecretsInvalid, format!("secrets: {message}"));
        let secrets = secrets::open(self.ctx(), caller, sealed, &BTreeMap::new())?;
        if secrets.contents().next().is_some() {
            return Err(invalid("without env they may hold registry and nothing else"));
        }
        let image = &container.spec.image;
        let is_there = |login: &RegistryLogin| {
            image.parse::<Reference>().is_ok_and(|reference| login.is_at(reference.registry()))
        };
        if secrets.registry.as_ref().is_some_and(|login| !is_there(login)) {
            return Err(invalid("registry: the account is at another registry than the image"));
        }
        let (pubkey, order) = (container.pubkey(), OwnerOrder::SetLogin(secrets.registry.clone()));
        self.fleet.order(&pubkey, caller, order).await.map_err(|e| command_failure(&e))?;
        self.status(caller, &pubkey)
    }
}
