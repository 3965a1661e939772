//! `encli instance`.

mod genesis;
mod sign;

use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tag_value};
use protocol::nec::VerifiedInstance;
use serde::Serialize;
use units::UnixSecs;

use super::proof::{Announced, InstanceProof, show_pinned};
use crate::args::{InstanceInspect, InstanceLs, InstanceVerify};
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};
use crate::{files, find};

pub(crate) use genesis::genesis;
pub(crate) use sign::sign;

/// A server that was verified.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    ok: bool,
    #[serde(flatten)]
    proof: InstanceProof,
    pinned: bool,
    announced: Announced,
}

impl From<&VerifiedInstance> for Verified {
    fn from(instance: &VerifiedInstance) -> Self {
        Self { ok: true, proof: instance.into(), pinned: instance.is_pinned(), announced: instance.into() }
    }
}

/// Verifies an announcement in a file.
///
/// # Errors
/// The reason to refuse it, with its code.
pub(crate) fn verify(ctx: &Context, args: &InstanceVerify) -> Result<Verified, Failure> {
    let policy = ctx.settings.policy(args.at.resolve(ctx.now()))?;
    let event = files::read_event(&args.file)?;
    Ok(Verified::from(&VerifiedInstance::verify(&event, &policy)?))
}

impl View for Verified {
    fn show(&self, page: &mut Page) {
        page.good("The announcement verifies: this server's key lives in this enclave.");
        self.proof.show(page);
        page.gap();
        page.line("It says of itself:");
        self.announced.show(page);
        show_pinned(page, self.pinned);
    }
}

/// What is known of one server.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Inspected {
    /// It verifies.
    Verified(Box<Details>),
    /// It does not, and was asked for all the same.
    Unverified(Row),
}

/// Everything about one server.
#[derive(Debug, Serialize)]
pub(crate) struct Details {
    #[serde(flatten)]
    verified: Verified,
    npub: String,
    description: Option<String>,
    announced_at: UnixSecs,
    age_secs: u64,
    attested_at: UnixSecs,
    module_id: String,
    aws_root: bool,
}

/// Finds and verifies one server.
///
/// # Errors
/// `not_found`, or why it does not verify.
pub(crate) async fn inspect(ctx: &Context, args: &InstanceInspect) -> Result<Inspected, Failure> {
    let found = find::instance(ctx, args.npub).await?;
    let instance = match found.verdict {
        Err(e) if args.all => return Ok(Inspected::Unverified(Row::new(&found.event, Err(e.into())))),
        verdict => verdict?,
    };
    let document = instance.root().document();
    Ok(Inspected::Verified(Box::new(Details {
        verified: Verified::from(&instance),
        npub: npub(&args.npub),
        description: tag_value(&found.event, "alt").map(ToOwned::to_owned),
        announced_at: found.event.created_at(),
        age_secs: ctx.now().secs_since(found.event.created_at()),
        attested_at: UnixSecs(document.timestamp_ms() / 1_000),
        module_id: document.module_id().to_owned(),
        aws_root: document.is_under_aws_root(),
    })))
}

impl View for Inspected {
    fn show(&self, page: &mut Page) {
        match self {
            Self::Verified(details) => details.show(page),
            Self::Unverified(row) => row.show(page),
        }
    }
}

impl View for Row {
    fn show(&self, page: &mut Page) {
        page.field("npub", &self.npub);
        page.time("announced", self.announced_at);
        if let Verdict::Refused { code, message, .. } = &self.verdict {
            page.warn(format!(
                "UNVERIFIED: {code}: {message}. Nothing that it says of itself can be relied on."
            ));
        }
    }
}

impl View for Details {
    fn show(&self, page: &mut Page) {
        self.verified.show(page);
        page.gap();
        page.maybe("description", self.description.as_ref());
        page.field("module", &self.module_id);
        page.time("attested", self.attested_at);
        page.time("announced", self.announced_at);
        if !self.aws_root {
            page.warn("The root is not AWS's: this is worth what that root is worth.");
        }
    }
}

/// Servers that are announced.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    instances: Vec<Row>,
    unverified: usize,
}

/// A server that is announced.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    npub: String,
    pubkey: PublicKey,
    verified: bool,
    announced_at: UnixSecs,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Verdict {
    Verified(Box<Verified>),
    Refused { ok: bool, code: String, message: String },
}

/// Lists the servers that verify, those with most to offer first.
///
/// # Errors
/// If the relays do not answer.
pub(crate) async fn ls(ctx: &Context, args: &InstanceLs) -> Result<Listed, Failure> {
    let found = find::instances(ctx, None).await?;
    let unverified = found.iter().filter(|it| it.verdict.is_err()).count();
    let shown = found.into_iter().filter(|it| args.all || it.verdict.is_ok());
    let mut instances: Vec<_> =
        shown.map(|it| Row::new(&it.event, it.verdict.map_err(Failure::from))).collect();
    instances.sort_by_key(|row| (!row.verified, std::cmp::Reverse(row.units_free())));
    Ok(Listed { instances, unverified })
}

impl Row {
    fn new(event: &CheckedEvent, verdict: Result<VerifiedInstance, Failure>) -> Self {
        let verified = verdict.is_ok();
        let verdict = match verdict {
            Ok(instance) => Verdict::Verified(Box::new(Verified::from(&instance))),
            Err(e) => {
                Verdict::Refused { ok: false, code: e.code().to_owned(), message: e.message().to_owned() }
            }
        };
        let announced_at = event.created_at();
        Self { npub: npub(&event.pubkey), pubkey: event.pubkey, verified, announced_at, verdict }
    }

    fn units_free(&self) -> u32 {
        match &self.verdict {
            Verdict::Verified(it) if it.announced.open => it.announced.units_free.unwrap_or_default(),
            Verdict::Verified(_) | Verdict::Refused { .. } => 0,
        }
    }

    fn cells(&self, now: UnixSecs) -> [String; 9] {
        let none = || "-".to_owned();
        match &self.verdict {
            Verdict::Verified(it) => {
                let said = &it.announced;
                [
                    self.npub.clone(),
                    said.name.clone().unwrap_or_else(none),
                    it.proof.env.to_string(),
                    if said.open { said.units_text().unwrap_or_else(none) } else { "closed".to_owned() },
                    said.price.map_or_else(none, |price| format!("{} sat/unit·h", price.unit_hour_msat)),
                    if said.wallet.is_some() { "yes" } else { "no" }.to_owned(),
                    time::relative(it.proof.expires_at, now),
                    if it.pinned { "yes" } else { "NO" }.to_owned(),
                    "verified".to_owned(),
                ]
            }
            Verdict::Refused { code, .. } => {
                let unproved = |text: &str| text.to_owned();
                let blank = || unproved("-");
                [
                    self.npub.clone(),
                    blank(),
                    blank(),
                    blank(),
                    blank(),
                    blank(),
                    blank(),
                    blank(),
                    format!("UNVERIFIED: {code}"),
                ]
            }
        }
    }
}

impl View for Listed {
    fn show(&self, page: &mut Page) {
        if !self.instances.is_empty() {
            let mut table = Table::new(&[
                "NPUB", "NAME", "ENV", "UNITS", "PRICE", "WALLET", "EXPIRES", "PINNED", "STATUS",
            ]);
            self.instances.iter().for_each(|row| table.row(row.cells(page.now())));
            page.table(&table);
        }
        let shown = self.instances.iter().filter(|row| !row.verified).count();
        match (self.instances.is_empty(), self.unverified - shown) {
            (true, 0) => page.line("No server is announced on these relays."),
            (_, 0) => {}
            (_, hidden) => {
                page.line(format!("{hidden} more did not verify; `--all` shows them with the reason."));
            }
        }
        let unpinned = |row: &Row| matches!(&row.verdict, Verdict::Verified(it) if !it.pinned);
        show_pinned(page, !self.instances.iter().any(unpinned));
    }
}
