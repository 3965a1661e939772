//! Random days of a wallet against an independent model: plain maps and numbers, no code of the product.
//! Handles are dropped and power is cut between any two operations.

mod reference;

use ledger::Account;
use nostr::key::PublicKey;
use nwc::lightning::{CannotPay, Dispatch, NodeEvent};
use nwc::service::{Answer, Handled, NodeOutcome};
use proptest::prelude::*;
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::foreign_invoice;
use crate::support::{FAUCET_MSAT, NOW, ScriptedNode, World, person};
use reference::{Arrival, Expected, HandOver, Reference};

const PEOPLE: u32 = 4;
const FOREIGN: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Invoice {
        payee: u32,
        msat: i64,
        expiry: u32,
    },
    Cancel {
        by: u32,
        invoice: usize,
    },
    /// Pays an invoice of this wallet, sometimes with an amount of one's own.
    Pay {
        payer: u32,
        invoice: usize,
        amount: Option<i64>,
    },
    /// Pays somebody else's invoice, and how the node takes it.
    PayForeign {
        payer: u32,
        foreign: usize,
        hand_over: HandOver,
    },
    NodeSettles {
        foreign: usize,
        fee: i64,
    },
    NodeFails {
        foreign: usize,
    },
    Claimable {
        invoice: usize,
        more: i64,
    },
    Received {
        invoice: usize,
        more: i64,
    },
    Wait {
        secs: u64,
    },
    Reopen,
    PowerCut,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..PEOPLE;
    let invoice = 0..12usize;
    let foreign = 0..FOREIGN;
    let amount = prop_oneof![6 => Just(None), 1 => (1..5_000i64).prop_map(Some)];
    let hand_over = prop_oneof![Just(HandOver::Sent), Just(HandOver::Refused), Just(HandOver::Unknown)];
    prop_oneof![
        6 => (who.clone(), 1..5_000i64, 30..900u32).prop_map(|(payee, msat, expiry)| Step::Invoice { payee, msat, expiry }),
        1 => (who.clone(), invoice.clone()).prop_map(|(by, invoice)| Step::Cancel { by, invoice }),
        8 => (who.clone(), invoice.clone(), amount).prop_map(|(payer, invoice, amount)| Step::Pay { payer, invoice, amount }),
        5 => (who, foreign.clone(), hand_over).prop_map(|(payer, foreign, hand_over)| Step::PayForeign { payer, foreign, hand_over }),
        2 => (foreign.clone(), 0..12_000i64).prop_map(|(foreign, fee)| Step::NodeSettles { foreign, fee }),
        2 => foreign.prop_map(|foreign| Step::NodeFails { foreign }),
        2 => (invoice.clone(), -1..3i64).prop_map(|(invoice, more)| Step::Claimable { invoice, more }),
        2 => (invoice, -1..3i64).prop_map(|(invoice, more)| Step::Received { invoice, more }),
        1 => (0..400u64).prop_map(|secs| Step::Wait { secs }),
        1 => Just(Step::Reopen),
        1 => Just(Step::PowerCut),
    ]
}

/// The product and the model side by side.
struct Walk {
    world: World,
    node: std::sync::Arc<ScriptedNode>,
    model: Reference,
    invoices: Vec<Transaction>,
    foreign: Vec<(String, PaymentHash, Preimage)>,
    now: UnixSecs,
}

impl Walk {
    fn new() -> Self {
        let (world, node) = World::on_lightning();
        let amount = |n: usize| i64::try_from(n + 1).unwrap() * 40_000_000;
        let foreign = (0..FOREIGN)
            .map(|n| foreign_invoice(u8::try_from(n + 1).unwrap(), Msat::new(amount(n)), NOW))
            .collect();
        let mut model = Reference::new();
        model.give(0, FAUCET_MSAT - 400_000_000);
        for n in [1, 2] {
            world.give(person(n), 200_000_000);
            model.give(n, 200_000_000);
        }
        for n in 0..FOREIGN {
            model.add_foreign(amount(n), NOW.0 + 600);
        }
        Self { world, node, model, invoices: Vec::new(), foreign, now: NOW }
    }

    fn run(&mut self, step: &Step) {
        // Every step takes a second, so that no two things happen at the same time.
        self.now = self.now.plus_secs(1);
        match *step {
            Step::Invoice { payee, msat, expiry } => {
                let terms = MakeInvoice { expiry_secs: Some(expiry), ..MakeInvoice::of(Msat::new(msat)) };
                self.invoices.push(self.world.call(person(payee), &terms, self.now).unwrap());
                self.model.add_invoice(payee, msat, self.now.0 + u64::from(expiry));
            }
            Step::Cancel { by, invoice } => {
                let Some(known) = self.invoices.get(invoice) else { return };
                let done =
                    self.world.wallet().cancel_invoice(person(by), known.payment_hash, self.now).unwrap();
                assert_eq!(done, self.model.cancel(by, invoice, self.now.0), "{step:?}");
            }
            Step::Pay { payer, invoice, amount } => {
                let Some(known) = self.invoices.get(invoice) else { return };
                let amount = amount.map(Msat::new);
                let request = PayInvoice { amount, ..PayInvoice::of(known.invoice.clone().unwrap()) };
                let expected = self.model.pay(payer, invoice, amount.map(Msat::msat), self.now.0);
                self.pay(payer, request, &expected);
            }
            Step::PayForeign { payer, foreign, hand_over } => self.pay_foreign(payer, foreign, hand_over),
            Step::NodeSettles { foreign, fee } => {
                let (_, payment_hash, preimage) = self.foreign[foreign].clone();
                let event = NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::new(fee) };
                let news = self.model.node_settles(foreign, fee);
                assert_eq!(self.report(event), Ok(outcome_of(news)), "{step:?}");
            }
            Step::NodeFails { foreign } => {
                let event = NodeEvent::PaymentFailed {
                    payment_hash: self.foreign[foreign].1,
                    attempt: self.node.attempt(self.foreign[foreign].1),
                    reason: "no route".to_owned(),
                };
                let news = self.model.node_fails(foreign);
                assert_eq!(self.report(event), Ok(outcome_of(news)), "{step:?}");
            }
            Step::Claimable { invoice, more } => {
                let Some(known) = self.invoices.get(invoice) else { return };
                let amount = Msat::new(known.amount.msat() + more);
                let event = NodeEvent::Claimable { payment_hash: known.payment_hash, amount, deadline: None };
                let taken = self.model.claimable(invoice, amount.msat(), self.now.0);
                let expected = if taken { NodeOutcome::Claimed } else { NodeOutcome::Rejected };
                assert_eq!(self.report(event), Ok(expected), "{step:?}");
            }
            Step::Received { invoice, more } => {
                let Some(known) = self.invoices.get(invoice) else { return };
                let amount = Msat::new((known.amount.msat() + more).max(1));
                let event = NodeEvent::Received { payment_hash: known.payment_hash, amount };
                let expected = match self.model.received(invoice, amount.msat()) {
                    Arrival::Credited => NodeOutcome::Done,
                    Arrival::Nobodys => NodeOutcome::Suspended,
                    Arrival::Known => NodeOutcome::Nothing,
                };
                assert_eq!(self.report(event), Ok(expected), "{step:?}");
            }
            Step::Wait { secs } => self.now = self.now.plus_secs(secs),
            Step::Reopen => self.world.reopen_at(self.now).unwrap(),
            Step::PowerCut => self.world.crash_at(self.now).unwrap(),
        }
    }

    fn pay_foreign(&mut self, payer: u32, foreign: usize, hand_over: HandOver) {
        let before = self.node.handed_over().len();
        self.node.clear_script();
        self.node.next(match hand_over {
            HandOver::Sent => Dispatch::Sent,
            HandOver::Refused => Dispatch::Refused(CannotPay("not running".into())),
            HandOver::Unknown => Dispatch::Unknown("reset".to_owned()),
        });
        let (expected, handed_over) = self.model.pay_foreign(payer, foreign, hand_over, self.now.0);
        self.pay(payer, PayInvoice::of(self.foreign[foreign].0.clone()), &expected);
        assert_eq!(self.node.handed_over().len() - before, usize::from(handed_over), "no payment twice");
    }

    fn pay(&self, payer: u32, request: PayInvoice, expected: &Expected) {
        let handled = self.world.handle(person(payer), Request::PayInvoice(request), self.now);
        assert_eq!(short(handled), *expected);
    }

    fn report(&self, event: NodeEvent) -> Result<NodeOutcome, ()> {
        let report = self.world.wallet().on_node_event(event, self.node.as_ref(), self.now);
        report.map(|report| report.outcome).map_err(drop)
    }

    fn check(&self) {
        self.world.audit();
        for n in 0..PEOPLE {
            assert_eq!(self.world.balance(person(n)), self.model.balance(n), "person {n}");
        }
        assert_eq!(self.world.account(Account::Hold), self.model.held(), "on hold is what is in flight");
        assert_eq!(self.world.account(Account::NodeLightning), self.model.node_balance());
        assert_eq!(self.world.account(Account::Suspense), self.model.suspense());
        for (index, invoice) in self.invoices.iter().enumerate() {
            self.check_paid(person(self.model.payee(index)), invoice.payment_hash, self.model.is_paid(index));
        }
    }

    /// An invoice shows its proof if and only if it was paid.
    fn check_paid(&self, payee: PublicKey, hash: PaymentHash, paid: bool) {
        // What nobody paid may be forgotten after a while.
        if let Ok(seen) = self.world.lookup_at(payee, hash, self.now) {
            let settled = seen.state == Some(TransactionState::Settled);
            assert_eq!((settled, seen.preimage.is_some()), (paid, paid), "{seen:?}");
        } else {
            assert!(!paid);
        }
    }
}

fn outcome_of(news: bool) -> NodeOutcome {
    if news { NodeOutcome::Done } else { NodeOutcome::Nothing }
}

fn short(handled: Handled) -> Expected {
    match handled.answer {
        Answer::WhenSettled(_) => Expected::OnItsWay,
        Answer::Again(text) => panic!("repeated: {text}"),
        Answer::Now(response) => match response.outcome() {
            Ok(_) => Expected::Paid,
            Err(error) => Expected::Refused(error.code.as_str().to_owned()),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_days_agree_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut walk = Walk::new();
        for step in &steps {
            walk.run(step);
            walk.check();
        }
    }
}
