//! `encli keycrux check`: whether the next build would get the key, asked before anything is shut down.

use std::collections::BTreeMap;

use attestation::Pcr;
use nostr::event::{Event, EventId};
use nostr::key::PublicKey;
use protocol::kinds::GENESIS;
use protocol::nec::Version;
use protocol::nec::release::Release;
use protocol::rpc::keycrux::{CheckParams, CheckReply, HypotheticalBuild, Input, StatusReply};
use quorum::RecordId;
use serde::Serialize;
use units::UnixSecs;

use super::ask::{Answer, ask_all};
use super::{find, pcr4};
use crate::args::{Genesis, KeycruxCheck};
use crate::commands::proof::show_pinned;
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};

/// What key stores say of a build.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    ok: bool,
    version: Option<String>,
    pcrs: BTreeMap<String, Pcr>,
    pcr4: Pcr,
    /// How many key stores must give the key, of how many.
    needed: usize,
    members: usize,
    /// How many would.
    allowed: usize,
    pinned: bool,
    key_stores: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    npub: String,
    launcher: PublicKey,
    allowed: bool,
    code: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<UnixSecs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<RecordId>,
}

/// A build that does not run yet, and who signed it.
struct Next {
    pcrs: [Pcr; 3],
    version: Option<Version>,
    repo: String,
    signatures: Vec<Event>,
}

/// Asks the key stores, and says what they say together.
///
/// # Errors
/// The code of the rule that refuses, or `no_quorum` if too few answer.
pub(crate) async fn check(ctx: &Context, args: &KeycruxCheck) -> Result<String, Failure> {
    let next = Next::read(args)?;
    let pcr4 = pcr4(&args.machine)?;
    let genesis = args.genesis.as_ref().map(genesis).transpose()?;
    let launchers = find::verified(ctx, None, &args.of).await?;
    let pinned = launchers.iter().flatten().all(|it| it.instance.is_pinned());
    let found = launchers.len();
    let params = CheckParams {
        attestation: None,
        build: Some(HypotheticalBuild { pcrs: next.pcrs, pcr4 }),
        identity: None,
        genesis,
        input: Input { repo: Some(next.repo.clone()), release_signatures: next.signatures.clone() },
    };
    let question = async |client: &keyholder::KeycruxClient| {
        let status = client.status().await?;
        Ok((client.check(&params).await, status))
    };
    let answers = ask_all(ctx, launchers, question).await?;
    let checked = Checked::of(&next, pcr4, answers, found, pinned);
    let shown = ctx.render(&checked)?;
    match checked.refusal() {
        None => Ok(shown),
        Some(failure) if ctx.format.json => {
            let detail = serde_json::to_value(&checked)
                .map_err(|e| Failure::refused("output", format!("the result cannot be written: {e}")))?;
            Err(failure.with_detail(detail))
        }
        Some(failure) => Err(failure.with_help(shown)),
    }
}

impl Next {
    /// Reads the signatures of one build. Approvals of another policy may stand among them.
    fn read(args: &KeycruxCheck) -> Result<Self, Failure> {
        let mut read: Option<Release> = None;
        let mut signatures = Vec::new();
        for path in &args.release {
            let invalid =
                |why: String| Failure::refused("release_invalid", format!("{}: {why}", path.display()));
            let event = files::read_release(path)?;
            match Release::read(&event) {
                Ok(release) => match &read {
                    Some(first) if (first.pcrs, &first.repo) != (release.pcrs, &release.repo) => {
                        return Err(invalid("it is for another build than the file before it".to_owned())
                            .with_hint("check one build at a time"));
                    }
                    Some(first) if first.version >= release.version => {}
                    Some(_) | None => read = Some(release),
                },
                Err(_) if protocol::nec::PolicyApproval::read(&event).is_ok() => {}
                Err(e) => return Err(invalid(e.to_string())),
            }
            signatures.push(event.into_event());
        }
        let release = read.ok_or_else(|| {
            Failure::refused("release_missing", "none of the files is the release signature of a build")
        })?;
        Ok(Self { pcrs: release.pcrs, version: release.version, repo: release.repo, signatures })
    }
}

fn genesis(which: &Genesis) -> Result<EventId, Failure> {
    let path = match which {
        Genesis::Id(id) => return Ok(*id),
        Genesis::File(path) => path,
    };
    let event = files::read_event(path)?;
    if event.kind != GENESIS {
        let message = format!("{} is not the permission of a fresh start", path.display());
        return Err(Failure::refused("genesis_invalid", message).with_hint("give the parent's genesis.json"));
    }
    Ok(event.id)
}

type Told = (Result<CheckReply, relay::rpc::RpcError>, StatusReply);

impl Checked {
    fn of(next: &Next, pcr4: Pcr, answers: Vec<Answer<Told>>, found: usize, pinned: bool) -> Self {
        // They say themselves how many they are, and the strictest counts: the server's own configuration
        // is not here to be asked.
        let sizes = answers.iter().filter_map(|answer| answer.outcome().ok()).map(|(_, status)| status);
        let members = sizes.clone().map(|status| status.members).max().unwrap_or(found).max(found);
        let needed = sizes.map(|status| status.writes).max().unwrap_or(members).max(members / 2 + 1);
        let key_stores: Vec<_> = answers.into_iter().map(Row::of).collect();
        // Of two records, each by less than a quorum, neither could be had.
        let mut votes: BTreeMap<Option<RecordId>, usize> = BTreeMap::new();
        for row in key_stores.iter().filter(|row| row.allowed) {
            *votes.entry(row.record).or_default() += 1;
        }
        let allowed = votes.into_values().max().unwrap_or_default();
        Self {
            ok: allowed >= needed,
            version: next.version.as_ref().map(ToString::to_string),
            pcrs: (0..).zip(next.pcrs).map(|(index, pcr): (u8, Pcr)| (index.to_string(), pcr)).collect(),
            pcr4,
            needed,
            members,
            allowed,
            pinned,
            key_stores,
        }
    }

    /// Why the build would not get the key: the rule by which most refuse.
    fn refusal(&self) -> Option<Failure> {
        if self.ok {
            return None;
        }
        let mut codes: BTreeMap<&str, (usize, &Row)> = BTreeMap::new();
        for row in self.key_stores.iter().filter(|row| !row.allowed) {
            codes.entry(&row.code).or_insert((0, row)).0 += 1;
        }
        let says = |code: &str| !["no_answer", "not_joined", "not_found"].contains(&code);
        // One rule that refuses says more than any number of key stores that know nothing.
        let most = codes.iter().max_by_key(|(code, (count, _))| (says(code), *count));
        let quorum = format!(
            "{} of the {} key stores that are needed would give it the key",
            self.allowed, self.needed
        );
        let Some((code, (_, row))) = most else {
            let hint = "check which key stores run: `encli keycrux status`";
            return Some(Failure::no_answer("no_quorum", quorum).with_hint(hint));
        };
        if !says(code) && *code != "not_found" {
            let hint = "start the others and wait until they have joined: `encli keycrux status`";
            return Some(Failure::no_answer("no_quorum", format!("{quorum} ({code})")).with_hint(hint));
        }
        Some(Failure::of_rule(code, format!("{quorum}: {}", row.reason)))
    }
}

impl Row {
    fn of(answer: Answer<Told>) -> Self {
        let (npub, launcher) = (npub(&answer.pubkey), answer.launcher);
        let refused = |code: &str, reason: &str| Self {
            npub: npub.clone(),
            launcher,
            allowed: false,
            code: code.to_owned(),
            reason: reason.to_owned(),
            not_before: None,
            record: None,
        };
        match answer.outcome() {
            Err(code) => refused(code, answer.problem().unwrap_or_default()),
            Ok((Err(relay::rpc::RpcError::Refused(refusal)), _)) => refused(&refusal.code, &refusal.message),
            Ok((Err(_), _)) => refused("no_answer", "it answered once, and then no more"),
            Ok((Ok(reply), _)) => Self {
                allowed: reply.allowed,
                not_before: reply.not_before,
                record: Some(reply.record),
                ..refused(&reply.code, &reply.reason)
            },
        }
    }
}

impl View for Checked {
    fn show(&self, page: &mut Page) {
        if self.ok {
            page.good("The next build will get its key.");
        } else {
            page.warn("The next build will NOT get its key.");
        }
        page.maybe("version", self.version.as_ref());
        for (index, pcr) in &self.pcrs {
            page.field(&format!("PCR{index}"), pcr);
        }
        page.field("machine, PCR4", self.pcr4);
        page.field(
            "quorum",
            format!("{} of {} would, {} are needed", self.allowed, self.members, self.needed),
        );
        let mut table = Table::new(&["NPUB", "LAUNCHER", "ANSWER", "WHY"]);
        for row in &self.key_stores {
            let why = match row.not_before {
                Some(at) => format!("{}; {}", row.reason, time::both_ways(at, page.now())),
                None => row.reason.clone(),
            };
            table.row([row.npub.clone(), npub(&row.launcher), row.code.clone(), why]);
        }
        page.gap();
        page.table(&table);
        show_pinned(page, self.pinned);
    }
}
