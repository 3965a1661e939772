//! What owners see of a container: `logs`, `stats`, `events`; and do in it: `exec`, `transfer`.

use std::io::Write;
use std::time::Duration;

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    ContainerParams, ContainerStatus, ExecParams, ExecReply, History, HistoryParams, LogLine, Logs,
    LogsParams, Stats, TransferParams,
};
use serde::Serialize;
use units::Msat;

use super::owner::Status;
use crate::args::{ContainerEvents, ContainerExec, ContainerLogs, ContainerTransfer, OneContainer};
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, Table, View, safe, time};
use crate::remote::{Home, Remote};

/// How often the server is asked for what was written since.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// A command's answer comes after the command: so much longer is waited for it.
const BESIDES: Duration = Duration::from_secs(10);

async fn connect(ctx: &Context, one: &OneContainer) -> Result<(Home, Remote), Failure> {
    let keys = ctx.keys()?;
    let home = Home::find(ctx, one.npub, one.instance).await?;
    let remote = home.connect(ctx, keys).await?;
    Ok((home, remote))
}

/// Lines that a container wrote.
#[derive(Debug, Serialize)]
pub(crate) struct Output {
    pubkey: PublicKey,
    #[serde(flatten)]
    logs: Logs,
}

/// Shows what a container wrote; with `--follow` as it is written.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn logs(ctx: &Context, args: &ContainerLogs, is_json: bool) -> Result<Output, Failure> {
    if args.follow && is_json {
        let message = "--follow writes lines as they come, which is no JSON value; leave out --json";
        return Err(Failure::usage("usage", message));
    }
    let pubkey = args.container.npub;
    let (_, remote) = connect(ctx, &args.container).await?;
    let first = LogsParams { lines: args.lines, ..LogsParams::newest(pubkey) };
    let mut logs: Logs = {
        let _doing = ctx.progress.begin("asking the server");
        remote.ask("logs", &first).await?
    };
    if !args.follow {
        return Ok(Output { pubkey, logs });
    }
    let mut last = None;
    loop {
        if let Some(line) = logs.lines.last() {
            last = Some(line.at.clone());
        }
        let is_closed = write(&logs.lines).is_err();
        // More is there, or nobody reads any more, as behind `head`.
        if is_closed || (logs.lines.is_empty() && is_over(&remote, pubkey).await?) {
            return Ok(Output { pubkey, logs: Logs { lines: Vec::new(), truncated: false } });
        }
        if last.is_none() || !logs.truncated {
            tokio::time::sleep(ASK_EVERY).await;
        }
        logs = remote.ask("logs", &LogsParams { after: last.clone(), ..first.clone() }).await?;
    }
}

async fn is_over(remote: &Remote, pubkey: PublicKey) -> Result<bool, Failure> {
    let status: ContainerStatus = remote.ask("status", &ContainerParams { pubkey }).await?;
    Ok(matches!(status.info.state.as_str(), "expired" | "failed" | "terminated"))
}

fn write(lines: &[LogLine]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for line in lines {
        writeln!(stdout, "{}", safe::line(&line.text))?;
    }
    stdout.flush()
}

impl View for Output {
    fn show(&self, page: &mut Page) {
        self.logs.lines.iter().for_each(|line| page.line(&line.text));
    }
}

/// What a container uses and costs.
#[derive(Debug, Serialize)]
pub(crate) struct Usage {
    pubkey: PublicKey,
    #[serde(flatten)]
    stats: Stats,
}

/// Shows what a container uses and costs.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn stats(ctx: &Context, one: &OneContainer) -> Result<Usage, Failure> {
    let (_, remote) = connect(ctx, one).await?;
    let _doing = ctx.progress.begin("asking the server");
    let stats = remote.ask("stats", &ContainerParams { pubkey: one.npub }).await?;
    Ok(Usage { pubkey: one.npub, stats })
}

impl View for Usage {
    fn show(&self, page: &mut Page) {
        let stats = &self.stats;
        page.key("container", &self.pubkey);
        page.field("running", if stats.running { "yes" } else { "no" });
        let of = |used: Option<u64>, limit: u64, unit: &str| {
            used.map_or_else(|| format!("? of {limit} {unit}"), |used| format!("{used} of {limit} {unit}"))
        };
        page.field("cpu", of(stats.cpu_milli, stats.cpu_milli_limit, "m"));
        page.field("memory", of(stats.memory_bytes, stats.memory_bytes_limit, "bytes"));
        page.field("processes", of(stats.pids, stats.pids_limit, ""));
        page.field("disk", of(stats.disk_bytes, stats.disk_bytes_limit, "bytes"));
        page.field("volume", of(stats.volume_bytes, stats.volume_bytes_limit, "bytes"));
        page.maybe("received", stats.received_bytes.map(|bytes| format!("{bytes} bytes")));
        page.maybe("sent", stats.sent_bytes.map(|bytes| format!("{bytes} bytes")));
        if let Some(until) = stats.paid_until {
            page.time("paid until", until);
        }
        page.sats("balance", stats.balance_msat);
        if stats.burn_msat_per_day > Msat::ZERO {
            page.field("costs", format!("{} sat a day", stats.burn_msat_per_day));
        }
        if let Some(until) = stats.lasts_until {
            page.time("lasts until", until);
        }
    }
}

/// What happened to a container.
#[derive(Debug, Serialize)]
pub(crate) struct Events {
    pubkey: PublicKey,
    #[serde(flatten)]
    history: History,
}

/// Shows what happened to a container.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn events(ctx: &Context, args: &ContainerEvents) -> Result<Events, Failure> {
    let pubkey = args.container.npub;
    let (_, remote) = connect(ctx, &args.container).await?;
    let _doing = ctx.progress.begin("asking the server");
    let history = remote.ask("events", &HistoryParams { pubkey, limit: args.limit }).await?;
    Ok(Events { pubkey, history })
}

impl View for Events {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&["WHEN", "WHAT", ""]);
        for event in &self.history.events {
            table.row([time::both_ways(event.at, page.now()), event.code.clone(), event.message.clone()]);
        }
        page.table(&table);
    }
}

/// What came of a command in a container.
#[derive(Debug, Serialize)]
pub(crate) struct Executed {
    pubkey: PublicKey,
    #[serde(flatten)]
    reply: ExecReply,
}

/// Runs a command in a container that was launched with `--exec`.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn exec(ctx: &Context, args: &ContainerExec) -> Result<Executed, Failure> {
    let pubkey = args.container.npub;
    let (_, remote) = connect(ctx, &args.container).await?;
    let _doing = ctx.progress.begin("exec: waiting for the command");
    let params = ExecParams { pubkey, command: args.command.clone(), timeout_secs: args.within };
    let wait = Duration::from_secs(u64::from(args.within)) + BESIDES;
    let reply = remote.command("exec", &params, wait.max(remote.wait())).await?;
    Ok(Executed { pubkey, reply })
}

impl View for Executed {
    fn show(&self, page: &mut Page) {
        self.reply.stdout.lines().for_each(|line| page.line(line));
        self.reply.stderr.lines().for_each(|line| page.warn(line));
        if self.reply.truncated {
            page.warn("It wrote more, which is not kept.");
        }
        if self.reply.exit_code != 0 {
            page.warn(format!("It ended with {}.", self.reply.exit_code));
        }
    }
}

/// Gives a container to another key.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn transfer(ctx: &Context, args: &ContainerTransfer) -> Result<Status, Failure> {
    let (home, remote) = connect(ctx, &args.container).await?;
    let pubkey = args.container.npub;
    let status: ContainerStatus = match args.to {
        Some(owner) => {
            let _doing = ctx.progress.begin(format!("offering it to {}", npub(&owner)));
            remote.command("transfer", &TransferParams { pubkey, owner }, remote.wait()).await?
        }
        None => {
            let _doing = ctx.progress.begin("taking the offer back");
            remote.command("cancel_transfer", &ContainerParams { pubkey }, remote.wait()).await?
        }
    };
    Ok(Status::new(status, &home))
}
