//! Charging a container for a period: the intent on record, an invoice of the server's, the payment
//! from the container's account, the proof on record. Whatever crashes in between, doing it again
//! charges once.

use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use lifecycle::{Event, Phase};
use nostr::key::{Keys, PublicKey};
use protocol::event::SignError;
use protocol::nwc::ErrorCode;
use sha2::Sha256;
use units::Msat;
use zeroize::{Zeroize, Zeroizing};

use crate::checkpoint::Step;
use crate::context::Context;
use crate::receipts::{self, ReceiptError};
use crate::store::{Charge, Container, StoreError};
use crate::wallet::{InvoiceState, WalletError};

/// How long the invoice of a charge can be paid. Longer than any outage that a container survives, so
/// that one invoice usually sees a charge through.
const CHARGE_INVOICE_SECS: u32 = 3_600;
/// Enough that nobody guesses it, and half of the hash.
const CODE_BYTES: usize = 16;

/// Charges `container` for `period` and says what came of it.
pub async fn charge(ctx: &Context, container: &Container, period: u64) -> Event {
    let outcome = match try_charge(ctx, container, period).await {
        Ok(event) => event,
        Err(ChargeFailure::Store(e)) => {
            tracing::error!(container = %container.pubkey(), "a charge could not be recorded: {e}");
            Event::ChargeUnknown
        }
        Err(ChargeFailure::Sign(e)) => {
            tracing::error!(container = %container.pubkey(), "a receipt could not be signed: {e}");
            Event::ChargeUnknown
        }
        Err(ChargeFailure::Wallet(e)) => {
            tracing::warn!(container = %container.pubkey(), period, "charge: {e}");
            Event::ChargeUnknown
        }
    };
    let is_paid = matches!(outcome, Event::ChargePaid { .. } | Event::PaidWithoutUnits { .. });
    let label = if is_paid { "paid" } else { "not_paid" };
    metrics::counter!("charges_total", "outcome" => label).increment(1);
    outcome
}

enum ChargeFailure {
    Store(StoreError),
    Sign(SignError),
    Wallet(WalletError),
}

impl From<StoreError> for ChargeFailure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<ReceiptError> for ChargeFailure {
    fn from(error: ReceiptError) -> Self {
        match error {
            ReceiptError::Store(e) => Self::Store(e),
            ReceiptError::Sign(e) => Self::Sign(e),
        }
    }
}

impl From<WalletError> for ChargeFailure {
    fn from(error: WalletError) -> Self {
        Self::Wallet(error)
    }
}

async fn try_charge(ctx: &Context, container: &Container, period: u64) -> Result<Event, ChargeFailure> {
    let pubkey = container.pubkey();
    let subject = pubkey.to_hex();
    let amount = container.spec.price_per_period;
    // As with a wallet that does not answer: containers run on for a while.
    if !ctx.hold.may_act() {
        return Ok(Event::ChargeUnknown);
    }
    let charge = ctx.store.intend_charge(&pubkey, period, amount, ctx.clock.now())?;
    // A paused container comes back only into units that are free, paid or not; they are its own from here on.
    let paused = matches!(container.state.phase, Phase::Paused { .. });
    let units = container.spec.units.get();
    if paused && !ctx.store.readmit(&pubkey, units, ctx.config.capacity.sold_units())? {
        return without_units(ctx, container, period, &charge).await;
    }
    if charge.preimage.is_some() {
        return Ok(Event::ChargePaid { period });
    }
    if !amount.is_positive() {
        let receipt = receipts::make(ctx, container, period, &charge)?;
        ctx.store.save_charge_paid(&pubkey, period, "free", ctx.clock.now(), &receipt)?;
        return Ok(Event::ChargePaid { period });
    }
    ctx.checkpoints.reach(Step::ChargeIntended, &subject).await;
    let invoice = match charge.invoice {
        Some(invoice) => invoice,
        None if was_settled(ctx, container, period, &charge).await? => {
            return record_paid(ctx, container, period, "settled").await;
        }
        None => make_invoice(ctx, &pubkey, period, &charge).await?,
    };
    ctx.checkpoints.reach(Step::ChargeInvoiced, &subject).await;
    match ctx.wallet.pay(&container.keys, &invoice).await {
        Ok((preimage, _)) => {
            ctx.checkpoints.reach(Step::ChargePaid, &subject).await;
            record_paid(ctx, container, period, &preimage).await
        }
        Err(WalletError::Refused { code: ErrorCode::InsufficientBalance, .. }) => Ok(Event::ChargeRefused),
        Err(error @ WalletError::Refused { .. }) => replace_dead_invoice(ctx, container, period, error).await,
        Err(error @ WalletError::Silent(_)) => Err(error.into()),
    }
}

/// What becomes of a container that there are no units for. It may have paid before it lost them: then the answer
/// was lost, or a crash came between the payment and its effect.
async fn without_units(
    ctx: &Context,
    container: &Container,
    period: u64,
    charge: &Charge,
) -> Result<Event, ChargeFailure> {
    let is_paid = match &charge.payment_hash {
        _ if charge.preimage.is_some() => return Ok(Event::PaidWithoutUnits { period }),
        _ if !charge.amount.is_positive() => false,
        Some(hash) => matches!(ctx.wallet.invoice_state(&ctx.keys, hash).await?, InvoiceState::Paid(_)),
        None => was_settled(ctx, container, period, charge).await?,
    };
    if !is_paid {
        return Ok(Event::NoUnits);
    }
    let recorded = record_paid(ctx, container, period, "settled").await?;
    Ok(if let Event::ChargePaid { period } = recorded {
        Event::PaidWithoutUnits { period }
    } else {
        recorded
    })
}

async fn record_paid(
    ctx: &Context,
    container: &Container,
    period: u64,
    preimage: &str,
) -> Result<Event, ChargeFailure> {
    let pubkey = container.pubkey();
    // Its receipt is signed. The payment is found again when this server may act.
    if !ctx.hold.may_act() {
        return Ok(Event::ChargeUnknown);
    }
    // On record as it was paid: with its amount, and the hash of its payment.
    let charge =
        ctx.store.intend_charge(&pubkey, period, container.spec.price_per_period, ctx.clock.now())?;
    let receipt = receipts::make(ctx, container, period, &charge)?;
    ctx.store.save_charge_paid(&pubkey, period, preimage, ctx.clock.now(), &receipt)?;
    ctx.checkpoints.reach(Step::ChargeRecorded, &pubkey.to_hex()).await;
    Ok(Event::ChargePaid { period })
}

async fn make_invoice(
    ctx: &Context,
    pubkey: &PublicKey,
    period: u64,
    charge: &Charge,
) -> Result<String, ChargeFailure> {
    let description = describe(&ctx.keys, pubkey, period);
    let invoice = ctx.wallet.make_invoice(&ctx.keys, charge.amount, description, CHARGE_INVOICE_SECS).await?;
    ctx.store.save_charge_invoice(pubkey, period, Some((&invoice.invoice, &invoice.payment_hash)))?;
    Ok(invoice.invoice)
}

/// True if a charge without an invoice was paid before the state was restored, which does not know of it. By
/// which payment is on record then.
async fn was_settled(
    ctx: &Context,
    container: &Container,
    period: u64,
    charge: &Charge,
) -> Result<bool, ChargeFailure> {
    let pubkey = container.pubkey();
    let description = describe(&ctx.keys, &pubkey, period);
    let Some(hash) = settled_before_recovery(ctx, charge.amount, &description).await? else {
        return Ok(false);
    };
    // Its receipt names the payment.
    ctx.store.save_charge_hash(&pubkey, period, &hash)?;
    tracing::info!(container = %pubkey, period, "a charge that the restored books do not know was paid");
    // It was told before the restore, and nobody tells it again.
    if let Ok(balance) = ctx.wallet.balance(&container.keys).await {
        ctx.store.save_balance(&pubkey, balance)?;
    }
    Ok(true)
}

/// The books are older than the wallet's after a restore: between their copies the wallet may have settled
/// charges of which they do not know. Those are found by what only this server writes on its invoices.
async fn settled_before_recovery(
    ctx: &Context,
    amount: Msat,
    description: &str,
) -> Result<Option<String>, WalletError> {
    let Some(recovered) = ctx.recovered else { return Ok(None) };
    let from = recovered.snapshot_made.minus_secs(CHARGE_INVOICE_SECS.into());
    ctx.wallet.find_settled(&ctx.keys, (amount, description), from, recovered.at).await
}

/// What the invoice of a charge says. Anybody may have the wallet make an invoice for this server's account,
/// with any text on it: the code at the end is one that only this server can make.
fn describe(keys: &Keys, pubkey: &PublicKey, period: u64) -> String {
    let subject = format!("period {period} of {pubkey}");
    // HMAC pads a short key with zeros to the block of its hash (RFC 2104).
    let (mut block, secret) =
        (Key::<Hmac<Sha256>>::default(), Zeroizing::new(keys.secret_key().to_secret_bytes()));
    block[..secret.len()].copy_from_slice(secret.as_slice());
    let mut mac = Hmac::<Sha256>::new(&block);
    block.zeroize();
    mac.update(b"enclaved/charge/");
    mac.update(subject.as_bytes());
    format!("{subject}, {}", hex::encode(&mac.finalize().into_bytes()[..CODE_BYTES]))
}

/// The wallet refused for another reason than the balance. If the invoice can no longer be paid it is
/// taken off the record, and the next attempt makes a new one; but not before the wallet has said that
/// it was not paid: two invoices for one period must never both be paid.
async fn replace_dead_invoice(
    ctx: &Context,
    container: &Container,
    period: u64,
    refusal: WalletError,
) -> Result<Event, ChargeFailure> {
    let pubkey = &container.pubkey();
    let charge = ctx.store.intend_charge(pubkey, period, Msat::ZERO, ctx.clock.now())?;
    let Some(hash) = charge.payment_hash else { return Err(refusal.into()) };
    match ctx.wallet.invoice_state(&ctx.keys, &hash).await? {
        InvoiceState::Paid(_) => record_paid(ctx, container, period, "settled").await,
        InvoiceState::Dead => {
            ctx.store.save_charge_invoice(pubkey, period, None)?;
            Err(refusal.into())
        }
        InvoiceState::Open => Err(refusal.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_tells_who_and_when_and_cannot_be_made_by_others() {
        let (ours, theirs) = (Keys::generate(), Keys::generate());
        let (one, other) = (theirs.public_key(), ours.public_key());
        let text = describe(&ours, &one, 7);
        assert!(text.starts_with(&format!("period 7 of {one}, ")) && text.len() < 150, "{text}");
        assert_eq!(text, describe(&ours, &one, 7), "the same after a restart");
        for different in [describe(&theirs, &one, 7), describe(&ours, &other, 7), describe(&ours, &one, 8)] {
            let code = |text: &str| text.rsplit(' ').next().unwrap().to_owned();
            assert_ne!(code(&text), code(&different));
        }
        assert!(!text.contains(&ours.secret_key().to_secret_hex()[..16]));
    }
}
