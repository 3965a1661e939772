//! `encli container receipts`: what a container was charged for, from its server or from a file.

use std::path::Path;

use nostr::key::PublicKey;
use protocol::nec::VerifiedStatement;
use protocol::receipt::Receipt;
use protocol::rpc::enclaved::{ReceiptPage, ReceiptParams};
use serde::Serialize;
use units::{Msat, UnixSecs};

use crate::args::{ContainerReceipts, values};
use crate::commands::proof::{InstanceProof, show_pinned};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::output::table::Table;
use crate::output::{Page, View};
use crate::remote::Home;

/// Most receipts that are asked for: eleven years of hours.
const RECEIPTS_MAX: usize = 100_000;

/// A container's receipts, as far as they were verified.
#[derive(Debug, Serialize)]
pub(crate) struct Receipts {
    verified: bool,
    receipts: Vec<Receipt>,
    paid_msat: Msat,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proof>,
}

/// What stands behind them.
#[derive(Debug, Serialize)]
struct Proof {
    container_pubkey: PublicKey,
    attested_at_ms: u64,
    instance: InstanceProof,
    pinned: bool,
}

/// Shows receipts, and verifies them if that is asked for.
///
/// # Errors
/// `receipt_invalid`, `statement_invalid`, why the evidence does not verify, or why nobody was asked.
pub(crate) async fn receipts(ctx: &Context, args: &ContainerReceipts) -> Result<Receipts, Failure> {
    let path = Path::new(&args.from);
    let named = values::public_key(&args.from).ok().filter(|_| !path.exists());
    if let Some(out) = &args.out {
        files::check_new(out)?;
    }
    let page = match named {
        Some(container) => fetch(ctx, container, args.instance).await?,
        None => read(path)?,
    };
    let read: Vec<_> = page.receipts.iter().map(Receipt::read).collect::<Result<_, _>>().map_err(invalid)?;
    let proof = match args.verify {
        true => Some(verify(ctx, args, &page, named)?),
        false => None,
    };
    if let Some(out) = &args.out {
        let text = serde_json::to_string(&page).map_err(|e| invalid(e.to_string()))?;
        files::write_public(out, &text)?;
    }
    let paid_msat = read.iter().fold(0_i64, |sum, receipt| sum.saturating_add(receipt.amount_msat.msat()));
    Ok(Receipts { verified: proof.is_some(), receipts: read, paid_msat: Msat::new(paid_msat), proof })
}

fn verify(
    ctx: &Context,
    args: &ContainerReceipts,
    page: &ReceiptPage,
    named: Option<PublicKey>,
) -> Result<Proof, Failure> {
    let evidence = page.evidence.as_ref().ok_or_else(|| {
        Failure::refused(
            "statement_invalid",
            "there is no statement beside the receipts; fetch them all again",
        )
    })?;
    let claimed = VerifiedStatement::claimed_time(evidence);
    let at = args.at.map_or(claimed, |at| at.resolve(ctx.now()));
    let verified = VerifiedStatement::verify(evidence, &ctx.settings.policy(at)?)?;
    let container = verified.certified().pubkey;
    if let Some(wanted) = named.filter(|wanted| *wanted != container) {
        let message = format!("the receipts are of {}, not of {}", npub(&container), npub(&wanted));
        return Err(Failure::refused("key_mismatch", message));
    }
    verified.verify_receipts(&page.receipts)?;
    Ok(Proof {
        container_pubkey: container,
        attested_at_ms: verified.attested_at_ms(),
        instance: InstanceProof::of_root(verified.root(), verified.releasers().iter().copied()),
        pinned: verified.is_pinned(),
    })
}

/// All receipts, page by page, with the statement that comes with the last page.
async fn fetch(
    ctx: &Context,
    container: PublicKey,
    instance: Option<PublicKey>,
) -> Result<ReceiptPage, Failure> {
    let keys = ctx.keys()?;
    let home = Home::find(ctx, container, instance).await?;
    let remote = home.connect(ctx, keys).await?;
    let _doing = ctx.progress.begin("asking the server for receipts");
    let mut all: Vec<protocol::event::CheckedEvent> = Vec::new();
    loop {
        let from = u64::try_from(all.len()).unwrap_or(u64::MAX);
        let page: ReceiptPage = remote.ask("receipts", &ReceiptParams { pubkey: container, from }).await?;
        let is_last = page.next.is_none() || page.receipts.is_empty();
        all.extend(page.receipts);
        if is_last || all.len() > RECEIPTS_MAX {
            return Ok(ReceiptPage { receipts: all, next: None, evidence: page.evidence });
        }
    }
}

fn read(path: &Path) -> Result<ReceiptPage, Failure> {
    let bytes = files::read(path)?;
    serde_json::from_slice(&bytes)
        .map_err(|e| invalid(format!("{}: not a file of receipts: {e}", path.display())))
}

fn invalid(why: String) -> Failure {
    Failure::refused("receipt_invalid", why)
}

impl View for Receipts {
    fn show(&self, page: &mut Page) {
        match &self.proof {
            Some(_) => page.good("The receipts verify: none is missing, and the enclave stated them."),
            None => page.warn("Not verified: say --verify."),
        }
        let mut table = Table::new(&["NO", "FROM", "UNTIL", "SAT", "PAYMENT", "IMAGE"]);
        for receipt in &self.receipts {
            let payment = receipt.payment_hash.as_deref().unwrap_or("-");
            table.row(vec![
                receipt.number.to_string(),
                receipt.from.to_string(),
                receipt.until.to_string(),
                receipt.amount_msat.to_string(),
                payment.chars().take(12).collect(),
                receipt.image.clone(),
            ]);
        }
        page.table(&table);
        page.sats("paid", self.paid_msat);
        if let Some(proof) = &self.proof {
            page.time("attested", UnixSecs(proof.attested_at_ms / 1_000));
            page.gap();
            page.line("On this server:");
            proof.instance.show(page);
            show_pinned(page, proof.pinned);
        }
    }
}
