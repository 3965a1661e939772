//! `encli container ls`.

use nostr::key::{Keys, PublicKey};
use protocol::nec::VerifiedInstance;
use protocol::rpc::enclaved::{ContainerList, ContainerSummary, ListParams};
use serde::Serialize;
use units::UnixSecs;

use crate::context::Context;
use crate::error::Failure;
use crate::find;
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};
use crate::remote::{Remote, SERVERS_MAX};

/// Pages that one server may show: more containers than anybody has, and an end to a server that never ends.
const PAGES_MAX: usize = 100;

/// Containers on one server or several.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    containers: Vec<Row>,
    /// Servers that did not answer, with the reason.
    silent: Vec<Silent>,
}

#[derive(Debug, Serialize)]
struct Row {
    npub: String,
    instance_pubkey: PublicKey,
    #[serde(flatten)]
    summary: ContainerSummary,
}

#[derive(Debug, Serialize)]
struct Silent {
    instance_pubkey: PublicKey,
    code: String,
    message: String,
}

/// Lists the caller's containers.
///
/// # Errors
/// [`Failure`]; if several servers are asked, only when none of them answers.
pub(crate) async fn ls(ctx: &Context, instance: Option<PublicKey>) -> Result<Listed, Failure> {
    let keys = ctx.keys()?;
    let Some(service) = instance else { return ls_everywhere(ctx, keys).await };
    let relays = find::verified_instance(ctx, service).await.map(|it| it.announced().relays.clone());
    let _doing = ctx.progress.begin("asking the server");
    let containers = list(ctx, service, keys, &relays.unwrap_or_default()).await?;
    Ok(Listed { containers, silent: Vec::new() })
}

async fn ls_everywhere(ctx: &Context, keys: Keys) -> Result<Listed, Failure> {
    let found = find::instances(ctx, None).await?;
    let verified: Vec<VerifiedInstance> =
        found.into_iter().filter_map(|it| it.verdict.ok()).take(SERVERS_MAX).collect();
    if verified.is_empty() {
        let message = "no server on these relays verifies; `encli instance ls --all` says why";
        return Err(Failure::refused("no_instance", message).with_hint("or name one with --instance"));
    }
    let _doing = ctx.progress.begin(format!("asking {} servers", verified.len()));
    let asking = verified.iter().map(|it| list(ctx, it.service(), keys.clone(), &it.announced().relays));
    let answers = futures_util::future::join_all(asking).await;
    let mut listed = Listed { containers: Vec::new(), silent: Vec::new() };
    for (instance, answer) in verified.iter().zip(answers) {
        match answer {
            Ok(rows) => listed.containers.extend(rows),
            Err(e) if verified.len() == 1 => return Err(e),
            Err(e) => listed.silent.push(Silent {
                instance_pubkey: instance.service(),
                code: e.code().to_owned(),
                message: e.message().to_owned(),
            }),
        }
    }
    if listed.silent.len() == verified.len() {
        let message = format!("none of {} servers answered", verified.len());
        return Err(Failure::no_answer("no_answer", message).with_hint("name one with --instance"));
    }
    Ok(listed)
}

async fn list(ctx: &Context, service: PublicKey, keys: Keys, relays: &[String]) -> Result<Vec<Row>, Failure> {
    let remote = Remote::connect(ctx, service, keys, relays).await?;
    let mut page = ListParams::default();
    let mut summaries = Vec::new();
    for _ in 0..PAGES_MAX {
        let list: ContainerList = remote.ask("list", &page).await?;
        summaries.extend(list.containers);
        page.after = list.next;
        if page.after.is_none() {
            break;
        }
    }
    let row = |summary: ContainerSummary| Row {
        npub: npub(&summary.info.pubkey),
        instance_pubkey: service,
        summary,
    };
    Ok(summaries.into_iter().map(row).collect())
}

impl Row {
    fn cells(&self, now: UnixSecs) -> [String; 8] {
        let info = &self.summary.info;
        [
            self.npub.clone(),
            info.name.clone().unwrap_or_else(|| "-".to_owned()),
            info.state.clone(),
            info.units.to_string(),
            format!("{} sat/h", info.price_msat_per_hour),
            format!("{} sat", self.summary.balance_msat),
            self.summary.paid_until.map_or_else(|| "-".to_owned(), |until| time::relative(until, now)),
            info.image.clone(),
        ]
    }
}

impl View for Listed {
    fn show(&self, page: &mut Page) {
        if self.containers.is_empty() {
            page.line("No containers.");
        } else {
            let mut table =
                Table::new(&["NPUB", "NAME", "STATE", "UNITS", "PRICE", "BALANCE", "PAID UNTIL", "IMAGE"]);
            self.containers.iter().for_each(|row| table.row(row.cells(page.now())));
            page.table(&table);
        }
        for silent in &self.silent {
            page.warn(format!("{} did not answer: {}", npub(&silent.instance_pubkey), silent.message));
        }
    }
}
