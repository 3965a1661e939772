//! Finding key stores on the relays.

use std::collections::{BTreeMap, BTreeSet};

use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::types::Timestamp;
use protocol::event::CheckedEvent;
use protocol::kinds::ANNOUNCEMENT;
use protocol::nec::{NecError, VerifiedInstance};

use crate::args::Launchers;
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;

/// Announcements are made at least hourly; what is older than two hours belongs to one that is gone.
const ANNOUNCED_SECS_MAX: u64 = 2 * 3_600;
/// Instances of one launcher that are asked: the one that runs, and those that ran before it and whose
/// announcements are still about.
const INSTANCES_PER_LAUNCHER_MAX: usize = 4;
/// Launchers that are asked: a group has at most fifteen, and of another code there may be several groups.
const LAUNCHERS_MAX: usize = 32;

/// A key store that is announced.
#[derive(Debug)]
pub(super) struct Announced {
    pub(super) event: CheckedEvent,
    /// What became of verifying it.
    pub(super) verdict: Result<KeyStore, Reason>,
}

/// Why one does not count.
#[derive(Debug)]
pub(super) enum Reason {
    /// It does not verify.
    Unverified(NecError),
    /// Nobody says on whose machine it runs.
    NoLauncher,
    /// On the machine of somebody who has no vote.
    OtherLauncher(PublicKey),
}

/// A key store that verifies, on a launcher's machine.
#[derive(Debug)]
pub(super) struct KeyStore {
    pub(super) instance: VerifiedInstance,
    pub(super) launcher: PublicKey,
}

impl From<&Reason> for Failure {
    fn from(reason: &Reason) -> Self {
        match reason {
            Reason::Unverified(error) => Self::refused(error.code(), error.to_string()),
            Reason::NoLauncher => Self::refused("launcher_missing", "no launcher vouches for its machine"),
            Reason::OtherLauncher(launcher) => {
                let message = format!("its launcher {} has no vote", npub(launcher));
                Self::refused("not_member", message)
            }
        }
    }
}

/// The newest announcement of every key store, newest first.
///
/// # Errors
/// [`Failure`].
pub(super) async fn announced(ctx: &Context, of: &Launchers) -> Result<Vec<Announced>, Failure> {
    let policy = ctx.settings.keycrux_policy(ctx.now())?;
    let launchers = ctx.settings.keycrux().launchers(&of.launcher);
    let since = Timestamp::from_secs(ctx.now().minus_secs(ANNOUNCED_SECS_MAX).0);
    let filter = Filter::new().kind(ANNOUNCEMENT).reference(ctx.settings.keycrux().repo()?).since(since);
    let events = ctx.fetch("announcements of key stores", filter).await?;
    let mut seen = BTreeSet::new();
    let newest = events.into_iter().filter(|event| seen.insert(event.pubkey));
    let judge = |event: &CheckedEvent| {
        let instance = VerifiedInstance::verify(event, &policy).map_err(Reason::Unverified)?;
        let launcher = instance.launcher().ok_or(Reason::NoLauncher)?;
        if !launchers.is_empty() && !launchers.contains(&launcher) {
            return Err(Reason::OtherLauncher(launcher));
        }
        Ok(KeyStore { instance, launcher })
    };
    Ok(newest.map(|event| Announced { verdict: judge(&event), event }).collect())
}

/// Those that verify, of each launcher the newest few, newest first; or the one that was named.
///
/// # Errors
/// `not_found` if there is none, or why the one that was named does not count.
pub(super) async fn verified(
    ctx: &Context,
    only: Option<PublicKey>,
    of: &Launchers,
) -> Result<Vec<Vec<KeyStore>>, Failure> {
    let announced = announced(ctx, of).await?;
    if let Some(only) = only {
        let found = announced.into_iter().find(|it| it.event.pubkey == only).ok_or_else(|| {
            let message = format!("no key store {} is announced on these relays", npub(&only));
            Failure::refused("not_found", message).with_hint("check the key, --ref and --relay")
        })?;
        return Ok(vec![vec![found.verdict.map_err(|reason| Failure::from(&reason))?]]);
    }
    let unverified = announced.iter().filter(|it| it.verdict.is_err()).count();
    let mut found: BTreeMap<PublicKey, Vec<KeyStore>> = BTreeMap::new();
    for key_store in announced.into_iter().filter_map(|it| it.verdict.ok()) {
        let instances = found.entry(key_store.launcher).or_default();
        if instances.len() < INSTANCES_PER_LAUNCHER_MAX {
            instances.push(key_store);
        }
    }
    if found.is_empty() {
        let message =
            format!("no key store that verifies is announced on these relays ({unverified} others are)");
        let hint = "`encli keycrux ls --all` shows why; check --ref, --maintainer and --relay";
        return Err(Failure::refused("not_found", message).with_hint(hint));
    }
    Ok(found.into_values().take(LAUNCHERS_MAX).collect())
}
