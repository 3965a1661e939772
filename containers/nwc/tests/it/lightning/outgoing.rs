//! Paying somebody else's invoice.

use ledger::Account;
use nostr::key::PublicKey;
use nwc::lightning::{Dispatch, NodeEvent};
use nwc::service::{Answer, NodeOutcome, NodeReport};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use super::AMOUNT;
use crate::support::node::{amountless_invoice, foreign_invoice};
use crate::support::{NOW, ScriptedNode, World, assert_refused, person, told};

/// One hundredth, at least 10 sat.
const RESERVE: i64 = 10_000;
const START: i64 = 200_000;

/// Alice has money and a payment of hers is on its way.
struct InFlight {
    world: World,
    node: std::sync::Arc<ScriptedNode>,
    alice: PublicKey,
    invoice: String,
    hash: PaymentHash,
    preimage: Preimage,
}

impl InFlight {
    fn with(dispatch: Dispatch) -> Self {
        let (world, node) = World::on_lightning();
        let alice = person(1);
        world.give(alice, START);
        let (invoice, hash, preimage) = foreign_invoice(1, Msat::new(AMOUNT), NOW);
        node.next(dispatch);
        let in_flight = Self { world, node, alice, invoice, hash, preimage };
        assert_eq!(in_flight.ask().answer, Answer::WhenSettled(hash));
        in_flight.assert_held();
        in_flight
    }

    fn ask(&self) -> nwc::service::Handled {
        self.world.handle(self.alice, Request::PayInvoice(PayInvoice::of(self.invoice.clone())), NOW)
    }

    fn report(&self, event: NodeEvent) -> NodeReport {
        self.world.wallet().on_node_event(event, self.node.as_ref(), NOW.plus_secs(9)).unwrap()
    }

    fn settled(&self, fee: i64) -> NodeEvent {
        NodeEvent::PaymentSettled {
            payment_hash: self.hash,
            preimage: self.preimage.clone(),
            fee: Msat::new(fee),
        }
    }

    /// The newest attempt failed.
    fn failed(&self) -> NodeEvent {
        let attempt = self.node.attempt(self.hash);
        NodeEvent::PaymentFailed { payment_hash: self.hash, attempt, reason: "no route".to_owned() }
    }

    #[track_caller]
    fn assert_accounts(&self, alice: i64, hold: i64, node: i64) {
        let accounts = [Account::User(self.alice.to_bytes()), Account::Hold, Account::NodeLightning];
        assert_eq!(accounts.map(|account| self.world.account(account)), [alice, hold, node]);
        self.world.audit();
    }

    #[track_caller]
    fn assert_held(&self) {
        self.assert_accounts(START - AMOUNT - RESERVE, AMOUNT + RESERVE, 0);
        assert_eq!(self.state(), Some(TransactionState::Pending));
    }

    #[track_caller]
    fn assert_paid(&self, fee: i64) {
        self.assert_accounts(START - AMOUNT - fee, 0, AMOUNT + fee);
        assert_eq!(self.state(), Some(TransactionState::Settled));
    }

    fn state(&self) -> Option<TransactionState> {
        self.world.lookup(self.alice, self.hash).unwrap().state
    }
}

#[test]
fn attack_32_the_unused_reserve_comes_back_when_a_payment_settles() {
    let payment = InFlight::with(Dispatch::Sent);
    assert_eq!(payment.node.handed_over(), [(payment.hash, Msat::new(AMOUNT), Msat::new(RESERVE))]);
    let report = payment.report(payment.settled(3));
    payment.assert_paid(3);
    assert_eq!(told(&report.notices), [(payment.alice, "sent", Msat::new(AMOUNT))]);
    let (payer, hash, response) = report.answer.unwrap();
    assert_eq!((payer, hash), (payment.alice, payment.hash));
    let paid = Paid { preimage: payment.preimage.clone(), fees_paid: Msat::new(3) };
    assert_eq!(response.outcome(), Ok(&ResultBody::PayInvoice(paid.clone())));
    // Asking again gets the proof at once.
    let again = crate::support::outcome(payment.ask()).unwrap();
    assert_eq!(again, ResultBody::PayInvoice(paid));
    assert_eq!(payment.node.handed_over().len(), 1);
}

#[test]
fn attack_05_the_node_may_not_spend_more_on_fees_than_is_set_aside() {
    let payment = InFlight::with(Dispatch::Sent);
    assert_eq!(payment.node.handed_over()[0].2, Msat::new(RESERVE), "the very same number");
    payment.report(payment.settled(RESERVE));
    payment.assert_paid(RESERVE);
}

#[test]
fn attack_06_a_fee_beyond_the_reserve_is_the_houses_loss_not_the_payers_debt() {
    let payment = InFlight::with(Dispatch::Sent);
    payment.report(payment.settled(RESERVE + 7));
    payment.assert_accounts(START - AMOUNT - RESERVE, 0, AMOUNT + RESERVE + 7);
    assert_eq!(payment.world.account(Account::RoutingFee), -7);
}

#[test]
fn attack_09_asking_again_while_on_the_way_joins_and_after_failure_tries_again() {
    let payment = InFlight::with(Dispatch::Sent);
    assert_eq!(payment.ask().answer, Answer::WhenSettled(payment.hash));
    payment.assert_held();
    assert_eq!(payment.node.handed_over().len(), 1, "joined, not sent again");
    let report = payment.report(payment.failed());
    let (.., response) = report.answer.unwrap();
    let error = response.outcome().unwrap_err();
    assert_eq!((&error.code, error.message.contains("no route")), (&ErrorCode::PaymentFailed, true));
    assert_eq!(report.notices, []);
    payment.assert_accounts(START, 0, 0);
    assert_eq!(payment.state(), Some(TransactionState::Failed));
    // Another attempt of the same payment.
    assert_eq!(payment.ask().answer, Answer::WhenSettled(payment.hash));
    payment.assert_held();
    payment.report(payment.settled(1));
    payment.assert_paid(1);
    assert_eq!(payment.node.handed_over().len(), 2);
}

#[test]
fn attack_09_two_payers_of_one_foreign_invoice_do_not_pay_it_twice() {
    let payment = InFlight::with(Dispatch::Sent);
    let thief = person(2);
    payment.world.give(thief, START);
    let ask = || payment.world.ask(thief, Request::PayInvoice(PayInvoice::of(payment.invoice.clone())));
    assert_refused(ask(), ErrorCode::PaymentFailed, "somebody else");
    payment.report(payment.settled(1));
    assert_refused(ask(), ErrorCode::PaymentFailed, "somebody else");
    assert_eq!((payment.world.balance(thief), payment.node.handed_over().len()), (START, 1));
    payment.assert_paid(1);
}

#[test]
fn attack_11_a_stale_failure_does_not_undo_a_settled_payment() {
    let payment = InFlight::with(Dispatch::Sent);
    payment.report(payment.settled(1));
    assert_eq!(payment.report(payment.failed()), NodeReport::default());
    payment.assert_paid(1);
}

#[test]
fn attack_11_a_failure_of_the_attempt_before_does_not_fail_the_one_on_its_way() {
    let payment = InFlight::with(Dispatch::Sent);
    let first = payment.failed();
    assert_eq!(payment.report(first.clone()).outcome, NodeOutcome::Done);
    payment.assert_accounts(START, 0, 0);
    assert_eq!(payment.ask().answer, Answer::WhenSettled(payment.hash));
    // The node repeats what it reported of the first, which is the same hash.
    assert_eq!(payment.report(first.clone()), NodeReport::default());
    payment.assert_held();
    let second = payment.failed();
    assert_ne!(first, second);
    assert_eq!(payment.report(second).outcome, NodeOutcome::Done);
    payment.assert_accounts(START, 0, 0);
}

#[test]
fn attack_12_a_timeout_is_not_a_failure() {
    let payment = InFlight::with(Dispatch::Unknown("timed out".to_owned()));
    payment.assert_held();
    payment.report(payment.settled(2));
    payment.assert_paid(2);
}

#[test]
fn attack_13_money_locked_in_under_the_hash_of_an_outgoing_payment_is_sent_back() {
    let payment = InFlight::with(Dispatch::Sent);
    let inbound =
        NodeEvent::Claimable { payment_hash: payment.hash, amount: Msat::new(AMOUNT), deadline: None };
    assert_eq!(payment.report(inbound).outcome, NodeOutcome::Rejected);
    assert_eq!((payment.node.claimed(), payment.node.rejected()), (vec![], vec![payment.hash]));
    payment.assert_held();
}

#[test]
fn attack_15_a_payment_that_was_given_up_and_settles_after_all_is_charged_after_all() {
    let payment = InFlight::with(Dispatch::Sent);
    payment.report(payment.failed());
    payment.assert_accounts(START, 0, 0);
    let report = payment.report(payment.settled(5));
    assert_eq!(report.outcome, NodeOutcome::Done);
    payment.assert_paid(5);
    payment.report(payment.settled(5));
    payment.assert_paid(5);
}

#[test]
fn attack_15_what_a_payer_no_longer_has_goes_to_suspense() {
    let payment = InFlight::with(Dispatch::Sent);
    payment.report(payment.failed());
    payment.world.pay(payment.alice, &payment.world.invoice(person(2), START - 1_000)).unwrap();
    payment.report(payment.settled(5));
    payment.assert_accounts(0, 0, AMOUNT + 5);
    assert_eq!(payment.world.account(Account::Suspense), 1_000 - AMOUNT - 5);
}

#[test]
fn attack_18_a_crash_between_the_steps_of_a_payment_neither_loses_nor_repeats_it() {
    for unknown_at_restart in [false, true] {
        let mut payment = InFlight::with(Dispatch::Sent);
        payment.world.reopen().unwrap();
        payment.assert_held();
        if unknown_at_restart {
            assert_eq!(payment.ask().answer, Answer::WhenSettled(payment.hash));
        }
        payment.report(payment.settled(1));
        payment.world.reopen().unwrap();
        payment.assert_paid(1);
        // The node repeats a report that was written but not acknowledged.
        payment.report(payment.settled(1));
        payment.assert_paid(1);
        assert_eq!(payment.node.handed_over().len(), 1);
    }
}

#[test]
fn attack_19_reports_twice_and_in_any_order_end_the_same() {
    const SETTLED: bool = true;
    const FAILED: bool = false;
    let orders: [&[bool]; 4] = [
        &[SETTLED, SETTLED],
        &[SETTLED, FAILED, SETTLED],
        &[FAILED, FAILED, SETTLED],
        &[FAILED, SETTLED, FAILED],
    ];
    for order in orders {
        let payment = InFlight::with(Dispatch::Sent);
        let event = |kind: &bool| if *kind == SETTLED { payment.settled(1) } else { payment.failed() };
        let notices: usize = order.iter().map(|kind| payment.report(event(kind)).notices.len()).sum();
        payment.assert_paid(1);
        assert_eq!(notices, 1, "told once");
    }
}

/// The first attempt fails, the second is on its way; then its reports come, with those of the first among them.
#[test]
fn attack_19_reports_of_two_attempts_in_any_order_end_the_same() {
    let orders: [&[u8]; 6] =
        [&[1, 1, 3], &[3, 1, 2, 3], &[2, 1, 3, 2], &[1, 2, 3, 1], &[2, 3, 3, 1], &[3, 3, 2, 1]];
    for order in orders {
        let payment = InFlight::with(Dispatch::Sent);
        let first = payment.failed();
        assert_eq!(payment.report(first.clone()).outcome, NodeOutcome::Done);
        payment.assert_accounts(START, 0, 0);
        assert_eq!(payment.ask().answer, Answer::WhenSettled(payment.hash));
        let second = payment.failed();
        assert_ne!(first, second);
        let mut notices = 0;
        for number in order {
            let event = match number {
                1 => first.clone(),
                2 => second.clone(),
                _ => payment.settled(1),
            };
            notices += payment.report(event).notices.len();
            if *number == 1 && notices == 0 && payment.state() == Some(TransactionState::Pending) {
                payment.assert_held();
            }
        }
        payment.assert_paid(1);
        assert_eq!(notices, 1, "told once: {order:?}");
        assert_eq!(payment.node.handed_over().len(), 2);
    }
}

#[test]
fn a_false_proof_settles_nothing() {
    let payment = InFlight::with(Dispatch::Sent);
    let lie = NodeEvent::PaymentSettled {
        payment_hash: payment.hash,
        preimage: Preimage::from_bytes([9; 32]),
        fee: Msat::ZERO,
    };
    assert_eq!(payment.report(lie).outcome, NodeOutcome::FalseProof);
    payment.assert_held();
}

#[test]
fn reports_about_unknown_payments_change_nothing() {
    let payment = InFlight::with(Dispatch::Sent);
    let preimage = Preimage::from_bytes([9; 32]);
    let hash = crate::support::node::hash_of(&preimage);
    for event in [
        NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::ZERO },
        NodeEvent::PaymentFailed {
            payment_hash: hash,
            attempt: payment.node.attempt(payment.hash),
            reason: String::new(),
        },
    ] {
        assert_eq!(payment.report(event), NodeReport::default());
    }
    payment.assert_held();
}

#[test]
fn attack_23_an_expired_foreign_invoice_is_not_tried_but_a_paid_one_keeps_its_proof() {
    let payment = InFlight::with(Dispatch::Sent);
    let late = NOW.plus_secs(601);
    let (other, ..) = foreign_invoice(2, Msat::new(5), NOW);
    let ask = |invoice: &str, now: UnixSecs| {
        payment.world.handle(payment.alice, Request::PayInvoice(PayInvoice::of(invoice)), now)
    };
    assert_refused(crate::support::outcome(ask(&other, late)), ErrorCode::PaymentFailed, "expired");
    assert_eq!(ask(&payment.invoice, late).answer, Answer::WhenSettled(payment.hash));
    payment.report(payment.settled(1));
    assert!(crate::support::outcome(ask(&payment.invoice, late)).is_ok());
    assert_eq!(payment.node.handed_over().len(), 1);
}

#[test]
fn attack_23_an_invoice_without_an_amount_is_paid_with_just_what_was_asked() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    world.give(alice, START);
    let (invoice, payment_hash, preimage) = amountless_invoice(1, NOW);
    let ask = |msat: Option<i64>| {
        let wanted = PayInvoice { amount: msat.map(Msat::new), ..PayInvoice::of(invoice.clone()) };
        world.handle(alice, Request::PayInvoice(wanted), NOW)
    };
    assert_refused(crate::support::outcome(ask(None)), ErrorCode::Other, "names no amount");
    assert_eq!(ask(Some(AMOUNT)).answer, Answer::WhenSettled(payment_hash));
    assert_eq!(node.handed_over(), [(payment_hash, Msat::new(AMOUNT), Msat::new(RESERVE))]);
    // Asked again with another amount, it is the same payment: what is under way does not change.
    assert_eq!(ask(Some(1)).answer, Answer::WhenSettled(payment_hash));
    assert_eq!(node.handed_over().len(), 1);
    let settled = NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::new(3) };
    world.wallet().on_node_event(settled, node.as_ref(), NOW).unwrap();
    assert!(crate::support::outcome(ask(Some(1))).is_ok());
    world.assert_unmoved(&[alice], &[START - AMOUNT - 3]);
    assert_eq!(world.account(Account::NodeLightning), AMOUNT + 3);
}
