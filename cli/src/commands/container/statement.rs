//! `encli container statement verify`: a statement that was kept, checked without asking anybody.

use std::path::Path;

use nostr::key::PublicKey;
use protocol::nec::VerifiedStatement;
use protocol::statement::merkle::Hash;
use protocol::statement::{Claim, Statement, StatementProof};
use serde::Serialize;
use serde_json::Value;
use units::UnixSecs;

use crate::args::StatementVerify;
use crate::commands::proof::{InstanceProof, show_pinned};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::output::{Page, View};

/// A statement that was verified.
#[derive(Debug, Serialize)]
pub(crate) struct Stated {
    ok: bool,
    container_pubkey: PublicKey,
    npub: String,
    #[serde(flatten)]
    statement: Statement,
    stated_at: UnixSecs,
    attested_at_ms: u64,
    instance: InstanceProof,
    pinned: bool,
}

impl From<&VerifiedStatement> for Stated {
    fn from(verified: &VerifiedStatement) -> Self {
        let certified = verified.certified();
        Self {
            ok: true,
            container_pubkey: certified.pubkey,
            npub: npub(&certified.pubkey),
            statement: verified.statement().clone(),
            stated_at: verified.stated_at(),
            attested_at_ms: verified.attested_at_ms(),
            instance: InstanceProof::of_root(verified.root(), verified.releasers().iter().copied()),
            pinned: verified.is_pinned(),
        }
    }
}

/// Verifies a statement from a file.
///
/// # Errors
/// `statement_invalid`, `key_mismatch`, `digest_mismatch`, `url_mismatch`, `response_mismatch`, or why
/// the evidence does not verify.
pub(crate) fn verify(ctx: &Context, args: &StatementVerify) -> Result<Stated, Failure> {
    let proof = read_proof(&args.file)?;
    // A statement is asked whether it was good when it was made; that time is the document's own.
    let claimed = VerifiedStatement::claimed_time(&proof);
    let at = args.at.map_or(claimed, |at| at.resolve(ctx.now()));
    let verified = VerifiedStatement::verify(&proof, &ctx.settings.policy(at)?)?;
    check_expected(args, &verified)?;
    Ok(Stated::from(&verified))
}

/// The proof, or an answer of `attested_fetch` that holds one.
fn read_proof(path: &Path) -> Result<StatementProof, Failure> {
    let bytes = files::read(path)?;
    let invalid = |why: &dyn std::fmt::Display| {
        Failure::refused(
            "statement_invalid",
            format!("{}: not a statement with its proof: {why}", path.display()),
        )
    };
    let mut value: Value = serde_json::from_slice(&bytes).map_err(|e| invalid(&e))?;
    if let Some(inner) = value.get_mut("proof").map(Value::take) {
        value = inner;
    }
    serde_json::from_value(value).map_err(|e| invalid(&e))
}

fn check_expected(args: &StatementVerify, verified: &VerifiedStatement) -> Result<(), Failure> {
    let found = verified.certified().pubkey;
    if let Some(wanted) = args.container.filter(|wanted| *wanted != found) {
        let message = format!("the statement is about {}, not about {}", npub(&found), npub(&wanted));
        return Err(Failure::refused("key_mismatch", message));
    }
    let claim = &verified.statement().claim;
    if let Some(wanted) = args.digest {
        match claim {
            Claim::Attest { digest } if *digest == wanted => {}
            Claim::Attest { .. } | Claim::Fetch(_) | Claim::Receipts { .. } => {
                return Err(Failure::refused("digest_mismatch", "the statement is not over this digest"));
            }
        }
    }
    if args.url.is_none() && args.response.is_none() {
        return Ok(());
    }
    let Claim::Fetch(fetch) = claim else {
        return Err(Failure::refused("url_mismatch", "the statement is not about a fetch"));
    };
    if let Some(wanted) = args.url.as_ref().filter(|wanted| **wanted != fetch.url) {
        let message = format!("the statement is about {:?}, not about {wanted:?}", fetch.url);
        return Err(Failure::refused("url_mismatch", message));
    }
    if let Some(path) = &args.response
        && Hash::of(&files::read(path)?) != fetch.response_sha256
    {
        let message = format!("{} is not what was answered", path.display());
        return Err(Failure::refused("response_mismatch", message));
    }
    Ok(())
}

impl View for Stated {
    fn show(&self, page: &mut Page) {
        page.good("The statement verifies: the code in the enclave stated this at this time.");
        page.field("container", &self.npub);
        page.field("image", &self.statement.image);
        page.maybe("manifest", self.statement.manifest_sha256.as_ref());
        match &self.statement.claim {
            Claim::Attest { digest } => page.field("digest", digest),
            Claim::Fetch(fetch) => {
                page.field("asked", format!("{} {}", fetch.method, fetch.url));
                page.field("answer", format!("{}, {} bytes", fetch.status, fetch.response_bytes));
                page.field("its SHA-256", fetch.response_sha256);
                page.field("request", fetch.request_sha256);
                for certificate in &fetch.certificates {
                    page.field("certificate", Hash::of(&certificate.0));
                }
            }
            Claim::Receipts { count, head } => {
                page.field("receipts", count);
                page.maybe("the last", head.as_ref());
            }
        }
        page.time("attested", UnixSecs(self.attested_at_ms / 1_000));
        page.gap();
        page.line("On this server:");
        self.instance.show(page);
        show_pinned(page, self.pinned);
    }
}
