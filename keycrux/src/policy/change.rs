//! Which policy may take the place of another: a pure function of both, and of what is shown for it.
//!
//! A record's policy binds those who may write it, too: they are builds that enough maintainers signed, and
//! signed as builds, not as a reason to ask fewer of them the next time. So what would let in anybody whom
//! the policy in force keeps out needs the word of as many maintainers as a release does, for this very
//! change.
//!
//! ```text
//! whatever the new policy lets in, the old one lets in ──► yes
//! `threshold` maintainers of the old one approve it ─────► yes
//! the record belongs to one build ───────────────────────► no: there is nobody to ask
//! otherwise ─────────────────────────────────────────────► no
//! ```

use std::collections::BTreeSet;
use std::fmt;

use nostr::key::PublicKey;
use protocol::nec::{Env, PolicyChange};
use protocol::rpc::Code;
use protocol::rpc::keycrux::{Policy, Revoked};

use super::{Refusal, Shown};

/// In what a policy lets in more than another one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weaker {
    /// It follows releases, and the other one belongs to a single build.
    Follows,
    /// Another repository.
    Repo,
    /// Another use.
    Env,
    /// Some who could not sign alone now can.
    Signers,
    /// A shorter delay.
    Delay,
    /// Older versions.
    MinVersion,
    /// Something that was revoked.
    Revoked,
}

impl fmt::Display for Weaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Follows => "the record belongs to one build, and would follow releases",
            Self::Repo => "`ref` is another repository",
            Self::Env => "`t` is another",
            Self::Signers => "maintainers could sign alone who could not before (release_pubkeys, threshold)",
            Self::Delay => "min_delay_secs is shorter",
            Self::MinVersion => "min_version is lower",
            Self::Revoked => "something in `revoked` is missing",
        })
    }
}

/// In what `new` lets in more than `held`; none if it lets in nothing that `held` keeps out.
#[must_use]
pub fn weaker(held: &Policy, new: &Policy) -> Option<Weaker> {
    if !new.follows_releases() {
        return None;
    }
    if !held.follows_releases() {
        return Some(Weaker::Follows);
    }
    let env = |policy: &Policy| policy.env.unwrap_or(Env::Prod);
    let is_kept = |revoked: &&Revoked| new.revoked.contains(revoked) || is_too_old(revoked, new);
    let checks = [
        (held.repo == new.repo, Weaker::Repo),
        (env(held) == env(new), Weaker::Env),
        (signers_suffice(held, new), Weaker::Signers),
        (held.min_delay_secs <= new.min_delay_secs, Weaker::Delay),
        (held.min_version <= new.min_version, Weaker::MinVersion),
        (held.revoked.iter().all(|revoked| is_kept(&revoked)), Weaker::Revoked),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, weaker)| weaker)
}

/// True if however many sign for `new`, enough of them are maintainers of `held`. The worst that `new` lets
/// pass are all whom it adds, and as many others as it wants besides.
fn signers_suffice(held: &Policy, new: &Policy) -> bool {
    let added = new.release_pubkeys.difference(&held.release_pubkeys).count();
    new.signers_wanted().max(1) >= held.signers_wanted().max(1).saturating_add(added)
}

/// A version that is too old for a policy need not be revoked by it as well. An image may have another one.
fn is_too_old(revoked: &Revoked, policy: &Policy) -> bool {
    match revoked {
        Revoked::Version(version) => policy.min_version.as_ref().is_some_and(|oldest| version < oldest),
        Revoked::Pcr0(_) => false,
    }
}

/// Decides whether `new` may take the place of `held`.
///
/// # Errors
/// [`Refusal`] with [`Code::PolicyWeaker`].
pub fn judge_change(held: &Policy, new: &Policy, shown: &Shown) -> Result<(), Refusal> {
    let Some(weaker) = weaker(held, new) else { return Ok(()) };
    if !held.follows_releases() {
        return Err(Refusal::new(Code::PolicyWeaker, format!("the policy is weaker: {weaker}")));
    }
    let wanted = held.signers_wanted().max(1);
    let found = approvers(held, new, shown).len();
    if found >= wanted {
        return Ok(());
    }
    let reason = format!(
        "the policy is weaker than the record's: {weaker}; {found} of its maintainers approve the change, and \
         {wanted} are wanted (`encli keycrux approve`)"
    );
    Err(Refusal::new(Code::PolicyWeaker, reason))
}

/// The maintainers of `held` who approve that `new` takes its place.
fn approvers(held: &Policy, new: &Policy, shown: &Shown) -> BTreeSet<PublicKey> {
    // A policy without a digest is approved by nobody.
    let (Ok(from), Ok(to)) = (held.digest(), new.digest()) else { return BTreeSet::new() };
    let change = PolicyChange { from, to };
    let counts = shown.approvals.iter().filter(|approval| {
        approval.change == change
            && held.repo.as_ref() == Some(&approval.repo)
            && held.env.unwrap_or(Env::Prod) == approval.env
            && held.release_pubkeys.contains(&approval.signer)
    });
    counts.map(|approval| approval.signer).collect()
}

#[cfg(test)]
mod tests;
