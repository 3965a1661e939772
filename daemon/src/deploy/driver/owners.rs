//! What an owner orders, and a container that changes hands.
//!
//! Whose container it is may change between the question and the answer, so it is asked here, where
//! nothing else happens meanwhile.

use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::rpc::{Code, Failure};

use super::Driver;
use crate::deploy::{CommandError, OwnerOrder};
use crate::store::Spec;

impl Driver {
    /// Carries out an order, if it is the owner's.
    pub(super) async fn obey(&mut self, by: &PublicKey, order: OwnerOrder) -> Result<(), CommandError> {
        self.check_owner(by)?;
        match order {
            OwnerOrder::Event(event) => self.command(event).await,
            OwnerOrder::SetEnv(part) => self.set_env(*part).await,
            OwnerOrder::Transfer { to, salt } => self.transfer(by, to, salt),
        }
    }

    /// Refuses for whoever is not the owner by now.
    pub(super) fn check_owner(&self, by: &PublicKey) -> Result<(), CommandError> {
        if self.container.owner() == Some(by) {
            return Ok(());
        }
        Err(refused(Code::NotOwner, "the container belongs to another key by now"))
    }

    /// Gives the container to another key. What was agreed names its owner, so the manifest's hash changes.
    fn transfer(&mut self, from: &PublicKey, to: PublicKey, salt: Salt) -> Result<(), CommandError> {
        let pubkey = self.container.pubkey();
        let state = self.container.state.name();
        if !matches!(state, "deployed" | "paused") {
            let message = format!("a container that is {state} cannot be transferred");
            return Err(refused(Code::StateRefused, &message));
        }
        // What its former owner began must not happen to the next.
        if self.upgrading.is_some() || self.ctx.store.open_upgrade(&pubkey)?.is_some() {
            return Err(refused(Code::UpgradeOpen, "the container is being upgraded; wait for its end"));
        }
        let spec = self.owned_by(to, salt).map_err(|e| refused(e.code, &e.message))?;
        if !self.ctx.store.transfer(&pubkey, from, &to, &spec)? {
            return Err(refused(Code::NotOwner, "the container belongs to another key by now"));
        }
        self.reread();
        self.note("transferred", &format!("given by {from} to {to}"));
        // Who watches it as its owner is told before anything else happens.
        self.ctx.changes.container(pubkey);
        Ok(())
    }

    /// What was agreed, with another owner and another salt.
    fn owned_by(&self, owner: PublicKey, salt: Salt) -> Result<Spec, Failure> {
        let mut spec = self.container.spec.clone();
        let Some(manifest) = &mut spec.manifest else {
            return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
        };
        manifest.owner = owner;
        manifest.env = spec.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect();
        if let Some(sealed) = &spec.secrets {
            let keys = &self.ctx.keys;
            manifest.secrets = sealed.open(keys.secret_key(), &keys.public_key())?.hmacs(&salt);
        }
        let hash = manifest.sha256().map_err(|e| Failure::new(Code::Internal, e.to_string()))?;
        spec.manifest_sha256 = Some(hash);
        spec.salt = Some(salt);
        Ok(spec)
    }
}

fn refused(code: Code, message: &str) -> CommandError {
    CommandError::NotNow { code, message: message.to_owned() }
}
