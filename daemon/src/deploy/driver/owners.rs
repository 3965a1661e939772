//! What an owner orders, and a container that changes hands: offered by its owner, accepted by the next.
//!
//! Whose container it is may change between the question and the answer, so it is asked here, where
//! nothing else happens meanwhile.

use lifecycle::Effect;
use nostr::key::PublicKey;
use protocol::manifest::Salt;
use protocol::rpc::enclaved::Offer;
use protocol::rpc::{Code, Failure};

use super::Driver;
use crate::context::Context;
use crate::deploy::{CommandError, OwnerOrder};
use crate::guest_wallets;
use crate::store::Spec;

/// How long an offer stands: long enough for people in another time zone, short enough that it is remembered.
const OFFER_SECS: u64 = 24 * 3_600;

impl Driver {
    /// Carries out an order, if it is the owner's; or takes the one who accepts an offer.
    pub(super) async fn obey(&mut self, by: &PublicKey, order: OwnerOrder) -> Result<(), CommandError> {
        if let OwnerOrder::Accept { salt } = order {
            return self.accept(by, salt).await;
        }
        self.check_owner(by)?;
        match order {
            OwnerOrder::Event(event) => self.command(event).await,
            OwnerOrder::SetEnv(part) => self.set_env(*part).await,
            OwnerOrder::SetLogin(login) => self.set_login(login),
            OwnerOrder::Offer { to } => self.offer(to),
            OwnerOrder::CancelOffer => self.cancel_offer(),
            OwnerOrder::Accept { .. } => Ok(()),
        }
    }

    /// Refuses for whoever is not the owner by now.
    pub(super) fn check_owner(&self, by: &PublicKey) -> Result<(), CommandError> {
        if self.container.owner() == Some(by) {
            return Ok(());
        }
        Err(refused(Code::NotOwner, "the container belongs to another key by now"))
    }

    fn offer(&self, to: PublicKey) -> Result<(), CommandError> {
        self.check_can_change_hands()?;
        let until = self.ctx.clock.now().plus_secs(OFFER_SECS);
        self.ctx.store.offer(&self.container.pubkey(), &Offer { to, until })?;
        self.note("offered", &format!("offered to {to}"));
        Ok(())
    }

    fn cancel_offer(&self) -> Result<(), CommandError> {
        if !self.ctx.store.cancel_offer(&self.container.pubkey())? {
            return Err(refused(Code::StateRefused, "the container is offered to nobody"));
        }
        self.note("offer_cancelled", "not offered any more");
        Ok(())
    }

    fn check_can_change_hands(&self) -> Result<(), CommandError> {
        let state = self.container.state.name();
        if !matches!(state, "deployed" | "paused") {
            let message = format!("a container that is {state} cannot be transferred");
            return Err(refused(Code::StateRefused, &message));
        }
        // What its former owner began must not happen to the next.
        if self.upgrading.is_some() || self.ctx.store.open_upgrade(&self.container.pubkey())?.is_some() {
            return Err(refused(Code::UpgradeOpen, "the container is being upgraded; wait for its end"));
        }
        Ok(())
    }

    /// Makes the key that it is offered to its owner. What was agreed names its owner, so the manifest's hash
    /// changes. Nothing of the former owner goes on in it: its process ends, and with it whatever was run beside
    /// it; the connection to its account ends; the account at the registry is forgotten.
    async fn accept(&mut self, by: &PublicKey, salt: Salt) -> Result<(), CommandError> {
        let pubkey = self.container.pubkey();
        check_offered(&self.ctx, &pubkey, by)?;
        self.check_can_change_hands()?;
        let spec = self.owned_by(*by, salt).map_err(|e| refused(e.code, &e.message))?;
        let accepted = self.take_over(by, &spec).await;
        if accepted.is_ok() {
            self.reread();
            // What was begun for the former owner ends before anything begins for the next.
            self.ctx.runtime.execs_ended(&pubkey).await;
        }
        if self.container.state.should_run() {
            self.carry_out_all(vec![Effect::Start]).await;
        }
        self.ctx.changes.container(pubkey);
        accepted
    }

    /// Its process ends first: a crash in between leaves it with its former owner, and starts it anew. The
    /// connections of its app end on record with the former owner, and at the wallet, which must be there, a moment
    /// later.
    async fn take_over(&mut self, by: &PublicKey, spec: &Spec) -> Result<(), CommandError> {
        let pubkey = self.container.pubkey();
        if let Err(e) = guest_wallets::check_heard(&self.ctx, &self.container).await {
            tracing::warn!(container = %pubkey, "connections of its app: {e}");
            let message = "the server's wallet does not answer; nothing changed; try again in a minute";
            return Err(refused(Code::WalletUnavailable, message));
        }
        if let Err(e) = self.ctx.runtime.stop(&self.container).await {
            tracing::error!(container = %pubkey, "stop for a transfer: {e}");
            return Err(refused(Code::Internal, "the server could not stop the container; nothing changed"));
        }
        let from = self.container.owner().copied();
        if !self.ctx.store.transfer(&pubkey, by, spec, self.ctx.clock.now())? {
            return Err(refused(Code::NotOwner, "the offer has just ended; nothing changed"));
        }
        // What the wallet does not hear now it is told until it has heard.
        if let Err(e) = guest_wallets::end_others(&self.ctx, &self.container).await {
            tracing::warn!(container = %pubkey, "connections of the former owner's app: {e}; trying again");
        }
        let from = from.map(|from| from.to_hex()).unwrap_or_default();
        metrics::counter!("transfers_total").increment(1);
        self.note("transferred", &format!("given by {from} to {by}"));
        Ok(())
    }

    /// What was agreed, with another owner and another salt, and without the account at the registry.
    fn owned_by(&self, owner: PublicKey, salt: Salt) -> Result<Spec, Failure> {
        let mut spec = self.container.spec.clone();
        let Some(manifest) = &mut spec.manifest else {
            return Err(Failure::new(Code::NotFound, "there is no such container on this server"));
        };
        manifest.owner = owner;
        manifest.env = spec.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect();
        if let Some(sealed) = &spec.secrets {
            let keys = &self.ctx.keys;
            let mut secrets = sealed.open(keys.secret_key(), &keys.public_key())?;
            manifest.secrets = secrets.hmacs(&salt);
            secrets.registry = None;
            spec.secrets = crate::api::secrets::keep(&self.ctx, &secrets)?;
        }
        let hash = manifest.sha256().map_err(|e| Failure::new(Code::Internal, e.to_string()))?;
        spec.manifest_sha256 = Some(hash);
        spec.salt = Some(salt);
        Ok(spec)
    }
}

/// Refuses whoever the container is not offered to. Asked before anything waits for its driver, too: anybody may
/// say that they accept.
///
/// # Errors
/// [`Code::NotOwner`].
pub(crate) fn check_offered(ctx: &Context, pubkey: &PublicKey, by: &PublicKey) -> Result<(), CommandError> {
    if ctx.store.offer_of(pubkey, ctx.clock.now())?.is_some_and(|offer| offer.to == *by) {
        return Ok(());
    }
    let message = "the container is not offered to you, or not any more; its owner offers it with transfer";
    Err(refused(Code::NotOwner, message))
}

fn refused(code: Code, message: &str) -> CommandError {
    CommandError::NotNow { code, message: message.to_owned() }
}
