//! Releases that will follow this build: found at the parent, shown to the key stores, and announced, so
//! that whoever keeps something here sees them coming.
//!
//! The delay of a release begins when a key store is first shown it. So it is shown as soon as the parent
//! has it, by the build that is to be replaced, and not by the one that wants in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use attestation::Pcr;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use instance::EvidenceError;
use keyholder::{Directory, KeycruxClient};
use lifecycle::Phase;
use nostr::event::{Event, EventId};
use nostr::key::{Keys, PublicKey};
use protocol::nec::Version;
use protocol::nec::announcement::Upgrade;
use protocol::parent::Meta;
use protocol::rpc::keycrux::{CheckParams, HypotheticalBuild, Input};
use quorum::MemberId;
use thiserror::Error;
use transport::{CallError, ParentClient};
use units::UnixSecs;

use crate::context::Context;
use crate::sealed::Succession;
use crate::sealed::succession::successors;
use crate::store::Container;

/// How often the parent is asked for new releases.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// How long one key store may take to answer.
const CALL_WAIT: Duration = Duration::from_secs(8);

/// The parent's releases cannot be had.
#[derive(Debug, Error)]
enum FetchError {
    /// There is nothing to ask with.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The parent did not answer.
    #[error(transparent)]
    Parent(#[from] CallError),
}

/// A release: its version and its registers.
type Candidate = (Version, [Pcr; 3]);

/// Looks for releases that will follow, and announces them; until the future is dropped.
pub async fn watch(ctx: Arc<Context>, parent: ParentClient, succession: Succession) {
    if succession.policy.min_delay_secs == 0 {
        // Whatever is signed gets in at once: there is nothing to see coming.
        return std::future::pending().await;
    }
    let mut known = BTreeMap::new();
    loop {
        match fetch(&ctx, &parent).await {
            Ok(meta) => {
                look(&ctx, &succession, &meta.releases, &mut known).await;
            }
            Err(e) => tracing::debug!("no releases from the parent: {e}"),
        }
        tell_owners(&ctx, &upgrades(&succession, &known));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn fetch(ctx: &Context, parent: &ParentClient) -> Result<Meta, FetchError> {
    let evidence = ctx.attestor.current().await?;
    Ok(parent.get_meta(STANDARD.encode(&evidence.raw)).await?)
}

async fn look(
    ctx: &Context,
    succession: &Succession,
    releases: &[Event],
    known: &mut BTreeMap<Candidate, UnixSecs>,
) {
    let own = &succession.own;
    let candidates = successors(&succession.policy, &own.pcrs, own.version.as_ref(), releases);
    let Some(genesis) = succession.history.genesis else { return };
    let before = known.clone();
    known.retain(|candidate, _| candidates.contains(candidate));
    for candidate in candidates {
        if known.contains_key(&candidate) {
            continue;
        }
        if let Some(not_before) = ask(ctx, succession, genesis, &candidate, releases).await {
            let (version, pcrs) = &candidate;
            tracing::warn!(%version, pcr0 = %pcrs[0], %not_before, "a release will get state and key");
            known.insert(candidate, not_before);
        }
    }
    if *known == before {
        return;
    }
    let mut history = succession.history.clone();
    history.upgrades = upgrades(succession, known);
    ctx.tell_history(history);
}

/// What is announced of the releases that are known.
fn upgrades(succession: &Succession, known: &BTreeMap<Candidate, UnixSecs>) -> Vec<Upgrade> {
    let delay_secs = succession.policy.min_delay_secs;
    let upgrade = |((version, pcrs), not_before): (&Candidate, &UnixSecs)| Upgrade {
        version: version.clone(),
        pcr0: pcrs[0],
        seen_at: not_before.minus_secs(delay_secs),
        not_before: *not_before,
    };
    known.iter().map(upgrade).collect()
}

/// Tells each owner of each release once: those who were here before it was known, and those who come after.
fn tell_owners(ctx: &Context, upgrades: &[Upgrade]) {
    if upgrades.is_empty() || !ctx.config.messages.enabled {
        return;
    }
    let containers = match ctx.store.containers() {
        Ok(containers) => containers,
        Err(e) => return tracing::error!("owners are not told of a release: {e}"),
    };
    let owners: BTreeSet<_> = owners(&containers).collect();
    for (owner, release) in owners.iter().flat_map(|owner| upgrades.iter().map(move |one| (owner, one))) {
        let name = release.pcr0.to_string();
        // Told first: twice is better than never.
        let told = match ctx.store.knows_release(owner, &name) {
            Ok(false) if ctx.hold.may_act() && ctx.notices.release(*owner, release) => {
                ctx.store.tell_release(owner, &name, ctx.clock.now()).map(drop)
            }
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        if let Err(e) = told {
            return tracing::error!("owners are not told of a release: {e}");
        }
    }
}

/// Who has something here that a release will find.
fn owners(containers: &[Container]) -> impl Iterator<Item = PublicKey> {
    let is_here = |container: &&Container| match container.state.phase {
        Phase::Launching | Phase::Deployed | Phase::Paused { .. } => true,
        Phase::Waiting { .. } | Phase::Expired | Phase::Failed | Phase::Terminated => false,
    };
    containers.iter().filter(is_here).filter_map(|container| container.owner().copied())
}

/// When enough key stores would give a build the record, if enough of them say; showing it to them begins
/// its delay.
async fn ask(
    ctx: &Context,
    succession: &Succession,
    genesis: EventId,
    (_, pcrs): &Candidate,
    releases: &[Event],
) -> Option<UnixSecs> {
    let directory =
        Directory::new(succession.pool.clone(), Arc::clone(&succession.trust), Arc::clone(&ctx.clock));
    let members = directory.find().await.ok()?;
    let keys = Keys::generate();
    let params = CheckParams {
        attestation: None,
        build: Some(HypotheticalBuild { pcrs: *pcrs, pcr4: succession.machine }),
        identity: None,
        genesis: Some(genesis),
        input: Input { repo: Some(ctx.config.repo.clone()), release_signatures: releases.to_vec() },
    };
    // One vote for each launcher, of whichever instance answers.
    let mut said: BTreeMap<MemberId, UnixSecs> = BTreeMap::new();
    for member in members {
        let (pool, clock) = (succession.pool.clone(), Arc::clone(&ctx.clock));
        let client = KeycruxClient::new(pool, keys.clone(), member.service(), clock, CALL_WAIT).await.ok()?;
        match client.check(&params).await {
            Ok(reply) if reply.allowed => drop(said.insert(member.id(), ctx.clock.now())),
            Ok(reply) => drop(reply.not_before.map(|at| said.insert(member.id(), at))),
            Err(e) => tracing::debug!(service = %member.service(), "not asked about a release: {e}"),
        }
    }
    let mut times: Vec<UnixSecs> = said.into_values().collect();
    times.sort_unstable();
    times.get(succession.writes.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use lifecycle::State;

    use super::*;
    use crate::store::tests::{Fixture, ROOM, key, launch};

    #[test]
    fn whoever_has_something_here_is_told_of_a_release_and_nobody_else() {
        let (fixture, owner) = (Fixture::new(), key());
        let made = fixture.store.reserve(launch(owner, 1), &ROOM).unwrap();
        for (phase, is_told) in [
            (Phase::Launching, true),
            (Phase::Deployed, true),
            (Phase::Paused { since: UnixSecs(5) }, true),
            (State::waiting(UnixSecs(5)).phase, false),
            (Phase::Expired, false),
            (Phase::Failed, false),
            (Phase::Terminated, false),
        ] {
            let state = State { phase, ..made.state };
            let container = Container { state, ..made.clone() };
            let told: Vec<_> = owners(&[container]).collect();
            assert_eq!(told, if is_told { vec![owner] } else { vec![] }, "{phase:?}");
        }
    }
}
