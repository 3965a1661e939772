//! `encli keycrux`.

mod approve;
mod ask;
mod check;
mod find;
mod ls;

use protocol::rpc::keycrux::{HasParams, StatusReply};
use serde::Serialize;

use crate::args::{KeycruxAsked, KeycruxHas, Machine};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};
use ask::{Answer, ask_all};

pub(crate) use approve::approve;
pub(crate) use check::check;
pub(crate) use ls::ls;

/// Whether key stores live.
#[derive(Debug, Serialize)]
pub(crate) struct Pinged {
    key_stores: Vec<Answer<String>>,
}

/// Asks key stores whether they live.
///
/// # Errors
/// `not_found` if there is none, `no_answer` if none answers.
pub(crate) async fn ping(ctx: &Context, args: &KeycruxAsked) -> Result<Pinged, Failure> {
    let found = find::verified(ctx, args.npub, &args.of).await?;
    let key_stores = ask_all(ctx, found, async |client| client.ping().await).await?;
    Ok(Pinged { key_stores })
}

impl View for Pinged {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&["NPUB", "LAUNCHER", "ANSWER"]);
        for answer in &self.key_stores {
            let said = answer.outcome().map_or_else(ToString::to_string, Clone::clone);
            table.row([npub(&answer.pubkey), npub(&answer.launcher), said]);
        }
        page.table(&table);
    }
}

/// How key stores do.
#[derive(Debug, Serialize)]
pub(crate) struct Statuses {
    key_stores: Vec<Answer<StatusReply>>,
}

/// Asks key stores how they do.
///
/// # Errors
/// As [`ping`].
pub(crate) async fn status(ctx: &Context, args: &KeycruxAsked) -> Result<Statuses, Failure> {
    let found = find::verified(ctx, args.npub, &args.of).await?;
    let key_stores = ask_all(ctx, found, async |client| client.status().await).await?;
    Ok(Statuses { key_stores })
}

impl View for Statuses {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&[
            "NPUB", "LAUNCHER", "VERSION", "ENV", "GROUP", "QUORUM", "RECORDS", "KEPT", "STATUS",
        ]);
        for answer in &self.key_stores {
            let (key, launcher) = (npub(&answer.pubkey), npub(&answer.launcher));
            match answer.outcome() {
                Ok(status) => table.row([
                    key,
                    launcher,
                    status.version.clone(),
                    status.env.to_string(),
                    status
                        .origin
                        .as_ref()
                        .map_or_else(|| "-".to_owned(), |it| hex::encode(&it.view.group.0[..4])),
                    format!("{} of {}", status.writes, status.members),
                    format!("{}/{}", status.records, status.records_max),
                    time::duration(status.ttl_secs),
                    if status.serving { "serves" } else { "JOINING" }.to_owned(),
                ]),
                Err(why) => {
                    let none = || "-".to_owned();
                    table.row([
                        key,
                        launcher,
                        none(),
                        none(),
                        none(),
                        none(),
                        none(),
                        none(),
                        why.to_owned(),
                    ]);
                }
            }
        }
        page.table(&table);
        let serving = |answer: &&Answer<StatusReply>| answer.outcome().is_ok_and(|status| status.serving);
        let groups =
            self.key_stores.iter().filter(serving).filter_map(|it| it.outcome().ok()?.origin.as_ref());
        let groups: std::collections::BTreeSet<_> = groups.map(|origin| origin.view.group).collect();
        if groups.len() > 1 {
            page.warn("They are of different groups: what one group keeps, the other does not know.");
        }
    }
}

/// How many records a machine has.
#[derive(Debug, Serialize)]
pub(crate) struct Has {
    pcr4: attestation::Pcr,
    key_stores: Vec<Answer<protocol::rpc::keycrux::HasReply>>,
}

/// Asks key stores how many records a machine has.
///
/// # Errors
/// As [`ping`], and why the machine is not known.
pub(crate) async fn has(ctx: &Context, args: &KeycruxHas) -> Result<Has, Failure> {
    let pcr4 = pcr4(&args.machine)?;
    let found = find::verified(ctx, None, &args.of).await?;
    let key_stores = ask_all(ctx, found, async |client| client.has(&HasParams { pcr4 }).await).await?;
    Ok(Has { pcr4, key_stores })
}

impl View for Has {
    fn show(&self, page: &mut Page) {
        let mut table = Table::new(&["NPUB", "LAUNCHER", "RECORDS"]);
        for answer in &self.key_stores {
            let count = answer.outcome().map_or_else(ToString::to_string, |has| has.count.to_string());
            table.row([npub(&answer.pubkey), npub(&answer.launcher), count]);
        }
        page.table(&table);
    }
}

/// The machine's register.
fn pcr4(machine: &Machine) -> Result<attestation::Pcr, Failure> {
    let path = match machine {
        Machine::Pcr4(pcr4) => return Ok(*pcr4),
        Machine::File(path) => path,
    };
    let event = files::read_event(path)?;
    let signed = protocol::event::tag_value(&event, "PCR4").and_then(|hex| hex.parse().ok());
    signed.filter(|_| event.kind == protocol::kinds::LAUNCHER_SIGNATURE).ok_or_else(|| {
        let message = format!("{} is not a launcher's signature of a machine", path.display());
        Failure::refused("launcher_invalid", message)
            .with_hint("give the parent's instance.json, the instance's id, or PCR4")
    })
}
