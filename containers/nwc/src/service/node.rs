//! What the node reports, turned into ledger steps. Reports come at least once and in any order; each is
//! written before it may be acknowledged, and a repeated one changes nothing.

use nostr::key::PublicKey;
use protocol::nwc::{ErrorCode, Method, PaymentHash, Preimage, Response, WalletError};
use sha2::{Digest, Sha256};
use units::{Msat, UnixSecs};

use super::Wallet;
use super::answer::Notice;
use super::hold;
use super::limits::{self, Incoming};
use super::pay::{accepted_notice, late, paid, received_notices, sent_notice};
use super::reconcile::attempt_of;
use super::refusal::Refusal;
use crate::lightning::{AttemptId, Bolt11, HtlcClaims, NodeEvent};
use crate::store::{HoldUntil, Invoice, InvoiceState, StoreError, held, invoice, past, payment};

/// What a report led to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeReport {
    /// What it was.
    pub outcome: NodeOutcome,
    /// The answer that the payer with this hash waits for, if the report decided it.
    pub answer: Option<(PublicKey, PaymentHash, Response)>,
    /// To be sent.
    pub notices: Vec<Notice>,
}

/// What a report was.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum NodeOutcome {
    /// It changed something.
    Done,
    /// Known before, overtaken, or not about anything of this wallet.
    #[default]
    Nothing,
    /// A proof that does not prove its payment; nothing was done.
    FalseProof,
    /// Money locked in for us was taken.
    Claimed,
    /// Money is locked in for a hold invoice, and stays so until its payee decides.
    Accepted,
    /// Money locked in for us was sent back.
    Rejected,
    /// Money arrived that no wallet can be given: it is in the suspense account.
    Suspended,
    /// The report cannot be booked, however often it comes; nothing was done, and the operator is told.
    Unbooked,
}

impl Wallet {
    /// Takes a report of the node. It may be acknowledged if this returns without error.
    ///
    /// # Errors
    /// [`StoreError`]; the report must then come again.
    pub fn on_node_event(
        &self,
        event: NodeEvent,
        claims: &dyn HtlcClaims,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        let what = format!("{event:?}");
        let booked = match event {
            NodeEvent::PaymentSettled { payment_hash, preimage, fee } => {
                self.on_settled(payment_hash, preimage, fee, now)
            }
            NodeEvent::PaymentFailed { payment_hash, attempt, reason } => {
                self.on_failed(payment_hash, attempt, reason, now)
            }
            NodeEvent::Claimable { payment_hash, amount, deadline } => {
                self.on_claimable(Locked { hash: payment_hash, amount, deadline }, claims, now)
            }
            NodeEvent::Received { payment_hash, amount } => self.on_received(payment_hash, amount, now),
        };
        or_unbooked(&what, booked)
    }

    pub(super) fn on_settled(
        &self,
        hash: PaymentHash,
        preimage: Preimage,
        fee: Msat,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        if PaymentHash::from_bytes(Sha256::digest(preimage.as_bytes()).into()) != hash {
            tracing::error!(payment_hash = %hash, "the node reports a payment with a false proof");
            return Ok(NodeReport { outcome: NodeOutcome::FalseProof, ..NodeReport::default() });
        }
        let settled = self.store.write(move |tx| {
            // Charged before, and its row is gone. An older failure under this hash, perhaps somebody else's, that is
            // still there must not be charged for it.
            if past::is_past(tx.view(), hash)? {
                return Ok(Ok(None));
            }
            let Some(sent) = payment::sent_by_hash(tx.view(), hash)? else { return Ok(Err(Unknown)) };
            let Some(payment) = payment::settle_external(tx, sent, preimage, fee, now)? else {
                return Ok(Ok(None));
            };
            let answer = paid(&payment).map(|response| (payment.payer, hash, response));
            let mut notices = match &answer {
                Some((payer, _, response)) => late(tx, payer, hash, response)?,
                None => Vec::new(),
            };
            notices.push(sent_notice(&payment));
            Ok::<_, StoreError>(Ok(Some(NodeReport { outcome: NodeOutcome::Done, answer, notices })))
        })?;
        match settled {
            Ok(report) => Ok(report.unwrap_or_default()),
            Err(Unknown) => {
                // Money left that the books do not know of: they may be older than the node.
                metrics::counter!("wallet_unknown_payments_total").increment(1);
                tracing::error!(payment_hash = %hash, "the node made a payment that is not in the books; were they restored from a backup?");
                Ok(NodeReport::default())
            }
        }
    }

    pub(super) fn on_failed(
        &self,
        hash: PaymentHash,
        attempt: AttemptId,
        reason: String,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        let text = reason.clone();
        let ours = self.backend.node_id();
        let report = self.store.write(move |tx| {
            let Some(sent) = payment::live_by_hash(tx.view(), hash)? else { return Ok(None) };
            // A payment to a hold invoice of ours never went to the node; it cannot know of its end. And an older
            // attempt's end is not this one's.
            let is_ours = Bolt11::parse(&sent.bolt11).is_ok_and(|invoice| invoice.payee() == ours);
            if is_ours || attempt_of(&sent) != attempt {
                return Ok(None);
            }
            if !payment::fail(tx, &sent, &text, now)? {
                return Ok(None);
            }
            let error = WalletError::new(ErrorCode::PaymentFailed, format!("the payment failed: {reason}"));
            let response = Response::refused(&Method::PayInvoice, error);
            let notices = late(tx, &sent.payer, hash, &response)?;
            let answer = Some((sent.payer, hash, response));
            Ok::<_, StoreError>(Some(NodeReport { outcome: NodeOutcome::Done, answer, notices }))
        })?;
        Ok(report.unwrap_or_default())
    }

    /// The decision who is paid: the row is stepped out of `open` first, and only then is the money
    /// taken. If the program ends in between, the node asks again and gets the same answer.
    fn on_claimable(
        &self,
        locked: Locked,
        claims: &dyn HtlcClaims,
        now: UnixSecs,
    ) -> Result<NodeReport, StoreError> {
        let hash = locked.hash;
        let (limits, height) = (self.limits, self.backend.block_height());
        let decision = self.store.write(move |tx| {
            let Some(found) = invoice::by_hash(tx.view(), hash)? else { return Ok(Decision::Reject) };
            match found.state {
                InvoiceState::Claiming => return Ok(Decision::claim(found.preimage)),
                // Told again after a crash; the payee has not decided yet.
                InvoiceState::Accepted if matches!(found.settle_by, Some(HoldUntil::Height(_))) => {
                    return Ok(Decision::Keep(None));
                }
                InvoiceState::Open if now <= found.accept_until && locked.amount >= found.amount => {}
                InvoiceState::Open
                | InvoiceState::Accepted
                | InvoiceState::Settled
                | InvoiceState::Expired
                | InvoiceState::Cancelled => return Ok(Decision::Reject),
            }
            // What was reported as received under this hash is nobody's yet, and may be this very money.
            if payment::is_suspended(tx.view(), hash)? {
                return Ok(Decision::Reject);
            }
            if is_refused(limits::check_room(tx.view(), Incoming::of(&found, locked.amount), &limits))? {
                return Ok(Decision::Reject);
            }
            if found.hold_secs.is_none() {
                invoice::begin_claim(tx, &found)?;
                return Ok(Decision::claim(found.preimage));
            }
            let until = locked.deadline.map(hold::settle_height);
            let in_time = until.is_some_and(|until| height.is_some_and(|height| height < until));
            let refused = is_refused(limits::check_holds(tx.view(), &found.payee, locked.amount, &limits))?;
            let (Some(until), true, false) = (until, in_time, refused) else { return Ok(Decision::Reject) };
            held::accept(tx, &found, HoldUntil::Height(until))?;
            Ok::<_, StoreError>(Decision::Keep(invoice::by_hash(tx.view(), hash)?.map(Box::new)))
        })?;
        let (outcome, notices) = match decision {
            Decision::Claim(preimage) => {
                claims.claim(hash, &preimage);
                (NodeOutcome::Claimed, Vec::new())
            }
            Decision::Keep(accepted) => {
                (NodeOutcome::Accepted, accepted.iter().map(|one| accepted_notice(one, now)).collect())
            }
            Decision::Reject => {
                claims.reject(hash);
                (NodeOutcome::Rejected, Vec::new())
            }
        };
        Ok(NodeReport { outcome, answer: None, notices })
    }

    fn on_received(&self, hash: PaymentHash, amount: Msat, now: UnixSecs) -> Result<NodeReport, StoreError> {
        let received = self.store.write(move |tx| {
            let booked = tx.attempt(|tx| match invoice::by_hash(tx.view(), hash)? {
                Some(found) => invoice::receive(tx, found, amount, now),
                // Credited before, and its row is gone.
                None if past::is_past(tx.view(), hash)? => Ok(None),
                None => Err(StoreError::Inconsistent("money arrived for an invoice that does not exist")),
            });
            match booked {
                Ok(paid) => Ok(Received::For(paid.map(Box::new))),
                // It is there, and nobody's: an operator decides. The node's next reports are not held up.
                Err(error) if error.is_lasting() => {
                    tracing::error!(payment_hash = %hash, %amount, "money arrived that no wallet can be given: {error}");
                    payment::suspend(tx, hash, amount, now).map(Received::Suspended)
                }
                Err(error) => Err(error),
            }
        })?;
        match received {
            Received::For(None) | Received::Suspended(false) => Ok(NodeReport::default()),
            Received::For(Some(invoice)) => Ok(NodeReport {
                outcome: NodeOutcome::Done,
                answer: None,
                notices: received_notices(&invoice),
            }),
            Received::Suspended(true) => {
                metrics::counter!("wallet_suspended_total").increment(1);
                Ok(NodeReport { outcome: NodeOutcome::Suspended, ..NodeReport::default() })
            }
        }
    }
}

/// What cannot be booked, however often it comes, is told to the operator: nothing behind it would be heard, and no
/// start would succeed.
pub(super) fn or_unbooked(
    what: &str,
    booked: Result<NodeReport, StoreError>,
) -> Result<NodeReport, StoreError> {
    match booked {
        Err(error) if error.is_lasting() => {
            metrics::counter!("wallet_unbooked_reports_total").increment(1);
            tracing::error!(report = what, "a report of the node cannot be booked: {error}");
            Ok(NodeReport { outcome: NodeOutcome::Unbooked, ..NodeReport::default() })
        }
        booked => booked,
    }
}

/// What became of money that arrived.
#[derive(Debug)]
enum Received {
    /// It was for this invoice; none if that is no news.
    For(Option<Box<Invoice>>),
    /// It is nobody's; true if that is news.
    Suspended(bool),
}

/// Money locked in for us.
#[derive(Clone, Copy, Debug)]
struct Locked {
    hash: PaymentHash,
    amount: Msat,
    deadline: Option<u32>,
}

/// What becomes of it.
#[derive(Debug)]
enum Decision {
    Claim(Preimage),
    /// With the invoice if that is news.
    Keep(Option<Box<Invoice>>),
    Reject,
}

impl Decision {
    fn claim(preimage: Option<Preimage>) -> Self {
        preimage.map_or(Self::Reject, Self::Claim)
    }
}

/// A settled payment that the books do not know of.
struct Unknown;

/// Whether a bound refuses; a fault of the store stays one.
fn is_refused(checked: Result<(), Refusal>) -> Result<bool, StoreError> {
    match checked {
        Ok(()) => Ok(false),
        Err(refusal) => refusal.into_fault().map_or(Ok(true), Err),
    }
}
