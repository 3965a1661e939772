//! Receipts: one for each period that was paid, in a chain that is stated on demand.

use lifecycle::Phase;
use protocol::event::SignError;
use protocol::receipt::{RECEIPT_VERSION, Receipt};
use protocol::rpc::enclaved::ReceiptPage;
use protocol::rpc::{Code, Failure};
use protocol::statement::Claim;
use units::UnixSecs;

use crate::context::Context;
use crate::hold::not_holding;
use crate::statements::StatementError;
use crate::store::{Charge, Container, NewReceipt, NextReceipt, StoreError};

/// Receipts of one answer: with their evidence they fit into one message.
const PAGE: u32 = 32;

/// A receipt could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// The receipt for a period that `container` has just paid. It says what is on record at this moment, which
/// during the trial of another image is that one: whoever drives the container hears of it later.
///
/// # Errors
/// [`ReceiptError`].
pub fn make(
    ctx: &Context,
    container: &Container,
    period: u64,
    charge: &Charge,
) -> Result<NewReceipt, ReceiptError> {
    let now = ctx.clock.now();
    let on_record = ctx.store.container(&container.pubkey())?.ok_or(StoreError::Missing)?;
    let spec = on_record.spec;
    let NextReceipt { number, previous } = ctx.store.next_receipt(&container.pubkey())?;
    let from = paid_from(container, now);
    let receipt = Receipt {
        version: RECEIPT_VERSION,
        container: container.pubkey(),
        number,
        previous,
        image: spec.image,
        manifest_sha256: spec.manifest_sha256,
        units: spec.units,
        period,
        from,
        until: from.plus_secs(u64::from(ctx.config.price.period_secs)),
        amount_msat: charge.amount,
        payment_hash: charge.payment_hash.clone(),
    };
    Ok(NewReceipt { number, event: receipt.sign(&ctx.keys, now)? })
}

/// When the paid period begins, as `lifecycle` has it.
fn paid_from(container: &Container, now: UnixSecs) -> UnixSecs {
    let paid_until = container.state.paid_until;
    match container.state.phase {
        Phase::Paused { since } => paid_until.plus_secs(now.secs_since(since)),
        Phase::Waiting { .. }
        | Phase::Expired
        | Phase::Launching
        | Phase::Deployed
        | Phase::Failed
        | Phase::Terminated => paid_until,
    }
}

/// The receipts of `container` from number `from` on; with the last of them the statement that there are
/// no others.
///
/// # Errors
/// [`Failure`] if there is no such number, or the evidence cannot be had.
pub async fn page(ctx: &Context, container: &Container, from: u64) -> Result<ReceiptPage, Failure> {
    let pubkey = container.pubkey();
    let internal = |e: &dyn std::error::Error| {
        tracing::error!("receipts: {e}");
        Failure::new(Code::Internal, "a fault of the server; try again")
    };
    let receipts = ctx.store.receipts(&pubkey, from, PAGE).map_err(|e| internal(&e))?;
    let NextReceipt { number: count, previous: head } =
        ctx.store.next_receipt(&pubkey).map_err(|e| internal(&e))?;
    if from > count {
        return Err(Failure::new(Code::ParamsInvalid, format!("from: there are {count} receipts")));
    }
    let shown = from.saturating_add(u64::try_from(receipts.len()).unwrap_or(u64::MAX));
    if shown < count {
        return Ok(ReceiptPage { receipts, next: Some(shown), evidence: None });
    }
    let stated = ctx.statements.state(ctx, container, Claim::Receipts { count, head }).await;
    let evidence = stated.map_err(|e| match e {
        StatementError::NotHolding => not_holding(),
        StatementError::Busy | StatementError::Ending => {
            Failure::new(Code::ServerBusy, "the server is busy; ask again in a second")
        }
        StatementError::Sign(_) | StatementError::Evidence(_) => internal(&e),
    })?;
    Ok(ReceiptPage { receipts, next: None, evidence: Some(evidence) })
}
