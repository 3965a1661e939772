//! What owners do about a container's image: `upgrade`, `pin`, `unpin`, `upgrades`.

use std::time::Duration;

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    ContainerParams, ContainerStatus, UpgradeOutcome, UpgradeParams, UpgradeRecord, Upgrades,
};
use serde::Serialize;
use units::Stopwatch;

use super::owner::Status;
use crate::args::{ContainerUpgrade, OneContainer};
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};
use crate::remote::{Home, Remote};

/// How often the server is asked whether it is over.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long an upgrade may take: its image has to be fetched and to show that it is healthy.
const UPGRADE_WAIT: Duration = Duration::from_secs(600);

/// Has another image take the place of the one that runs, and waits for the end of it if asked to.
///
/// # Errors
/// [`Failure`]; with `--wait`, the code and the sentence of why it was not upgraded.
pub(crate) async fn upgrade(ctx: &Context, args: &ContainerUpgrade) -> Result<Status, Failure> {
    let one = &args.container;
    let (home, remote) = connect(ctx, one).await?;
    let params = UpgradeParams { pubkey: one.npub, docker: args.image.clone() };
    let doing = ctx.progress.begin("upgrade: waiting for the server");
    let mut status: ContainerStatus = remote.command("upgrade", &params, remote.wait()).await?;
    if args.wait {
        until_over(&remote, one.npub).await?;
        status = remote.ask("status", &ContainerParams { pubkey: one.npub }).await?;
    }
    drop(doing);
    Ok(Status::new(status, &home))
}

/// What was decided about a container's image, or `pin` and `unpin`, which answer with it.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn upgrades(ctx: &Context, one: &OneContainer, method: &str) -> Result<Shown, Failure> {
    let (_, remote) = connect(ctx, one).await?;
    let _doing = ctx.progress.begin(format!("{method}: waiting for the server"));
    let params = ContainerParams { pubkey: one.npub };
    let upgrades = match method {
        "upgrades" => remote.ask(method, &params).await?,
        _ => remote.command(method, &params, remote.wait()).await?,
    };
    Ok(Shown { npub: npub(&one.npub), upgrades })
}

async fn connect(ctx: &Context, one: &OneContainer) -> Result<(Home, Remote), Failure> {
    let keys = ctx.keys()?;
    let home = Home::find(ctx, one.npub, one.instance).await?;
    let remote = home.connect(ctx, keys).await?;
    Ok((home, remote))
}

/// Waits until the newest upgrade is over.
async fn until_over(remote: &Remote, pubkey: PublicKey) -> Result<(), Failure> {
    let took = Stopwatch::start();
    loop {
        match remote.ask::<Upgrades>("upgrades", &ContainerParams { pubkey }).await {
            Ok(upgrades) => match upgrades.upgrades.into_iter().next() {
                Some(newest) if newest.outcome == UpgradeOutcome::Open => {}
                Some(newest) => return outcome(newest),
                None => return Err(Failure::refused("bad_reply", "the server knows of no upgrade")),
            },
            // The server may be busy, or restarting: it is asked again until the time is over.
            Err(e) if e.exit() == Exit::NoAnswer => {}
            Err(e) => return Err(e),
        }
        if took.elapsed() > UPGRADE_WAIT {
            let message = format!("the upgrade is not over after {} s", UPGRADE_WAIT.as_secs());
            return Err(
                Failure::no_answer("no_answer", message).with_hint("ask with `encli container upgrades`")
            );
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn outcome(record: UpgradeRecord) -> Result<(), Failure> {
    let why = record.message.unwrap_or_else(|| "the server does not say why".to_owned());
    let (code, before) = match record.outcome {
        UpgradeOutcome::Done | UpgradeOutcome::Open => return Ok(()),
        UpgradeOutcome::Refused => ("upgrade_refused", "not upgraded"),
        UpgradeOutcome::RolledBack => ("upgrade_rolled_back", "rolled back, with the data of before"),
        UpgradeOutcome::Cancelled => ("upgrade_cancelled", "cancelled, with the data of before"),
    };
    let reason = record.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    Err(Failure::refused(code, format!("{before}: {why}{reason}")))
}

/// What was decided about a container's image.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    npub: String,
    #[serde(flatten)]
    upgrades: Upgrades,
}

impl View for Shown {
    fn show(&self, page: &mut Page) {
        page.field("container", &self.npub);
        page.field("image", &self.upgrades.image);
        page.field("upgrade", &self.upgrades.policy);
        if self.upgrades.pinned {
            page.warn("You hold it at this image; `encli container unpin` lets it go.");
        }
        if self.upgrades.upgrades.is_empty() {
            return page.line("Nothing was decided yet.");
        }
        let mut table = Table::new(&["WHEN", "VERSION", "OUTCOME", "IMAGE", "WHY"]);
        for record in &self.upgrades.upgrades {
            let why = match (&record.message, &record.code) {
                (Some(message), Some(code)) => format!("{message} [{code}]"),
                (Some(text), None) | (None, Some(text)) => text.clone(),
                (None, None) => "-".to_owned(),
            };
            table.row([
                time::both_ways(record.at, page.now()),
                record.version.clone().unwrap_or_else(|| "-".to_owned()),
                record.outcome.as_str().to_owned(),
                record.image.clone(),
                why,
            ]);
        }
        page.gap();
        page.table(&table);
    }
}
