//! Being paid from outside.

use ledger::Account;
use nostr::key::PublicKey;
use nwc::lightning::NodeEvent;
use nwc::service::{NodeOutcome, NodeReport, Notice};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use super::AMOUNT;
use crate::support::{NOW, ScriptedNode, World, assert_refused, person, told};

/// An invoice of Alice's, and a node through which outsiders pay it.
struct Inbound {
    world: World,
    node: std::sync::Arc<ScriptedNode>,
    alice: PublicKey,
    invoice: Transaction,
}

impl Inbound {
    fn new() -> Self {
        let (world, node) = World::on_lightning();
        let invoice = world.invoice(person(1), AMOUNT);
        Self { world, node, alice: person(1), invoice }
    }

    fn report_at(&self, event: NodeEvent, now: UnixSecs) -> NodeReport {
        self.world.wallet().on_node_event(event, self.node.as_ref(), now).unwrap()
    }

    fn claimable(&self, msat: i64) -> NodeEvent {
        NodeEvent::Claimable {
            payment_hash: self.invoice.payment_hash,
            amount: Msat::new(msat),
            deadline: None,
        }
    }

    fn received(&self, msat: i64) -> NodeEvent {
        NodeEvent::Received { payment_hash: self.invoice.payment_hash, amount: Msat::new(msat) }
    }

    #[track_caller]
    fn assert_credited(&self, msat: i64) {
        let accounts = [Account::User(self.alice.to_bytes()), Account::NodeLightning];
        assert_eq!(accounts.map(|account| self.world.account(account)), [msat, -msat]);
        self.world.audit();
    }
}

#[test]
fn a_payment_from_outside_is_claimed_and_credited_once() {
    let inbound = Inbound::new();
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome, NodeOutcome::Claimed);
    inbound.assert_credited(0);
    // Asked again after a crash, the answer is the same.
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome, NodeOutcome::Claimed);
    let report = inbound.report_at(inbound.received(AMOUNT), NOW);
    assert_eq!(told(&report.notices), [(inbound.alice, "received", Msat::new(AMOUNT))]);
    assert_eq!(inbound.report_at(inbound.received(AMOUNT), NOW), NodeReport::default());
    inbound.assert_credited(AMOUNT);
    let seen = inbound.world.lookup(inbound.alice, inbound.invoice.payment_hash).unwrap();
    assert_eq!((seen.state, seen.preimage.is_some()), (Some(TransactionState::Settled), true));
}

#[test]
fn attack_08_an_invoice_paid_inside_is_not_paid_again_from_outside() {
    let inbound = Inbound::new();
    inbound.world.pay(person(0), &inbound.invoice).unwrap();
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome, NodeOutcome::Rejected);
    assert_eq!(inbound.node.rejected(), [inbound.invoice.payment_hash]);
    assert_eq!(inbound.world.balance(inbound.alice), AMOUNT);
    inbound.world.audit();
}

#[test]
fn attack_08_an_invoice_being_paid_from_outside_is_not_paid_inside() {
    let inbound = Inbound::new();
    inbound.report_at(inbound.claimable(AMOUNT), NOW);
    let refused = inbound.world.pay(person(0), &inbound.invoice);
    assert_refused(refused, ErrorCode::PaymentFailed, "somebody else");
    assert!(
        !inbound.world.wallet().cancel_invoice(inbound.alice, inbound.invoice.payment_hash, NOW).unwrap()
    );
    inbound.report_at(inbound.received(AMOUNT), NOW);
    inbound.assert_credited(AMOUNT);
}

#[test]
fn attack_08_paid_inside_and_from_outside_at_once_exactly_one_wins() {
    for _ in 0..20 {
        let inbound = Inbound::new();
        let (inside, outside) = std::thread::scope(|scope| {
            let inside = scope.spawn(|| inbound.world.pay(person(0), &inbound.invoice).is_ok());
            let outside = scope.spawn(|| inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome);
            (inside.join().unwrap(), outside.join().unwrap())
        });
        assert_eq!(inside, outside == NodeOutcome::Rejected, "{inside} {outside:?}");
        inbound.world.audit();
    }
}

#[test]
fn attack_14_a_second_payment_of_a_paid_invoice_is_sent_back_and_changes_nothing() {
    let inbound = Inbound::new();
    inbound.report_at(inbound.claimable(AMOUNT), NOW);
    inbound.report_at(inbound.received(AMOUNT), NOW);
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome, NodeOutcome::Rejected);
    inbound.assert_credited(AMOUNT);
}

#[test]
fn attack_16_an_underpaid_invoice_is_sent_back_and_stays_open() {
    let inbound = Inbound::new();
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT - 1), NOW).outcome, NodeOutcome::Rejected);
    inbound.assert_credited(0);
    inbound.report_at(inbound.claimable(AMOUNT), NOW);
    inbound.report_at(inbound.received(AMOUNT), NOW);
    inbound.assert_credited(AMOUNT);
}

#[test]
fn attack_17_what_is_credited_is_what_arrived() {
    for arrived in [AMOUNT - 300, AMOUNT + 5] {
        let inbound = Inbound::new();
        inbound.report_at(inbound.claimable(AMOUNT.max(arrived)), NOW);
        let report = inbound.report_at(inbound.received(arrived), NOW);
        inbound.assert_credited(arrived);
        let [Notice::Wallet { notification, .. }] = report.notices.as_slice() else { panic!("{report:?}") };
        assert_eq!(notification.transaction().amount, Msat::new(arrived));
    }
}

#[test]
fn attack_23_late_and_withdrawn_invoices_are_not_claimed() {
    let inbound = Inbound::new();
    let late = NOW.plus_secs(601);
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), late).outcome, NodeOutcome::Rejected);
    inbound.world.wallet().cancel_invoice(inbound.alice, inbound.invoice.payment_hash, NOW).unwrap();
    assert_eq!(inbound.report_at(inbound.claimable(AMOUNT), NOW).outcome, NodeOutcome::Rejected);
    inbound.assert_credited(0);
}

#[test]
fn money_for_an_invoice_that_was_never_claimed_is_not_credited() {
    let inbound = Inbound::new();
    let report = inbound.world.wallet().on_node_event(inbound.received(AMOUNT), inbound.node.as_ref(), NOW);
    assert_eq!(report.unwrap().outcome, NodeOutcome::Suspended);
    assert_eq!(inbound.world.account(Account::Suspense), AMOUNT);
    inbound.world.assert_unmoved(&[inbound.alice], &[0]);
}

/// A node that tells of the money before it asks whether to take it: what is booked once, as nobody's, is not credited
/// a second time.
#[test]
fn attack_19_money_that_is_received_before_it_is_offered_is_booked_once() {
    let inbound = Inbound::new();
    for (event, outcome) in [
        (inbound.received(AMOUNT), NodeOutcome::Suspended),
        (inbound.claimable(AMOUNT), NodeOutcome::Rejected),
        (inbound.received(AMOUNT), NodeOutcome::Nothing),
        (inbound.claimable(AMOUNT), NodeOutcome::Rejected),
    ] {
        assert_eq!(inbound.report_at(event, NOW).outcome, outcome);
        let accounts = [Account::Suspense, Account::NodeLightning];
        assert_eq!(accounts.map(|account| inbound.world.account(account)), [AMOUNT, -AMOUNT]);
        inbound.world.assert_unmoved(&[inbound.alice], &[0]);
    }
    assert_eq!(inbound.node.claimed(), []);
}
