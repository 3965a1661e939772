//! A container that changes hands.

use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::rpc::enclaved::{ContainerStatus, TransferParams};
use protocol::rpc::{Code, Failure};

use super::{Api, launch, store_failure};
use crate::store::Spec;

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
        let ctx = self.ctx();
        let container = self.find_owned(caller, &params.pubkey)?;
        if !matches!(container.state.name(), "deployed" | "paused") {
            let message = format!("a container that is {} cannot be transferred", container.state.name());
            return Err(Failure::new(Code::StateRefused, message));
        }
        if params.owner == *caller {
            return Err(Failure::new(Code::ParamsInvalid, "owner: it is yours already; name another key"));
        }
        // The salt is the owner's: who was it before must not test guesses of what the next one sets.
        let spec = self.owned_by(&container.spec, params.owner, Salt::new(launch::random()?))?;
        let moved = ctx.store.transfer(&params.pubkey, caller, &params.owner, &spec);
        if !moved.map_err(|e| store_failure(&e))? {
            return Err(Failure::new(Code::NotOwner, "the container belongs to another key by now"));
        }
        let text = format!("given by {caller} to {}", params.owner);
        if let Err(e) = ctx.store.note(&params.pubkey, ctx.clock.now(), "transferred", &text) {
            tracing::error!("transfer not noted: {e}");
        }
        // Who watches it as its owner is told before anything else happens.
        ctx.changes.container(params.pubkey);
        self.fleet.reread(&params.pubkey).await;
        // Its last words to who gave it away, and all that they may know of it from now on.
        let mut status = self.status(&params.owner, &params.pubkey)?;
        status.salt = Salt::new([0; 32]);
        Ok(status)
    }

    /// What was agreed, with another owner and another salt.
    fn owned_by(&self, spec: &Spec, owner: PublicKey, salt: Salt) -> Result<Spec, Failure> {
        let mut spec = spec.clone();
        let Some(manifest) = &mut spec.manifest else {
            return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
        };
        manifest.owner = owner;
        manifest.env = spec.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect();
        if let Some(sealed) = &spec.secrets {
            let keys = &self.ctx().keys;
            manifest.secrets = sealed.open(keys.secret_key(), &keys.public_key())?.hmacs(&salt);
        }
        let hash = manifest.sha256().map_err(|e| Failure::new(Code::Internal, e.to_string()))?;
        spec.manifest_sha256 = Some(hash);
        spec.salt = Some(salt);
        Ok(spec)
    }
}
