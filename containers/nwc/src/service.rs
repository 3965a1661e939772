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
mod budget;
mod caller;
mod compaction;
mod connections;
mod fees;
mod history;
mod hold;
mod limits;
mod lnurl;
mod names;
mod node;
mod pay;
mod receipts;
mod receive;
mod reconcile;
mod refusal;
mod room;
mod shares;
mod sizes;
mod upkeep;
mod wire;
mod zap;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledger::{Account, PostError};
use nostr::key::PublicKey;
use protocol::nwc::{
    Balance, Info, Method, Notification, PaymentHash, Registered, Request, Response, ResultBody,
};
use tokio::sync::watch;
use units::UnixSecs;
use zeroize::Zeroizing;

use crate::config::{Faucet, Limits};
use crate::entropy::Entropy;
use crate::lightning::LightningBackend;
use crate::site::Site;
use crate::store::{self, Access, AuditError, Store, StoreError, invoice, payment};

pub use crate::store::{Connection, LateAnswer, RequestEvent, Scheme};
pub use answer::{Answer, Handled, Notice, ZapReceipt};
use caller::Caller;
pub use caller::Door;
pub use fees::{FeeReserve, Fees, HoldingFee, PaymentFee};
pub use lnurl::{Asked, InvoiceQuery, LnurlError, PayInvoiceOffer, PayOffer, Verified};
pub use node::{NodeOutcome, NodeReport};
use refusal::Refusal;
pub use upkeep::Solvency;

/// The name under which the wallet introduces itself.
pub(crate) const ALIAS: &str = "enclaved wallet";

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
    /// What it costs.
    pub fees: Fees,
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
    fees: Fees,
    /// Keys that pay nothing for holding money: the house's own.
    exempt: Vec<PublicKey>,
    connections: watch::Sender<Arc<Vec<Connection>>>,
    /// Held while they are read anew.
    reloading: Mutex<()>,
    solvent: watch::Sender<bool>,
    addresses: Option<lnurl::Addresses>,
    started_at: UnixSecs,
    /// What the start found out, to be sent with the first upkeep.
    backlog: Mutex<Vec<Notice>>,
    /// The number of the account up to which it was looked for empty ones.
    looked_until: AtomicI64,
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
        let Parts { store, backend, entropy, service_pubkey, admin, faucet, limits, fees } = parts;
        store.audit()?;
        store.write(move |tx| {
            store::account::count_from(tx, limits.first_min())?;
            store::bound(tx, limits.books_bytes_max).map_err(StoreError::from)
        })?;
        let released = store.write(move |tx| payment::release_undispatched(tx, now))?;
        if !released.is_empty() {
            tracing::warn!(payments = released.len(), "released payments that were never sent");
        }
        if let Some(faucet) = faucet {
            store.write(move |tx| store::fill(tx, &faucet, now).map_err(StartError::from))?;
        }
        let always: Vec<_> =
            std::iter::once(service_pubkey).chain(faucet.map(|faucet| faucet.pubkey)).collect();
        let exempt = always.iter().copied().chain(admin).collect();
        let connections =
            store.read(|view| store::connection::living(view, now).map_err(StoreError::from))?;
        let access = admin.map_or(Access::Open, |admin| Access::Admitted { admin, always });
        let wallet = Self {
            store,
            backend,
            entropy,
            service_pubkey,
            access,
            limits,
            fees,
            exempt,
            connections: watch::Sender::new(Arc::new(connections)),
            reloading: Mutex::new(()),
            solvent: watch::Sender::new(true),
            addresses: None,
            started_at: now,
            backlog: Mutex::default(),
            looked_until: AtomicI64::new(0),
        };
        wallet.reconcile(now)?;
        // What the node was not told before the last end, and whether payments may go on.
        wallet.tell_node()?;
        wallet.watch_solvency()?;
        Ok(wallet)
    }

    /// Gives every key a Lightning address at `site`. `secret` is the service key's; what proves that a
    /// verification URL is ours is derived from it.
    #[must_use]
    pub fn with_addresses(self, site: Site, secret: &Zeroizing<[u8; 32]>) -> Self {
        let addresses = Some(lnurl::Addresses::new(site, &self.service_pubkey, secret));
        Self { addresses, ..self }
    }

    /// Does what `caller` asks. Blocks until the result is on the disk.
    #[must_use]
    pub fn handle(&self, caller: &PublicKey, request: Request, now: UnixSecs) -> Handled {
        self.answer(Ok(Caller::owner(*caller)), request, now)
    }

    /// Does what an event asks for, once: the same event again gets the same answer and changes nothing.
    #[must_use]
    pub fn handle_event(&self, event: &RequestEvent, door: Door, request: Request, now: UnixSecs) -> Handled {
        self.answer(self.caller(event, door, now), request, now)
    }

    fn backlog(&self) -> MutexGuard<'_, Vec<Notice>> {
        // Whoever panicked left whole notices.
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, caller: Result<Caller, Refusal>, request: Request, now: UnixSecs) -> Handled {
        let method = request.method();
        let done = caller.and_then(|caller| {
            caller.check(&method)?;
            self.dispatch(&caller, request, now)
        });
        done.unwrap_or_else(|refusal| Handled::now(Response::refused(&method, refusal.into_error(&method))))
    }

    fn dispatch(&self, caller: &Caller, request: Request, now: UnixSecs) -> Result<Handled, Refusal> {
        let wallet = &caller.wallet;
        let body = match request {
            Request::GetInfo(_) => ResultBody::GetInfo(self.info(caller)?),
            Request::GetBalance(_) => ResultBody::GetBalance(self.balance(wallet)?),
            Request::LookupInvoice(wanted) => ResultBody::LookupInvoice(self.lookup(wallet, &wanted, now)?),
            Request::ListTransactions(wanted) => {
                ResultBody::ListTransactions(self.list(wallet, &wanted, now)?)
            }
            Request::GetBudget(_) => ResultBody::GetBudget(self.budget(caller, now)?),
            Request::ListConnections(_) => ResultBody::ListConnections(self.list_connections(caller, now)?),
            Request::MakeInvoice(terms) => return self.make_invoice(caller, terms, now),
            Request::MakeHoldInvoice(terms) => return self.make_hold_invoice(caller, terms, now),
            Request::SettleHoldInvoice(wanted) => return self.settle_hold_invoice(caller, wanted, now),
            Request::CancelHoldInvoice(wanted) => return self.cancel_hold_invoice(caller, wanted, now),
            Request::CreateConnection(wanted) => return self.create_connection(caller, wanted, now),
            Request::RevokeConnection(wanted) => return self.revoke_connection(caller, wanted, now),
            Request::MakeInvoiceFor(terms) => {
                return self.make_for(caller, terms, now).map(|(handled, _)| handled);
            }
            Request::AddPubkey(wanted) => return self.admit(caller, wanted.pubkey, now),
            Request::ChooseName(wanted) => return self.choose_name(caller, wanted.name, now),
            Request::PayInvoice(wanted) => return self.pay(caller, wanted, now),
            Request::Unknown(name) => {
                return Ok(Handled::now(Response::not_implemented(&Method::Unknown(name))));
            }
        };
        Ok(Handled::now(Response::done(body)))
    }

    fn info(&self, caller: &Caller) -> Result<Info, Refusal> {
        let all = || Notification::TYPES.map(str::to_owned).to_vec();
        Ok(Info {
            alias: Some(ALIAS.to_owned()),
            pubkey: Some(self.backend.node_id().to_string()),
            network: Some(self.backend.network().to_string()),
            block_height: self.backend.block_height(),
            methods: caller.allowed(&Method::NIP),
            notifications: caller.connection.as_ref().map_or_else(all, |one| one.notifications.clone()),
            lud16: self.lightning_address(&caller.wallet)?,
            ..Info::default()
        })
    }

    fn balance(&self, caller: &PublicKey) -> Result<Balance, Refusal> {
        let balance = self.store.balance(Account::User(caller.to_bytes()))?;
        Ok(Balance { balance })
    }

    fn admit(&self, caller: &Caller, key: PublicKey, now: UnixSecs) -> Result<Handled, Refusal> {
        match &self.access {
            Access::Admitted { admin, .. } if *admin == caller.wallet && caller.connection.is_none() => {}
            Access::Admitted { .. } => return Err(Refusal::NotAdmin),
            Access::Open => return Err(Refusal::OpenToAll),
        }
        let (handled, _) = self.once::<()>(caller, &Method::AddPubkey, now, move |tx, _| {
            store::register(tx, &key, now)?;
            Ok((Handled::now(Response::done(ResultBody::AddPubkey(Registered {}))), None))
        })?;
        Ok(handled)
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

    /// The payees that the house asked for invoices for: itself and its containers. At most `limit`, the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn payees_of_house(&self, limit: usize) -> Result<Vec<PublicKey>, StoreError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        self.store.read(|view| invoice::payees_of_house(view, limit).map_err(StoreError::from))
    }

    /// The connections that hear of this type of a wallet's notifications besides its owner.
    #[must_use]
    pub fn listeners(&self, owner: &PublicKey, kind: &str, now: UnixSecs) -> Vec<Connection> {
        connections::listeners(&self.connections.borrow(), owner, kind, now)
    }

    /// The wallet's bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it costs.
    #[must_use]
    pub const fn fees(&self) -> &Fees {
        &self.fees
    }

    /// The wallet's file.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }
}

#[cfg(test)]
mod tests;
