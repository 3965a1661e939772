//! The product and the model side by side, one random operation after the other.

mod operations;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use nostr::event::EventId;
use nostr::key::PublicKey;
use nwc::config::{Faucet, Limits};
use nwc::entropy::OsEntropy;
use nwc::lightning::NodeEvent;
use nwc::service::{
    Door, FeeReserve, Fees, Handled, HoldingFee, Parts, PaymentFee, RequestEvent, Scheme, Wallet,
};
use nwc::store::Store;
use protocol::nwc::*;
use rusqlite::Connection;
use tempfile::TempDir;
use units::{Msat, UnixSecs};

use super::node::{Killer, Node};
use super::pencil::{FEE, FEE_PPM, HOLDING, HOLDING_SECS, LOCKED_SECS, PEOPLE, Pencil, Says};
use crate::support::node::foreign_invoice;
use crate::support::{NOW, person};

const RICH: i64 = 100_000_000;
const FOREIGN: [i64; 4] = [5_000, 2_000_000, 30_000_000, 60_000_000];
/// One operation in so many is cut short.
const CRASH_ONE_IN: u64 = 16;
/// Most operations have so many moments; those that also talk to the node have up to so many.
const MOMENTS: [u64; 2] = [3, 10];
/// The whole file is audited every so many operations, and at every start.
const AUDIT_EVERY: usize = 125;

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }

    fn msat(&mut self, end: u64) -> i64 {
        i64::try_from(self.below(end)).unwrap() + 1
    }
}

/// An invoice of ours as its payee got it.
struct Made {
    text: String,
    hash: PaymentHash,
    /// Of a hold invoice.
    preimage: Option<Preimage>,
}

/// An operation, as it is repeated after a crash.
#[derive(Clone, Debug)]
enum Step {
    Ask { client: PublicKey, service: PublicKey, request: Request },
    Report(NodeEvent),
    Upkeep,
}

pub(super) struct Walk {
    dice: Dice,
    dir: TempDir,
    killer: Arc<Killer>,
    node: Arc<Node>,
    wallet: Option<Wallet>,
    /// Reads beside the product.
    raw: Option<Connection>,
    pencil: Pencil,
    made: Vec<Made>,
    foreign: Vec<(String, PaymentHash, Preimage)>,
    service: PublicKey,
    people: Vec<PublicKey>,
    /// Names of the people's accounts.
    keys: Vec<String>,
    /// Clients and service keys, in the pencil's order.
    connections: Vec<(PublicKey, PublicKey)>,
    now: UnixSecs,
    events: u64,
    /// What the node ever reported of payments.
    reported: Vec<NodeEvent>,
    /// How often the failure of an older attempt came while a newer one was on its way.
    stale: u32,
    /// How often nothing was paid to the outside because the house could not have paid everybody.
    stopped: u32,
    crashes: u32,
}

/// What a walk met.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Met {
    /// Operations that were cut short.
    pub(super) crashes: u32,
    /// Reports that came too late.
    pub(super) stale: u32,
    /// Payments that were stopped while more was owed than there was.
    pub(super) stopped: u32,
    /// Payments through a connection.
    pub(super) through: u32,
}

impl Walk {
    pub(super) fn new(seed: u64) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let dir = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        let killer = Arc::new(Killer::default());
        let node = Arc::new(Node::new(Arc::clone(&killer)));
        let foreign = (1_u8..).zip(FOREIGN).map(|(seed, msat)| {
            // Valid for as long as any walk lasts.
            foreign_invoice(seed, Msat::new(msat), NOW.plus_secs(1_000_000))
        });
        let mut walk = Self {
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            dir: dir.unwrap(),
            killer,
            node,
            wallet: None,
            raw: None,
            pencil: Pencil::new(RICH, &FOREIGN),
            made: Vec::new(),
            foreign: foreign.collect(),
            service: person(99),
            people: (0..PEOPLE).map(|n| person(u32::try_from(n).unwrap())).collect(),
            keys: (0..PEOPLE)
                .map(|n| format!("user:{}", person(u32::try_from(n).unwrap()).to_hex()))
                .collect(),
            connections: Vec::new(),
            // A day ends during the walk, and with it the period of budgets.
            now: NOW.plus_secs(5_000),
            events: seed << 32,
            reported: Vec::new(),
            stale: 0,
            stopped: 0,
            crashes: 0,
        };
        walk.reopen();
        walk
    }

    /// So many operations.
    pub(super) fn run(mut self, operations: usize) -> Met {
        for n in 0..operations {
            self.now = self.now.plus_secs(1);
            self.operation();
            self.check();
            self.check_budgets();
            if n % AUDIT_EVERY == 0 {
                self.wallet().store().audit().unwrap();
            }
        }
        self.wallet().store().audit().unwrap();
        let through = self.pencil.paid_through();
        Met { crashes: self.crashes, stale: self.stale, stopped: self.stopped, through }
    }

    /// Every connection is told what the pencil says.
    fn check_budgets(&self) {
        for (index, (client, service)) in self.connections.iter().enumerate() {
            let event = RequestEvent {
                event: EventId::from_byte_array([0xff; 32]),
                client: *client,
                service: *service,
                scheme: Scheme::Nip44,
                signed_at: self.now,
            };
            let request = Request::GetBudget(GetBudget {});
            let told = self.wallet().handle_event(&event, Door::Public, request, self.now);
            let told = GetBudget::parse_reply(&told.text().unwrap()).unwrap();
            let spent = Msat::new(self.pencil.spent(index, self.now.0));
            let budget = Msat::new(self.pencil.connections[index].budget);
            assert_eq!((told.used_budget, told.total_budget), (Some(spent), Some(budget)));
        }
    }

    fn wallet(&self) -> &Wallet {
        self.wallet.as_ref().unwrap()
    }

    /// Drops every handle and opens the files again, without further harm.
    fn reopen(&mut self) {
        self.wallet = None;
        self.raw = None;
        self.killer.arm(0);
        let path = self.dir.path().join("wallet.db");
        let killer: Arc<dyn nwc::store::Interruption> = Arc::clone(&self.killer) as _;
        let parts = Parts {
            store: Store::open_interrupted(&path, Some(killer)).unwrap(),
            backend: Arc::clone(&self.node) as _,
            entropy: Box::new(OsEntropy),
            service_pubkey: self.service,
            admin: None,
            faucet: Some(Faucet { pubkey: self.people[0], amount: Msat::new(RICH) }),
            limits: Limits {
                hold_secs_max: u32::try_from(LOCKED_SECS).unwrap(),
                in_flight_per_key: 1_000,
                holds_per_key: 1_000,
                // So little that every upkeep compacts: a crash finds it between any two of its steps.
                history_items_max: 3,
                journal_max: 8,
                first_msat_min: 1,
                anon_expiry_max_secs: 86_400,
                ..Limits::default()
            },
            fees: Fees {
                reserve: FeeReserve::default(),
                payment: PaymentFee { base: Msat::new(FEE), share_ppm: u32::try_from(FEE_PPM).unwrap() },
                holding: Some(HoldingFee {
                    amount: Msat::new(HOLDING),
                    period_secs: u32::try_from(HOLDING_SECS).unwrap(),
                }),
            },
        };
        self.wallet = Some(Wallet::start(parts, self.now).unwrap());
        self.raw = Some(Connection::open(path).unwrap());
    }

    fn ask(&mut self, who: usize, request: Request, model: impl FnOnce(&mut Pencil) -> Says) -> Handled {
        let (client, service) = (self.people[who], self.service);
        self.step(Step::Ask { client, service, request }, model).unwrap()
    }

    /// Does one operation, perhaps cut short, and sees that it happened once.
    fn step(&mut self, step: Step, model: impl FnOnce(&mut Pencil) -> Says) -> Option<Handled> {
        let before = self.pencil.clone();
        let expected = model(&mut self.pencil);
        self.node.is_at(self.pencil.height, self.pencil.spendable);
        self.events += 1;
        let crash = self.dice.below(CRASH_ONE_IN) == 0;
        let moments = MOMENTS[self.dice.index(2)];
        self.killer.arm(if crash { u32::try_from(self.dice.below(moments)).unwrap() + 1 } else { 0 });
        let crashes = self.crashes;
        let mut handled = self.perform(&step);
        if self.killer.is_dead() {
            self.crashes += 1;
            self.reopen();
            self.check_one_of(&before, &step);
            // The client repeats its event, the node its report.
            handled = self.perform(&step);
        }
        self.killer.arm(0);
        if let Some(handled) = &handled {
            let said = says(handled);
            let is_known = expected == Says::Known && matches!(said, Says::Done | Says::No);
            // A crash kept the node from hearing of it: at the next start it said so.
            let is_given_up = said == Says::No
                && before.hold != self.pencil.hold
                && self.crashes > crashes
                && self.foreign_hash(&step).is_some_and(|hash| !self.is_on_hold(hash));
            assert!(is_known || is_given_up || said == expected, "{step:?} {handled:?} {expected:?}");
        }
        handled
    }

    /// The hash of somebody else's invoice that is to be paid.
    fn foreign_hash(&self, step: &Step) -> Option<PaymentHash> {
        let Step::Ask { request: Request::PayInvoice(pay), .. } = step else { return None };
        self.foreign.iter().find(|(text, ..)| *text == pay.invoice).map(|(_, hash, _)| *hash)
    }

    fn perform(&self, step: &Step) -> Option<Handled> {
        match step {
            Step::Ask { client, service, request } => {
                let mut id = [0; 32];
                id[..8].copy_from_slice(&self.events.to_be_bytes());
                let event = RequestEvent {
                    event: EventId::from_byte_array(id),
                    client: *client,
                    service: *service,
                    scheme: Scheme::Nip44,
                    signed_at: self.now,
                };
                Some(self.wallet().handle_event(&event, Door::Public, request.clone(), self.now))
            }
            Step::Report(event) => {
                let report = self.wallet().on_node_event(event.clone(), self.node.as_ref(), self.now);
                assert!(report.is_ok() || self.killer.is_dead(), "{step:?} {report:?}");
                None
            }
            Step::Upkeep => {
                let done = self.wallet().upkeep(self.now);
                assert!(done.is_ok() || self.killer.is_dead(), "{done:?}");
                None
            }
        }
    }

    /// After a crash the file says that the operation happened or that it did not, and nothing else.
    fn check_one_of(&self, before: &Pencil, step: &Step) {
        let found = self.found();
        // Upkeep is several changes: what is overdue goes back before anything is charged.
        let mut between = before.clone();
        if matches!(step, Step::Upkeep) {
            between.end_holds(self.now.0);
        }
        let allowed = [sums(before), sums(&between), sums(&self.pencil)];
        assert!(allowed.contains(&found), "{step:?}\nfound {found:?}\nallowed {allowed:?}");
    }

    /// What the file says, read with a connection and a query of the test's own.
    fn found(&self) -> Sums {
        let raw = self.raw.as_ref().unwrap();
        let mut select = raw.prepare_cached("SELECT key, balance_msat FROM ledger_account").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let balances: BTreeMap<String, i64> = rows.collect::<Result<_, _>>().unwrap();
        let msat = |key: &str| balances.get(key).copied().unwrap_or(0);
        assert_eq!(balances.values().sum::<i64>(), 0, "the books balance");
        let lowest = balances.iter().filter(|(key, _)| key.starts_with("user:") || *key == "hold");
        assert!(lowest.clone().all(|(_, balance)| *balance >= 0), "{balances:?}");
        let mut money = [0; PEOPLE];
        for (money, key) in money.iter_mut().zip(&self.keys) {
            *money = msat(key);
        }
        (money, ["hold", "node-lightning", "service-fee", "suspense"].map(msat))
    }

    fn check(&self) {
        assert_eq!(self.found(), sums(&self.pencil));
        let in_flight: i64 = self
            .raw
            .as_ref()
            .unwrap()
            .prepare_cached(
                "SELECT coalesce(sum(amount_msat + reserve_msat + service_fee_msat), 0) FROM payment
                 WHERE state IN ('held', 'dispatched')",
            )
            .unwrap()
            .query_row([], |row| row.get(0))
            .unwrap();
        assert_eq!(in_flight, self.pencil.hold, "what is on hold is in flight");
        for (invoice, made) in self.pencil.invoices.iter().zip(&self.made) {
            let from_outside = invoice.is == super::pencil::Is::Paid && invoice.paid_by.is_none();
            assert!(!from_outside || self.node.has_claimed(made.hash), "credited without a claim");
        }
    }
}

type Sums = ([i64; PEOPLE], [i64; 4]);

fn sums(pencil: &Pencil) -> Sums {
    (pencil.money, [pencil.hold, pencil.node, pencil.house, pencil.suspense])
}

/// What an answer comes to.
fn says(handled: &Handled) -> Says {
    match handled.text() {
        None => Says::Waits,
        Some(text) if text.contains(r#""error":null"#) => Says::Done,
        Some(_) => Says::No,
    }
}
