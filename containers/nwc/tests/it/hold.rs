//! Hold invoices: money is locked in until the payee gives the preimage, cancels, or its time is over.

use ledger::Account;
use nostr::key::PublicKey;
use nwc::lightning::NodeEvent;
use nwc::service::{Answer, Handled, NodeOutcome, Notice};
use protocol::nwc::*;
use units::{Msat, UnixSecs};

use crate::support::node::hash_of;
use crate::support::{NOW, ScriptedNode, Setup, World, assert_refused, outcome, person, told};

const AMOUNT: i64 = 5_000;
/// The height of the chain, and the one before which the node must have the preimage.
const HEIGHT: u32 = 800_000;
const DEADLINE: u32 = HEIGHT + 100;
/// Six blocks before that the payee's time is over.
const SETTLE_HEIGHT: u32 = DEADLINE - 6;

struct Held {
    world: World,
    node: std::sync::Arc<ScriptedNode>,
    payee: PublicKey,
    payer: PublicKey,
    preimage: Preimage,
    invoice: Transaction,
}

impl Held {
    fn new() -> Self {
        Self::in_world(World::on_lightning())
    }

    fn in_world((world, node): (World, std::sync::Arc<ScriptedNode>)) -> Self {
        node.is_at(HEIGHT);
        let (payee, payer, preimage) = (person(2), person(1), Preimage::from_bytes([0x77; 32]));
        world.give(payer, 20_000);
        let invoice = world.call(payee, &Self::terms(&preimage), NOW).unwrap();
        assert_eq!(
            (invoice.state, invoice.payment_hash),
            (Some(TransactionState::Pending), hash_of(&preimage))
        );
        Self { world, node, payee, payer, preimage, invoice }
    }

    fn terms(preimage: &Preimage) -> MakeHoldInvoice {
        MakeHoldInvoice {
            payment_hash: hash_of(preimage),
            invoice: MakeInvoice::of(Msat::new(AMOUNT)),
            min_cltv_expiry_delta: Some(20),
        }
    }

    /// The payer's request as the event of this number.
    fn pay(&self, event: u8) -> Handled {
        let request = Request::PayInvoice(PayInvoice::of(self.invoice.invoice.clone().unwrap()));
        self.world.handle_event(self.payer, event, request, NOW)
    }

    fn settle(&self, by: PublicKey, preimage: &Preimage, now: UnixSecs) -> Handled {
        let request = SettleHoldInvoice { preimage: preimage.clone() };
        self.world.handle(by, Request::SettleHoldInvoice(request), now)
    }

    fn cancel(&self, by: PublicKey, now: UnixSecs) -> Handled {
        let request = CancelHoldInvoice { payment_hash: self.invoice.payment_hash };
        self.world.handle(by, Request::CancelHoldInvoice(request), now)
    }

    fn locked_in_from_outside(&self) -> NodeOutcome {
        let event = NodeEvent::Claimable {
            payment_hash: self.invoice.payment_hash,
            amount: Msat::new(AMOUNT),
            deadline: Some(DEADLINE),
        };
        self.world.wallet().on_node_event(event, self.node.as_ref(), NOW).unwrap().outcome
    }

    fn arrived(&self) {
        let event =
            NodeEvent::Received { payment_hash: self.invoice.payment_hash, amount: Msat::new(AMOUNT) };
        self.world.wallet().on_node_event(event, self.node.as_ref(), NOW).unwrap();
    }

    fn state(&self) -> TransactionState {
        self.world.lookup(self.payee, self.invoice.payment_hash).unwrap().state.unwrap()
    }

    #[track_caller]
    fn assert_money(&self, payer: i64, hold: i64, payee: i64) {
        assert_eq!(
            (
                self.world.balance(self.payer),
                self.world.account(Account::Hold),
                self.world.balance(self.payee)
            ),
            (payer, hold, payee)
        );
        self.world.audit();
    }
}

/// The late answers among these notices: of which event, and their text.
fn late(notices: &[Notice]) -> Vec<(u8, String)> {
    let answer = |notice: &Notice| match notice {
        Notice::Late(answer) => Some((answer.to.event.as_bytes()[0], answer.text.clone())),
        Notice::Wallet { .. } | Notice::Zap => None,
    };
    notices.iter().filter_map(answer).collect()
}

#[test]
fn a_hold_invoice_locks_money_in_and_settles_with_the_payees_preimage() {
    let held = Held::new();
    let paying = held.pay(1);
    assert_eq!(paying.answer, Answer::WhenSettled(held.invoice.payment_hash));
    assert_eq!(told(&paying.notices), [(held.payee, "accepted", Msat::new(AMOUNT))]);
    held.assert_money(15_000, AMOUNT, 0);
    assert_eq!(held.state(), TransactionState::Accepted);
    // Asking again, in another event, joins.
    assert_eq!(held.pay(2).answer, Answer::WhenSettled(held.invoice.payment_hash));
    let settling = held.settle(held.payee, &held.preimage, NOW);
    let text = late(&settling.notices);
    assert_eq!(
        text.iter().map(|(event, _)| *event).collect::<Vec<_>>(),
        [1, 2],
        "both requests are answered"
    );
    assert_eq!(PayInvoice::parse_reply(&text[0].1).unwrap().preimage, held.preimage);
    assert_eq!(told(&settling.notices[2..]).len(), 2, "both hear of it");
    assert_eq!(outcome(settling).unwrap(), ResultBody::SettleHoldInvoice(Done {}));
    held.assert_money(15_000, 0, AMOUNT);
    // Again changes nothing, and an event that comes again gets its answer.
    assert!(outcome(held.settle(held.payee, &held.preimage, NOW)).is_ok());
    assert_eq!(held.pay(1).answer, Answer::Again(text[0].1.clone()));
    held.assert_money(15_000, 0, AMOUNT);
}

#[test]
fn a_cancelled_hold_invoice_gives_the_money_back() {
    let mut held = Held::new();
    held.pay(1);
    held.world.reopen().unwrap();
    held.assert_money(15_000, AMOUNT, 0);
    let cancelling = held.cancel(held.payee, NOW);
    let answers = late(&cancelling.notices);
    let [(1, text)] = answers.as_slice() else { panic!("{answers:?}") };
    assert_refused(
        PayInvoice::parse_reply(text).map_err(refusal),
        ErrorCode::PaymentFailed,
        "sent the payment back",
    );
    held.assert_money(20_000, 0, 0);
    assert!(outcome(held.cancel(held.payee, NOW)).is_ok(), "again is done already");
    assert_refused(
        outcome(held.settle(held.payee, &held.preimage, NOW)),
        ErrorCode::PaymentFailed,
        "withdrawn",
    );
    assert_refused(outcome(held.pay(2)), ErrorCode::PaymentFailed, "withdrawn");
}

fn refusal(error: CallError) -> WalletError {
    let CallError::Wallet(error) = error else { panic!("{error:?}") };
    error
}

#[test]
fn attack_10_a_hold_past_the_invoices_expiry_is_neither_lost_nor_paid_out_early() {
    let mut held = Held::new();
    held.pay(1);
    // The invoice expired long ago, but the money is locked in: others' invoices sweep, upkeep runs.
    let later = NOW.plus_secs(20 * 600);
    for n in 0..20 {
        held.world.invoice_at(person(30 + n), 5, later).unwrap();
    }
    assert_eq!(held.world.wallet().upkeep(later).unwrap(), []);
    held.world.reopen_at(later).unwrap();
    held.assert_money(15_000, AMOUNT, 0);
    let settled = held.settle(held.payee, &held.preimage, later);
    assert!(outcome(settled).is_ok(), "the last second is in time");
    held.assert_money(15_000, 0, AMOUNT);
}

#[test]
fn attack_10_after_the_deadline_settling_is_refused_and_upkeep_gives_the_money_back() {
    let held = Held::new();
    held.pay(1);
    let late_now = NOW.plus_secs(20 * 600 + 1);
    assert_refused(
        outcome(held.settle(held.payee, &held.preimage, late_now)),
        ErrorCode::Other,
        "time to settle",
    );
    held.assert_money(15_000, AMOUNT, 0);
    let notices = held.world.wallet().upkeep(late_now).unwrap();
    assert_eq!(late(&notices).len(), 1);
    held.assert_money(20_000, 0, 0);
    assert_eq!(held.world.wallet().upkeep(late_now).unwrap(), [], "once");
}

#[test]
fn attack_10_a_payment_to_anothers_hold_invoice_stays_on_hold_for_as_long_as_it_takes() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    world.give(alice, 200_000);
    let (invoice, hash, preimage) = crate::support::node::foreign_invoice(1, Msat::new(100_000), NOW);
    world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice)), NOW);
    // Its invoice expired weeks ago; the payee still can take it, so nothing may go back.
    let weeks = NOW.plus_secs(21 * 86_400);
    world.wallet().upkeep(weeks).unwrap();
    assert_eq!((world.balance(alice), world.account(Account::Hold)), (90_000, 110_000));
    let settled = NodeEvent::PaymentSettled { payment_hash: hash, preimage, fee: Msat::ZERO };
    world.wallet().on_node_event(settled, node.as_ref(), weeks).unwrap();
    assert_eq!((world.balance(alice), world.account(Account::Hold)), (100_000, 0));
    world.audit();
}

#[test]
fn money_from_outside_is_locked_in_claimed_with_the_preimage_and_credited_when_it_arrives() {
    let held = Held::new();
    assert_eq!(held.locked_in_from_outside(), NodeOutcome::Accepted);
    assert_eq!(held.locked_in_from_outside(), NodeOutcome::Accepted, "told again after a crash");
    let seen = held.world.lookup(held.payee, held.invoice.payment_hash).unwrap();
    assert_eq!((seen.state, seen.settle_deadline), (Some(TransactionState::Accepted), Some(SETTLE_HEIGHT)));
    assert_eq!(seen.preimage, None);
    assert_eq!(held.node.claimed(), []);
    assert!(outcome(held.settle(held.payee, &held.preimage, NOW)).is_ok());
    assert_eq!(held.node.claimed(), [held.invoice.payment_hash]);
    held.assert_money(20_000, 0, 0);
    held.arrived();
    held.assert_money(20_000, 0, AMOUNT);
}

#[test]
fn attack_20_a_hold_settled_after_its_channel_was_closed_credits_nothing() {
    let mut held = Held::new();
    held.locked_in_from_outside();
    // The payee's time is over by the chain: the channel may be closed already.
    held.node.is_at(SETTLE_HEIGHT);
    assert_refused(outcome(held.settle(held.payee, &held.preimage, NOW)), ErrorCode::Other, "time to settle");
    assert_eq!(held.node.claimed(), []);
    // A claim that was in time but never confirmed: the money never arrives, and is never credited.
    held.node.is_at(SETTLE_HEIGHT - 1);
    assert!(outcome(held.settle(held.payee, &held.preimage, NOW)).is_ok());
    held.node.is_at(DEADLINE + 1_000);
    held.world.wallet().upkeep(NOW.plus_secs(1_000_000)).unwrap();
    held.world.reopen().unwrap();
    held.assert_money(20_000, 0, 0);
    assert_eq!(held.state(), TransactionState::Accepted, "not settled before it arrived");
}

#[test]
fn money_from_outside_goes_back_when_the_payee_cancels_or_its_time_is_over() {
    let cancelled = Held::new();
    cancelled.locked_in_from_outside();
    assert!(outcome(cancelled.cancel(cancelled.payee, NOW)).is_ok());
    assert_eq!(cancelled.node.rejected(), [cancelled.invoice.payment_hash]);
    let overdue = Held::new();
    overdue.locked_in_from_outside();
    overdue.node.is_at(SETTLE_HEIGHT);
    overdue.world.wallet().upkeep(NOW).unwrap();
    assert_eq!(overdue.node.rejected(), [overdue.invoice.payment_hash]);
    for held in [cancelled, overdue] {
        held.assert_money(20_000, 0, 0);
        assert_eq!(held.locked_in_from_outside(), NodeOutcome::Rejected);
    }
}

#[test]
fn money_that_could_not_be_claimed_in_time_is_not_locked_in_at_all() {
    let held = Held::new();
    held.node.is_at(SETTLE_HEIGHT);
    assert_eq!(held.locked_in_from_outside(), NodeOutcome::Rejected);
    let without_deadline = NodeEvent::Claimable {
        payment_hash: held.invoice.payment_hash,
        amount: Msat::new(AMOUNT),
        deadline: None,
    };
    let report = held.world.wallet().on_node_event(without_deadline, held.node.as_ref(), NOW).unwrap();
    assert_eq!(report.outcome, NodeOutcome::Rejected);
    assert_eq!(held.state(), TransactionState::Pending);
}

#[test]
fn attack_24_nobody_settles_or_cancels_what_is_anothers() {
    let held = Held::new();
    held.pay(1);
    for thief in [held.payer, person(9)] {
        assert_refused(outcome(held.settle(thief, &held.preimage, NOW)), ErrorCode::NotFound, "no such");
        assert_refused(outcome(held.cancel(thief, NOW)), ErrorCode::NotFound, "no such");
    }
    let wrong = Preimage::from_bytes([0x78; 32]);
    assert_refused(outcome(held.settle(held.payee, &wrong, NOW)), ErrorCode::NotFound, "no such");
    held.assert_money(15_000, AMOUNT, 0);
}

#[test]
fn a_hash_is_used_once() {
    let held = Held::new();
    let again = |by| held.world.call(by, &Held::terms(&held.preimage), NOW);
    assert_refused(again(held.payee), ErrorCode::Other, "payment_hash exists");
    assert_refused(again(person(9)), ErrorCode::Other, "payment_hash exists");
    // Nor with the hash of a payment that is on its way: its proof would open the hold.
    let (invoice, _, preimage) = crate::support::node::foreign_invoice(3, Msat::new(1_000), NOW);
    held.world.handle(held.payer, Request::PayInvoice(PayInvoice::of(invoice)), NOW);
    let stolen = held.world.call(person(9), &Held::terms(&preimage), NOW);
    assert_refused(stolen, ErrorCode::Other, "payment_hash exists");
}

#[test]
fn nothing_can_be_settled_before_it_is_paid() {
    let held = Held::new();
    assert_refused(
        outcome(held.settle(held.payee, &held.preimage, NOW)),
        ErrorCode::Other,
        "nothing to settle",
    );
    assert_eq!(held.state(), TransactionState::Pending);
}

#[test]
fn attack_25_hold_invoices_cannot_lock_in_more_than_the_limits() {
    let mut setup = Setup::new();
    let node = std::sync::Arc::new(ScriptedNode::default());
    setup.node = Some(std::sync::Arc::clone(&node));
    (setup.limits.holds_per_key, setup.limits.in_flight_per_key) = (2, 3);
    let world = World::with(setup);
    node.is_at(HEIGHT);
    let payer = person(1);
    world.give(payer, 100_000);
    let lock = |payee: u32, seed: u8| {
        let terms = Held::terms(&Preimage::from_bytes([seed; 32]));
        let invoice = world.call(person(payee), &terms, NOW).unwrap();
        world.handle(payer, Request::PayInvoice(PayInvoice::of(invoice.invoice.unwrap())), NOW)
    };
    for seed in [1, 2] {
        assert!(lock(2, seed).waits_for().is_some());
    }
    assert_refused(outcome(lock(2, 3)), ErrorCode::RateLimited, "hold invoices");
    assert!(lock(3, 4).waits_for().is_some());
    assert_refused(outcome(lock(4, 5)), ErrorCode::RateLimited, "on their way");
    assert_eq!(world.balance(payer), 100_000 - 3 * AMOUNT);
    // From outside they are counted apart, and one too many is sent back at once.
    let from_outside = |seed: u8| {
        let hash = hash_of(&Preimage::from_bytes([seed; 32]));
        let event =
            NodeEvent::Claimable { payment_hash: hash, amount: Msat::new(AMOUNT), deadline: Some(DEADLINE) };
        world.wallet().on_node_event(event, node.as_ref(), NOW).unwrap().outcome
    };
    for seed in [6, 7] {
        world.call(person(2), &Held::terms(&Preimage::from_bytes([seed; 32])), NOW).unwrap();
    }
    let outcomes = [6, 7, 3].map(from_outside);
    assert_eq!(outcomes, [NodeOutcome::Accepted, NodeOutcome::Accepted, NodeOutcome::Rejected]);
    assert_eq!(node.rejected(), [hash_of(&Preimage::from_bytes([3; 32]))]);
    world.audit();
}
