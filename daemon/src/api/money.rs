//! Money into and out of a container's balance.

use nostr::key::PublicKey;
use protocol::nwc::ErrorCode;
use protocol::rpc::enclaved::{TopupReply, Withdrawal};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use units::Msat;

use super::store_failure;
use crate::context::Context;
use crate::store::Container;
use crate::topups::{Admission, Wish};
use crate::wallet::WalletError;

/// The wallet makes no invoice below a satoshi.
const TOPUP_MIN: Msat = Msat::new(1_000);
/// A tenth of a bitcoin: far more than a container needs, far less than an integer holds.
const TOPUP_MAX: Msat = Msat::new(10_000_000_000);
const TOPUP_INVOICE_SECS: u32 = 600;

pub(super) async fn topup(
    ctx: &Context,
    payer: &PublicKey,
    container: &Container,
    amount: Msat,
) -> Result<TopupReply, Failure> {
    if amount < TOPUP_MIN || amount > TOPUP_MAX {
        return Err(Failure::new(
            Code::AmountInvalid,
            format!("amount_msat must be from {} to {}", TOPUP_MIN.msat(), TOPUP_MAX.msat()),
        ));
    }
    if container.state.is_over() {
        return Err(Failure::new(Code::StateRefused, "the container is over; launch another"));
    }
    let wish = Wish::new(&ctx.store, *payer, container, amount).map_err(|e| store_failure(&e))?;
    let _turn = match ctx.topups.admit(&wish, ctx.clock.now())? {
        Admission::Known(invoice) => return Ok(TopupReply { invoice: *invoice }),
        Admission::New(turn) => turn,
    };
    let description = format!("enclaved topup {}", container.pubkey());
    let invoice = ctx
        .wallet
        .make_invoice(&container.keys, amount, description, TOPUP_INVOICE_SECS)
        .await
        .map_err(|e| wallet_failure(&e))?;
    ctx.topups.made(wish, invoice.clone(), ctx.clock.now());
    Ok(TopupReply { invoice })
}

/// Persists the intent under the command's key, then pays. The wallet pays one invoice once, so a
/// command that comes again after a crash gets the same proof.
pub(super) async fn withdraw(
    ctx: &Context,
    (container, by): (&Container, &PublicKey),
    key: RequestKey,
    invoice: &str,
) -> Result<Withdrawal, Failure> {
    // Money must not leave a server whose books could be rolled back (blueprint, section 6).
    if ctx.attestor.trust_root().is_aws() {
        return Err(Failure::new(Code::PayoutsDisabled, "payments out of this server are switched off"));
    }
    let amount = amount_of(invoice)?;
    let (key, pubkey) = (key.to_hex(), container.pubkey());
    let row = ctx
        .store
        .intend_withdrawal(&key, (&pubkey, by), invoice, amount, ctx.clock.now())
        .map_err(|e| store_failure(&e))?
        .ok_or_else(|| Failure::new(Code::NotOwner, "the container belongs to another key by now"))?;
    let (preimage, fees) = match row.paid {
        Some(paid) => paid,
        None => match ctx.wallet.pay(&container.keys, invoice).await {
            Ok(paid) => {
                ctx.store.save_withdrawal_paid(&key, &paid.0, paid.1).map_err(|e| store_failure(&e))?;
                paid
            }
            Err(e) => {
                if is_definite(&e) {
                    ctx.store.forget_withdrawal(&key).map_err(|e| store_failure(&e))?;
                }
                return Err(payment_failure(&e));
            }
        },
    };
    let balance = ctx.wallet.balance(&container.keys).await.map_err(|e| wallet_failure(&e))?;
    ctx.store.save_balance(&pubkey, balance).map_err(|e| store_failure(&e))?;
    Ok(Withdrawal { preimage, amount_msat: row.amount, fees_msat: fees, balance_msat: balance })
}

fn amount_of(invoice: &str) -> Result<Msat, Failure> {
    let invalid = |why: &str| Failure::new(Code::InvoiceInvalid, format!("invoice: {why}"));
    let parsed: lightning_invoice::Bolt11Invoice =
        invoice.parse().map_err(|_| invalid("it is not a BOLT11 invoice"))?;
    let msat = parsed.amount_milli_satoshis().ok_or_else(|| invalid("it must state an amount"))?;
    i64::try_from(msat).map(Msat::new).map_err(|_| invalid("its amount is out of range"))
}

fn wallet_failure(error: &WalletError) -> Failure {
    tracing::warn!("wallet: {error}");
    Failure::new(Code::WalletUnavailable, "the server's wallet does not answer; try again in a minute")
}

/// True if nothing was paid. A wallet that fails within may have paid before it failed.
const fn is_definite(error: &WalletError) -> bool {
    match error {
        WalletError::Silent(_) => false,
        WalletError::Refused { code, .. } => !matches!(code, ErrorCode::Internal | ErrorCode::Unknown(_)),
    }
}

fn payment_failure(error: &WalletError) -> Failure {
    match error {
        WalletError::Refused { code: ErrorCode::InsufficientBalance, .. } => {
            Failure::new(Code::InsufficientBalance, "the container's balance is too small for this invoice")
        }
        WalletError::Refused { message, .. } if is_definite(error) => {
            Failure::new(Code::PaymentFailed, format!("the payment failed and nothing was taken: {message}"))
        }
        WalletError::Refused { .. } | WalletError::Silent(_) => {
            tracing::warn!("withdrawal: {error}");
            Failure::new(
                Code::PaymentPending,
                "the payment's outcome is not known yet; send the same request with the same id to learn it",
            )
        }
    }
}
