//! What this build writes into the record that it holds: which builds may come after it, and its own place
//! among those that had it. Pure functions.

use std::collections::{BTreeMap, BTreeSet};

use attestation::Pcr;
use nostr::event::Event;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::nec::Version;
use protocol::nec::approval::{PolicyApproval, PolicyChange};
use protocol::nec::release::Release;
use protocol::rpc::keycrux::{Build, Policy, PolicyFault, REVOKED_MAX, Revoked};

/// The policy to write, given the one that is in force and the one that this build is configured with.
///
/// A build never loosens what binds those after it just because its configuration says so: what is
/// stricter in either holds, and who may sign stays as it was, unless enough of the maintainers in force
/// approve exactly this change. (The key stores see to the same.)
///
/// # Errors
/// [`PolicyFault::Revoked`] if both together revoke more than a policy can say: nothing is left out silently.
pub fn policy(held: Option<&Policy>, configured: &Policy, shown: &[Event]) -> Result<Policy, PolicyFault> {
    let Some(held) = held.filter(|held| *held != configured) else { return Ok(configured.clone()) };
    if is_approved(held, configured, shown) {
        return Ok(configured.clone());
    }
    let min_version = held.min_version.clone().max(configured.min_version.clone());
    let mut revoked = held.revoked.clone();
    revoked.extend(configured.revoked.iter().filter(|one| !held.revoked.contains(one)).cloned());
    if revoked.len() > REVOKED_MAX {
        // What is too old anyway need not be named.
        revoked.retain(|one| match one {
            Revoked::Version(version) => min_version.as_ref().is_none_or(|oldest| version >= oldest),
            Revoked::Pcr0(_) => true,
        });
    }
    if revoked.len() > REVOKED_MAX {
        return Err(PolicyFault::Revoked);
    }
    Ok(Policy {
        min_delay_secs: held.min_delay_secs.max(configured.min_delay_secs),
        min_version,
        revoked,
        ..held.clone()
    })
}

fn is_approved(held: &Policy, configured: &Policy, shown: &[Event]) -> bool {
    let (Ok(from), Ok(to)) = (held.digest(), configured.digest()) else { return false };
    let change = PolicyChange { from, to };
    let approvers: BTreeSet<PublicKey> = read(shown, PolicyApproval::read)
        .filter(|approval| {
            approval.change == change
                && Some(&approval.repo) == held.repo.as_ref()
                && Some(approval.env) == held.env
                && held.release_pubkeys.contains(&approval.signer)
        })
        .map(|approval| approval.signer)
        .collect();
    held.follows_releases() && approvers.len() >= held.signers_wanted().max(1)
}

/// The highest version under which enough of the policy's maintainers signed the build with these
/// registers; none if too few did.
#[must_use]
pub fn version(policy: &Policy, pcrs: &[Pcr; 3], shown: &[Event]) -> Option<Version> {
    let signed = releases(policy, shown).into_iter().filter(|((_, signed), _)| signed == pcrs);
    signed.map(|((version, _), _)| version).max()
}

/// Releases of other builds than this one that enough of the policy's maintainers signed, and that are
/// newer.
#[must_use]
pub fn successors(
    policy: &Policy,
    pcrs: &[Pcr; 3],
    version: Option<&Version>,
    shown: &[Event],
) -> Vec<(Version, [Pcr; 3])> {
    let is_newer = |candidate: &Version| version.is_none_or(|version| candidate > version);
    releases(policy, shown)
        .into_keys()
        .filter(|(candidate, other)| other != pcrs && is_newer(candidate))
        .collect()
}

/// What enough maintainers signed, and who they are.
fn releases(policy: &Policy, shown: &[Event]) -> BTreeMap<(Version, [Pcr; 3]), BTreeSet<PublicKey>> {
    let mut signed: BTreeMap<(Version, [Pcr; 3]), BTreeSet<PublicKey>> = BTreeMap::new();
    for release in read(shown, Release::read) {
        let counts = Some(&release.repo) == policy.repo.as_ref()
            && Some(release.env) == policy.env
            && policy.release_pubkeys.contains(&release.signer);
        if let (true, Some(version)) = (counts, release.version) {
            signed.entry((version, release.pcrs)).or_default().insert(release.signer);
        }
    }
    signed.retain(|_, signers| signers.len() >= policy.signers_wanted().max(1));
    signed
}

/// What can be read as the one thing among events that may be several.
fn read<T, E>(shown: &[Event], read: impl Fn(&CheckedEvent) -> Result<T, E>) -> impl Iterator<Item = T> {
    shown.iter().filter_map(move |event| read(&CheckedEvent::check(event.clone()).ok()?).ok())
}

/// The builds that had the record, this one the last.
#[must_use]
pub fn lineage(found: &[Build], own: &Build) -> Vec<Build> {
    let mut lineage = found.to_vec();
    let is_last = |last: &Build| last.pcrs == own.pcrs && last.version == own.version;
    if !lineage.last().is_some_and(is_last) {
        lineage.push(own.clone());
    }
    lineage
}

#[cfg(test)]
mod tests;
