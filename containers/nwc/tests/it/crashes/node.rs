//! A node that a crash does not touch: it remembers what it was given, tells of it as often and in
//! whatever order a test likes, and cries out if a payment is handed over twice. And the killer of the
//! program beside it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use nwc::lightning::{
    Assets, AttemptId, Bolt11, CannotPay, CreateInvoiceError, Dispatch, Fate, HtlcClaims, InternalBackend,
    InvoiceTerms, LightningBackend, Network, NodeId, OutgoingPayment,
};
use nwc::store::{Interruption, Moment};
use protocol::nwc::{PaymentHash, Preimage};
use units::Msat;
use zeroize::Zeroizing;

/// Ends the program after so many more moments. Once dead, it stays so until it is armed anew.
#[derive(Debug, Default)]
pub(super) struct Killer {
    /// Moments to come, the fatal one included; zero: none is fatal.
    fuse: AtomicU32,
    dead: AtomicBool,
}

impl Killer {
    pub(super) fn arm(&self, moments: u32) {
        self.fuse.store(moments, Ordering::SeqCst);
        self.dead.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// A moment passes; true from the fatal one on.
    fn strikes(&self) -> bool {
        let left = self.fuse.load(Ordering::SeqCst);
        if left > 0 {
            self.fuse.store(left - 1, Ordering::SeqCst);
            if left == 1 {
                self.dead.store(true, Ordering::SeqCst);
            }
        }
        self.is_dead()
    }
}

impl Interruption for Killer {
    fn ends(&self, _moment: Moment) -> bool {
        self.strikes()
    }
}

/// What the node knows of a payment that it was given.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Knows {
    UnderWay,
    Failed,
    Arrived(Preimage),
}

/// What routing takes of every payment that arrives.
pub(super) const ROUTING: i64 = 7;

#[derive(Debug)]
pub(super) struct Node {
    signer: InternalBackend,
    killer: Arc<Killer>,
    state: Mutex<State>,
    height: AtomicU32,
    spendable: AtomicI64,
}

#[derive(Debug, Default)]
struct State {
    /// By payment, the newest attempt.
    payments: BTreeMap<PaymentHash, (AttemptId, Knows)>,
    /// How the next payment is answered.
    next: Option<Dispatch>,
    claimed: Vec<PaymentHash>,
}

impl Node {
    pub(super) fn new(killer: Arc<Killer>) -> Self {
        let signer = InternalBackend::new(&Zeroizing::new([0x42; 32]), Network::Regtest).unwrap();
        Self {
            signer,
            killer,
            state: Mutex::default(),
            height: AtomicU32::new(0),
            spendable: AtomicI64::new(0),
        }
    }

    /// Where the chain is, and what could be paid out now.
    pub(super) fn is_at(&self, height: u32, spendable: i64) {
        self.height.store(height, Ordering::SeqCst);
        self.spendable.store(spendable, Ordering::SeqCst);
    }

    pub(super) fn answer_next(&self, answer: Dispatch) {
        self.state.lock().unwrap().next = Some(answer);
    }

    pub(super) fn knows(&self, hash: PaymentHash) -> Option<(AttemptId, Knows)> {
        self.state.lock().unwrap().payments.get(&hash).cloned()
    }

    pub(super) fn decide(&self, hash: PaymentHash, knows: Knows) {
        self.state.lock().unwrap().payments.get_mut(&hash).unwrap().1 = knows;
    }

    pub(super) fn has_claimed(&self, hash: PaymentHash) -> bool {
        self.state.lock().unwrap().claimed.contains(&hash)
    }
}

impl LightningBackend for Node {
    fn node_id(&self) -> NodeId {
        self.signer.node_id()
    }

    fn network(&self) -> Network {
        Network::Regtest
    }

    fn create_invoice(&self, terms: &InvoiceTerms) -> Result<String, CreateInvoiceError> {
        self.signer.create_invoice(terms)
    }

    fn check_payable(&self, _invoice: &Bolt11) -> Result<(), CannotPay> {
        Ok(())
    }

    fn assets(&self) -> Option<Assets> {
        Some(Assets { spendable: Msat::new(self.spendable.load(Ordering::SeqCst)), in_flight: Msat::ZERO })
    }

    fn fate(&self, payment_hash: PaymentHash, attempt: AttemptId) -> Fate {
        match self.knows(payment_hash) {
            Some((known, knows)) if known == attempt => match knows {
                Knows::UnderWay => Fate::UnderWay,
                Knows::Failed => Fate::Failed { reason: "no route".to_owned() },
                Knows::Arrived(preimage) => Fate::Settled { preimage, fee: Msat::new(ROUTING) },
            },
            Some(_) | None => Fate::NeverSent,
        }
    }

    fn block_height(&self) -> Option<u32> {
        Some(self.height.load(Ordering::SeqCst))
    }

    fn claims(&self) -> Option<&dyn HtlcClaims> {
        Some(self)
    }

    fn pay(&self, payment: &OutgoingPayment) -> Dispatch {
        // Killed before the node hears of it, or after: either way the caller's answer is lost.
        if self.killer.strikes() {
            return Dispatch::Unknown("killed".to_owned());
        }
        let mut state = self.state.lock().unwrap();
        let answer = state.next.take().unwrap_or(Dispatch::Sent);
        if matches!(answer, Dispatch::Refused(_)) {
            return answer;
        }
        let under_way = (payment.attempt, Knows::UnderWay);
        let before = state.payments.insert(payment.invoice.payment_hash(), under_way);
        assert!(matches!(before, None | Some((_, Knows::Failed))), "paid twice: {before:?}");
        drop(state);
        self.killer.strikes();
        answer
    }
}

impl HtlcClaims for Node {
    fn claim(&self, payment_hash: PaymentHash, _preimage: &Preimage) {
        if !self.killer.strikes() {
            self.state.lock().unwrap().claimed.push(payment_hash);
            self.killer.strikes();
        }
    }

    fn reject(&self, payment_hash: PaymentHash) {
        assert!(!self.has_claimed(payment_hash), "sent back what was taken");
        self.killer.strikes();
    }
}
