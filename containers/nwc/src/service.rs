//! The wallet's use cases: a caller's request in, a reply and notices out. Nothing here knows how
//! requests travel.
//!
//! Rules, each with a test:
//! - any key has a wallet; nothing is stored for it before it asks for an invoice or is paid;
//! - a caller sees and spends only what is its own;
//! - an invoice is paid once, with exactly what it asks for, by at most one payer;
//! - asking again to pay the same invoice joins the payment or returns its proof, and never pays twice;
//! - what is refused changes nothing; only a definite failure returns money that was set aside.

mod answer;
mod fees;
mod history;
mod node;
mod pay;
mod receive;
mod refusal;
mod wire;
mod zap;

use std::sync::Arc;

use ledger::{Account, PostError};
use nostr::key::PublicKey;
use protocol::nwc::{
    Balance, Info, Method, Notification, PaymentHash, Registered, Request, Response, ResultBody,
};
use units::UnixSecs;

use crate::config::{Faucet, Limits};
use crate::entropy::Entropy;
use crate::lightning::LightningBackend;
use crate::store::{self, Access, AuditError, Store, StoreError, invoice, payment};

pub use answer::{Answer, Handled, Notice, ZapReceipt};
pub use fees::FeeReserve;
pub use node::{NodeOutcome, NodeReport};
use refusal::Refusal;

/// The name under which the wallet introduces itself.
const ALIAS: &str = "enclaved wallet";

/// What a wallet is made of.
#[derive(Debug)]
pub struct Parts {
    /// The wallet's file.
    pub store: Store,
    /// Lightning.
    pub backend: Arc<dyn LightningBackend>,
    /// Randomness for preimages.
    pub entropy: Box<dyn Entropy>,
    /// The wallet's Nostr identity.
    pub service_pubkey: PublicKey,
    /// If set, only keys that this one admits can be paid.
    pub admin: Option<PublicKey>,
    /// Development money.
    pub faucet: Option<Faucet>,
    /// Bounds.
    pub limits: Limits,
}

/// The wallet.
#[derive(Debug)]
pub struct Wallet {
    store: Store,
    backend: Arc<dyn LightningBackend>,
    entropy: Box<dyn Entropy>,
    service_pubkey: PublicKey,
    access: Access,
    limits: Limits,
    fee_reserve: FeeReserve,
}

/// Why a wallet does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file does not hold what it promises.
    #[error("the wallet's file fails its audit; restore a backup or ask for help before paying anything")]
    Audit(#[from] AuditError),
    /// The faucet was filled before, with another amount or for another key.
    #[error(
        "this wallet's faucet was filled before with another NWC_FAUCET_MSAT or for another NWC_FAUCET_PUBKEY"
    )]
    Faucet,
    /// The file cannot be written.
    #[error("the wallet's file cannot be used")]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for StartError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<PostError> for StartError {
    fn from(error: PostError) -> Self {
        match error {
            PostError::KeyReused { .. } => Self::Faucet,
            other @ (PostError::Invalid(_)
            | PostError::Insufficient { .. }
            | PostError::Overflow { .. }
            | PostError::Sqlite(_)) => Self::Store(other.into()),
        }
    }
}

impl Wallet {
    /// Audits the file, returns money that a crash left on hold for payments that were never sent, and
    /// fills the faucet if there is one.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(parts: Parts, now: UnixSecs) -> Result<Self, StartError> {
        let Parts { store, backend, entropy, service_pubkey, admin, faucet, limits } = parts;
        store.audit()?;
        let released = store.write(move |tx| payment::release_undispatched(tx, now))?;
        if !released.is_empty() {
            tracing::warn!(payments = released.len(), "released payments that were never sent");
        }
        if let Some(faucet) = faucet {
            store.write(move |tx| store::fill(tx, &faucet, now).map_err(StartError::from))?;
        }
        let always = std::iter::once(service_pubkey).chain(faucet.map(|faucet| faucet.pubkey)).collect();
        let access = admin.map_or(Access::Open, |admin| Access::Admitted { admin, always });
        Ok(Self {
            store,
            backend,
            entropy,
            service_pubkey,
            access,
            limits,
            fee_reserve: FeeReserve::default(),
        })
    }

    /// Does what `caller` asks. Blocks until the result is on the disk.
    #[must_use]
    pub fn handle(&self, caller: &PublicKey, request: Request, now: UnixSecs) -> Handled {
        let method = request.method();
        self.dispatch(caller, request, now)
            .unwrap_or_else(|refusal| Handled::now(Response::refused(&method, refusal.into_error(&method))))
    }

    fn dispatch(&self, caller: &PublicKey, request: Request, now: UnixSecs) -> Result<Handled, Refusal> {
        let body = match request {
            Request::GetInfo(_) => ResultBody::GetInfo(self.info()),
            Request::GetBalance(_) => ResultBody::GetBalance(self.balance(caller)?),
            Request::MakeInvoice(terms) => ResultBody::MakeInvoice(self.make_invoice(caller, terms, now)?),
            Request::MakeInvoiceFor(terms) => {
                ResultBody::MakeInvoiceFor(self.make_invoice_for(caller, terms, now)?)
            }
            Request::LookupInvoice(wanted) => ResultBody::LookupInvoice(self.lookup(caller, &wanted, now)?),
            Request::ListTransactions(wanted) => {
                ResultBody::ListTransactions(self.list(caller, &wanted, now)?)
            }
            Request::AddPubkey(wanted) => ResultBody::AddPubkey(self.admit(caller, wanted.pubkey, now)?),
            Request::PayInvoice(wanted) => return self.pay(caller, wanted, now),
            Request::Unknown(name) => {
                return Ok(Handled::now(Response::not_implemented(&Method::Unknown(name))));
            }
        };
        Ok(Handled::now(Response::done(body)))
    }

    fn info(&self) -> Info {
        Info {
            alias: Some(ALIAS.to_owned()),
            pubkey: Some(self.backend.node_id().to_string()),
            network: Some(self.backend.network().to_string()),
            methods: Method::NIP.to_vec(),
            notifications: Notification::TYPES.map(str::to_owned).to_vec(),
            ..Info::default()
        }
    }

    fn balance(&self, caller: &PublicKey) -> Result<Balance, Refusal> {
        let balance = self.store.balance(Account::User(caller.to_bytes()))?;
        Ok(Balance { balance })
    }

    fn admit(&self, caller: &PublicKey, key: PublicKey, now: UnixSecs) -> Result<Registered, Refusal> {
        match &self.access {
            Access::Admitted { admin, .. } if admin == caller => {}
            Access::Admitted { .. } => return Err(Refusal::NotAdmin),
            Access::Open => return Err(Refusal::OpenToAll),
        }
        self.store.write(move |tx| store::register(tx, &key, now).map_err(Refusal::from))?;
        Ok(Registered {})
    }

    /// Withdraws an open invoice of `payee`. False if it has none with this hash that can be paid.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cancel_invoice(
        &self,
        payee: PublicKey,
        hash: PaymentHash,
        now: UnixSecs,
    ) -> Result<bool, StoreError> {
        self.store.write(move |tx| invoice::cancel(tx, &payee, hash, now).map_err(StoreError::from))
    }

    /// The wallet's file.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
mod tests;
