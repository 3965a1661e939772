//! A wallet in a temporary directory, and people who use it.

pub(crate) mod node;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::sync::Arc;

use ledger::Account;
use nostr::event::EventId;
use nostr::key::{Keys, PublicKey};
use nwc::config::{Faucet, Limits};
use nwc::entropy::OsEntropy;
use nwc::home::{DirLock, Home};
use nwc::lightning::{InternalBackend, LightningBackend, Network};
use nwc::service::{Answer, Door, Fees, Handled, Notice, Parts, RequestEvent, Scheme, StartError, Wallet};
use protocol::nwc::*;
use tempfile::TempDir;
use units::{Msat, UnixSecs};

pub(crate) use node::ScriptedNode;

/// When the tests begin.
pub(crate) const NOW: UnixSecs = UnixSecs(1_700_000_000);
/// Where its Lightning addresses are.
pub(crate) const SITE: &str = "http://wallet.example:8080";
/// What the faucet holds.
pub(crate) const FAUCET_MSAT: i64 = 1_000_000_000;

/// A wallet that can be closed and opened again.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) setup: Setup,
    open: Option<Open>,
}

/// What a wallet is opened with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) limits: Limits,
    pub(crate) admin: Option<PublicKey>,
    pub(crate) faucet: Option<Faucet>,
    /// If set, the wallet is on Lightning.
    pub(crate) node: Option<Arc<ScriptedNode>>,
    pub(crate) fees: Fees,
}

struct Open {
    wallet: Wallet,
    service: PublicKey,
    _lock: DirLock,
}

impl Setup {
    pub(crate) fn new() -> Self {
        let faucet = Faucet { pubkey: person(0), amount: Msat::new(FAUCET_MSAT) };
        Self {
            // Small change opens wallets, and everybody's invoices last: the tests of the bounds say otherwise.
            limits: Limits { first_msat_min: 1, anon_expiry_max_secs: 86_400, ..Limits::default() },
            admin: None,
            faucet: Some(faucet),
            node: None,
            fees: Fees::default(),
        }
    }
}

/// The n-th person. The first one has the faucet.
pub(crate) fn person(n: u32) -> PublicKey {
    let mut secret = [7; 32];
    secret[..4].copy_from_slice(&n.to_be_bytes());
    Keys::new(nostr::key::SecretKey::from_slice(&secret).unwrap()).public_key()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Setup::new())
    }

    /// A wallet on Lightning, with a node that does what the test says.
    pub(crate) fn on_lightning() -> (Self, Arc<ScriptedNode>) {
        let node = Arc::new(ScriptedNode::default());
        (Self::with(Setup { node: Some(Arc::clone(&node)), ..Setup::new() }), node)
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let mut world = Self { dir: TempDir::new().unwrap(), setup, open: None };
        world.reopen().unwrap();
        world
    }

    /// Drops every handle and opens the files again.
    pub(crate) fn reopen(&mut self) -> Result<(), StartError> {
        self.reopen_at(NOW)
    }

    pub(crate) fn reopen_at(&mut self, now: UnixSecs) -> Result<(), StartError> {
        self.close();
        let Home { keys, store, lock } = Home::open(self.dir.path(), Network::Regtest, &OsEntropy).unwrap();
        let service = keys.service_pubkey();
        let secret = keys.service().clone();
        let signer = InternalBackend::new(keys.node(), Network::Regtest).unwrap();
        let backend: Arc<dyn LightningBackend> = match &self.setup.node {
            None => Arc::new(signer),
            Some(node) => {
                node.sign_with(signer);
                Arc::clone(node) as Arc<dyn LightningBackend>
            }
        };
        let parts = Parts {
            store,
            backend,
            entropy: Box::new(OsEntropy),
            service_pubkey: service,
            admin: self.setup.admin,
            faucet: self.setup.faucet,
            limits: self.setup.limits,
            fees: self.setup.fees,
        };
        let wallet = Wallet::start(parts, now)?.with_addresses(SITE.parse().unwrap(), &secret);
        self.open = Some(Open { wallet, service, _lock: lock });
        Ok(())
    }

    /// Drops every handle.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// What a power cut leaves: the files as they are while everything is open, nothing closed or
    /// flushed, and the beginnings of a write that never ended. Goes on from there.
    pub(crate) fn crash_at(&mut self, now: UnixSecs) -> Result<(), StartError> {
        let after = TempDir::new().unwrap();
        for file in ["wallet.db", "wallet.db-wal", "wallet.keys"] {
            fs::copy(self.dir.path().join(file), after.path().join(file)).unwrap();
        }
        let mut log = OpenOptions::new().append(true).open(after.path().join("wallet.db-wal")).unwrap();
        log.write_all(&[0xa5; 5_000]).unwrap();
        self.close();
        self.dir = after;
        self.reopen_at(now)
    }

    pub(crate) fn wallet(&self) -> &Wallet {
        &self.open.as_ref().unwrap().wallet
    }

    pub(crate) fn service(&self) -> PublicKey {
        self.open.as_ref().unwrap().service
    }

    pub(crate) fn handle(&self, caller: PublicKey, request: Request, now: UnixSecs) -> Handled {
        self.wallet().handle(&caller, request, now)
    }

    /// Asks as an event does that was sent to the main service key.
    pub(crate) fn handle_event(
        &self,
        client: PublicKey,
        event: u8,
        request: Request,
        now: UnixSecs,
    ) -> Handled {
        self.handle_at(client, self.service(), event, request, now)
    }

    /// Asks as an event does that was sent to this service key.
    pub(crate) fn handle_at(
        &self,
        client: PublicKey,
        service: PublicKey,
        event: u8,
        request: Request,
        now: UnixSecs,
    ) -> Handled {
        let event = EventId::from_byte_array([event; 32]);
        let event = RequestEvent { event, client, service, scheme: Scheme::Nip44, signed_at: now };
        self.wallet().handle_event(&event, Door::Public, request, now)
    }

    /// Asks as the server around the wallet does, for itself or one of its containers.
    pub(crate) fn handle_of_house(&self, client: PublicKey, event: u8, request: Request) -> Handled {
        let event = EventId::from_byte_array([event; 32]);
        let service = self.service();
        let event = RequestEvent { event, client, service, scheme: Scheme::Nip44, signed_at: NOW };
        self.wallet().handle_event(&event, Door::House, request, NOW)
    }

    pub(crate) fn ask(&self, caller: PublicKey, request: Request) -> Result<ResultBody, WalletError> {
        outcome(self.handle(caller, request, NOW))
    }

    /// Calls as a client does: both request and reply go through their text.
    pub(crate) fn call<C: Call>(
        &self,
        caller: PublicKey,
        call: &C,
        now: UnixSecs,
    ) -> Result<C::Reply, WalletError> {
        let handled = self.handle(caller, Request::from_json(&call.request_json()).unwrap(), now);
        let Some(text) = handled.text() else { panic!("{handled:?}") };
        match C::parse_reply(&text) {
            Ok(reply) => Ok(reply),
            Err(CallError::Wallet(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) fn invoice(&self, payee: PublicKey, msat: i64) -> Transaction {
        self.invoice_at(payee, msat, NOW).unwrap()
    }

    pub(crate) fn invoice_at(
        &self,
        payee: PublicKey,
        msat: i64,
        now: UnixSecs,
    ) -> Result<Transaction, WalletError> {
        self.call(payee, &MakeInvoice::of(Msat::new(msat)), now)
    }

    pub(crate) fn pay(&self, payer: PublicKey, invoice: &Transaction) -> Result<Paid, WalletError> {
        self.pay_at(payer, invoice, NOW)
    }

    pub(crate) fn pay_at(
        &self,
        payer: PublicKey,
        invoice: &Transaction,
        now: UnixSecs,
    ) -> Result<Paid, WalletError> {
        self.call(payer, &PayInvoice::of(invoice.invoice.clone().unwrap()), now)
    }

    /// Moves money from the faucet to somebody.
    pub(crate) fn give(&self, to: PublicKey, msat: i64) {
        let invoice = self.invoice(to, msat);
        self.pay(person(0), &invoice).unwrap();
    }

    pub(crate) fn balance(&self, of: PublicKey) -> i64 {
        self.call(of, &GetBalance {}, NOW).unwrap().balance.msat()
    }

    pub(crate) fn account(&self, account: Account) -> i64 {
        self.wallet().store().balance(account).unwrap().msat()
    }

    pub(crate) fn lookup(&self, caller: PublicKey, hash: PaymentHash) -> Result<Transaction, WalletError> {
        self.lookup_at(caller, hash, NOW)
    }

    pub(crate) fn lookup_at(
        &self,
        caller: PublicKey,
        hash: PaymentHash,
        now: UnixSecs,
    ) -> Result<Transaction, WalletError> {
        self.call(caller, &LookupInvoice::by_hash(hash), now)
    }

    pub(crate) fn list(&self, caller: PublicKey, wanted: ListTransactions) -> Vec<Transaction> {
        self.call(caller, &wanted, NOW).unwrap().transactions
    }

    /// Everything that the file promises holds.
    #[track_caller]
    pub(crate) fn audit(&self) {
        self.wallet().store().audit().unwrap();
    }

    /// The balances of these people, before and after something that must not change them.
    #[track_caller]
    pub(crate) fn assert_unmoved(&self, people: &[PublicKey], expected: &[i64]) {
        let balances: Vec<i64> = people.iter().map(|person| self.balance(*person)).collect();
        assert_eq!(balances, expected);
        self.audit();
    }
}

/// The answer that came at once.
#[track_caller]
pub(crate) fn outcome(handled: Handled) -> Result<ResultBody, WalletError> {
    match handled.answer {
        Answer::Now(response) => response.outcome().cloned().map_err(Clone::clone),
        Answer::Again(text) => panic!("repeated: {text}"),
        Answer::WhenSettled(hash) => panic!("{hash} is on its way"),
    }
}

/// The code of a refusal, and that its sentence says this.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(
    result: Result<T, WalletError>,
    code: ErrorCode,
    says: &str,
) {
    let error = result.unwrap_err();
    assert_eq!(error.code, code, "{error}");
    assert!(error.message.contains(says), "{error}");
}

/// Who is told what, in short.
pub(crate) fn told(notices: &[Notice]) -> Vec<(PublicKey, &'static str, Msat)> {
    let short = |notice: &Notice| match notice {
        Notice::Wallet { to, notification } => {
            let name = match notification {
                Notification::PaymentReceived(_) => "received",
                Notification::PaymentSent(_) => "sent",
                Notification::HoldInvoiceAccepted(_) => "accepted",
            };
            (*to, name, notification.transaction().amount)
        }
        Notice::Zap => panic!("a zap was paid"),
        Notice::Late(answer) => panic!("{answer:?}"),
    };
    notices.iter().map(short).collect()
}
