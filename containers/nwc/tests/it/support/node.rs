//! A Lightning node that does what a test says, with every fault that a real one has.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Mutex, MutexGuard};

use nwc::lightning::{
    Assets, AttemptId, Bolt11, CannotPay, CreateInvoiceError, Dispatch, Fate, HtlcClaims, InternalBackend,
    InvoiceTerms, LightningBackend, Network, NodeId, OutgoingPayment, Purpose,
};
use protocol::nwc::{PaymentHash, Preimage};
use sha2::{Digest, Sha256};
use units::{Msat, UnixSecs};
use zeroize::Zeroizing;

#[derive(Debug, Default)]
pub(crate) struct ScriptedNode(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    signer: Option<InternalBackend>,
    /// What the next hand-overs answer; `Sent` when there is nothing left.
    script: VecDeque<Dispatch>,
    unreachable: Option<CannotPay>,
    handed_over: Vec<OutgoingPayment>,
    /// Tells that the next hand-over has begun, and lets it end.
    pause: Option<(SyncSender<()>, Receiver<()>)>,
    claimed: Vec<PaymentHash>,
    rejected: Vec<PaymentHash>,
    /// What the node says that it could pay; plenty if nothing is said.
    assets: Option<Assets>,
    /// What it says became of attempts; `Unknown` where nothing is said.
    fates: BTreeMap<(PaymentHash, AttemptId), Fate>,
    height: u32,
    /// Calls that a real node may answer late.
    asked: u32,
}

impl ScriptedNode {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn sign_with(&self, signer: InternalBackend) {
        self.state().signer = Some(signer);
    }

    pub(crate) fn next(&self, dispatch: Dispatch) {
        self.state().script.push_back(dispatch);
    }

    pub(crate) fn clear_script(&self) {
        self.state().script.clear();
    }

    pub(crate) fn is_unreachable(&self, why: &'static str) {
        self.state().unreachable = Some(CannotPay(why.into()));
    }

    /// The next hand-over tells `entered` and waits for `leave`.
    pub(crate) fn pause_in_next_payment(&self, entered: SyncSender<()>, leave: Receiver<()>) {
        self.state().pause = Some((entered, leave));
    }

    /// What was handed over, in order: amount and greatest fee.
    pub(crate) fn handed_over(&self) -> Vec<(PaymentHash, Msat, Msat)> {
        let short =
            |payment: &OutgoingPayment| (payment.invoice.payment_hash(), payment.amount, payment.max_fee);
        self.state().handed_over.iter().map(short).collect()
    }

    /// The newest attempt at a payment that was handed over.
    pub(crate) fn attempt(&self, hash: PaymentHash) -> AttemptId {
        let state = self.state();
        let mut attempts = state.handed_over.iter().rev().filter(|one| one.invoice.payment_hash() == hash);
        attempts.next().map_or(AttemptId::new(0, 0), |one| one.attempt)
    }

    pub(crate) fn has(&self, spendable: i64) {
        self.has_besides(spendable, 0);
    }

    /// So much to pay with, and so much that has left for payments on their way.
    pub(crate) fn has_besides(&self, spendable: i64, in_flight: i64) {
        let assets = Assets { spendable: Msat::new(spendable), in_flight: Msat::new(in_flight) };
        self.state().assets = Some(assets);
    }

    /// What it says at the next start became of the newest attempt at this payment.
    pub(crate) fn remembers(&self, hash: PaymentHash, fate: Fate) {
        let attempt = self.attempt(hash);
        self.state().fates.insert((hash, attempt), fate);
    }

    pub(crate) fn is_at(&self, height: u32) {
        self.state().height = height;
    }

    /// How often it was asked for what a real node may answer late.
    pub(crate) fn asked(&self) -> u32 {
        self.state().asked
    }

    pub(crate) fn claimed(&self) -> Vec<PaymentHash> {
        self.state().claimed.clone()
    }

    pub(crate) fn rejected(&self) -> Vec<PaymentHash> {
        self.state().rejected.clone()
    }
}

impl LightningBackend for ScriptedNode {
    fn node_id(&self) -> NodeId {
        self.state().signer.as_ref().unwrap().node_id()
    }

    fn network(&self) -> Network {
        Network::Regtest
    }

    fn create_invoice(&self, terms: &InvoiceTerms) -> Result<String, CreateInvoiceError> {
        self.state().asked += 1;
        self.state().signer.as_ref().unwrap().create_invoice(terms)
    }

    fn check_payable(&self, _invoice: &Bolt11) -> Result<(), CannotPay> {
        self.state().asked += 1;
        self.state().unreachable.clone().map_or(Ok(()), Err)
    }

    fn assets(&self) -> Option<Assets> {
        self.state().asked += 1;
        let plenty = Assets { spendable: Msat::new(1_000_000_000_000_000), in_flight: Msat::ZERO };
        Some(self.state().assets.unwrap_or(plenty))
    }

    fn fate(&self, payment_hash: PaymentHash, attempt: AttemptId) -> Fate {
        self.state().fates.get(&(payment_hash, attempt)).cloned().unwrap_or(Fate::Unknown)
    }

    fn block_height(&self) -> Option<u32> {
        Some(self.state().height)
    }

    fn claims(&self) -> Option<&dyn HtlcClaims> {
        Some(self)
    }

    fn pay(&self, payment: &OutgoingPayment) -> Dispatch {
        self.state().asked += 1;
        let pause = self.state().pause.take();
        if let Some((entered, leave)) = pause {
            entered.send(()).unwrap();
            leave.recv().unwrap();
        }
        let mut state = self.state();
        state.handed_over.push(payment.clone());
        state.script.pop_front().unwrap_or(Dispatch::Sent)
    }
}

impl HtlcClaims for ScriptedNode {
    fn claim(&self, payment_hash: PaymentHash, preimage: &Preimage) {
        assert_eq!(hash_of(preimage), payment_hash);
        self.state().claimed.push(payment_hash);
    }

    fn reject(&self, payment_hash: PaymentHash) {
        self.state().rejected.push(payment_hash);
    }
}

pub(crate) fn hash_of(preimage: &Preimage) -> PaymentHash {
    PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into())
}

/// Somebody else's invoice that names no amount.
pub(crate) fn amountless_invoice(seed: u8, made_at: UnixSecs) -> (String, PaymentHash, Preimage) {
    use bitcoin::hashes::{Hash, sha256};
    use bitcoin::secp256k1::{Secp256k1, SecretKey};
    let preimage = Preimage::from_bytes([seed; 32]);
    let payment_hash = hash_of(&preimage);
    let secret = SecretKey::from_slice(&[0x55; 32]).unwrap();
    let invoice = lightning_invoice::InvoiceBuilder::new(lightning_invoice::Currency::Regtest)
        .description("as you like".to_owned())
        .payment_hash(sha256::Hash::from_byte_array(*payment_hash.as_bytes()))
        .payment_secret(lightning_invoice::PaymentSecret([1; 32]))
        .duration_since_epoch(std::time::Duration::from_secs(made_at.0))
        .expiry_time(std::time::Duration::from_secs(600))
        .min_final_cltv_expiry_delta(18)
        .build_signed(|message| Secp256k1::signing_only().sign_ecdsa_recoverable(message, &secret))
        .unwrap();
    (invoice.to_string(), payment_hash, preimage)
}

/// Somebody else's invoice, with the preimage that will prove its payment.
pub(crate) fn foreign_invoice(seed: u8, amount: Msat, made_at: UnixSecs) -> (String, PaymentHash, Preimage) {
    let preimage = Preimage::from_bytes([seed; 32]);
    let payment_hash = hash_of(&preimage);
    let stranger = InternalBackend::new(&Zeroizing::new([0x55; 32]), Network::Regtest).unwrap();
    let terms = InvoiceTerms {
        payment_hash,
        amount,
        purpose: Purpose::Description("elsewhere".to_owned()),
        created_at: made_at,
        expiry_secs: 600,
        min_cltv_delta: None,
    };
    (stranger.create_invoice(&terms).unwrap(), payment_hash, preimage)
}
