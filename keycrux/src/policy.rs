//! Which build gets a record: a pure function of the record, an attested build, what it shows, and the
//! time.
//!
//! ```text
//! another machine ───────────────────────────────────► no
//! the very build that the record belongs to ─────────► yes, unless it was revoked since
//! the record has no maintainers ─────────────────────► no
//! fewer than `threshold` maintainers signed it,
//!   each for the same repository, use and version ───► no
//! revoked, or older than what the record has seen ───► no
//! known here for less than `min_delay_secs` ─────────► not yet
//! otherwise ─────────────────────────────────────────► yes
//! ```
//!
//! The delay is there for those who keep something in an instance: they see a release coming and may
//! leave. So it must not be in the hands of those who sign releases, who could date them back. It counts
//! from when this key store was first shown enough signatures of the release, by `check` or by a build
//! that asked too early; what the events say of their time counts nowhere.
//!
//! More signatures never make a yes a no: what cannot be read, or is somebody else's, is not there.

mod change;
mod shown;

use attestation::{Pcr, VerifiedDocument};
use nostr::key::PublicKey;
use protocol::nec::release::Release;
use protocol::nec::{Env, Version};
use protocol::rpc::keycrux::{Body, Build, Founding, Identity, Pending, Policy, image_pcrs};
use protocol::rpc::{Code, Failure};
use std::collections::BTreeSet;
use units::UnixSecs;

pub use change::{Weaker, judge_change, weaker};
pub use shown::Shown;

/// What of a record decides.
#[derive(Clone, Debug)]
pub struct Rules<'r> {
    /// The machine.
    pub pcr4: Pcr,
    /// Whose releases may have it.
    pub policy: Policy,
    /// The build that it belongs to.
    pub current: Option<Build>,
    /// The highest version that ever had it.
    pub version: Option<Version>,
    /// Releases that wait.
    pub pending: &'r [Pending],
}

impl<'r> Rules<'r> {
    /// Those of a record that is there.
    #[must_use]
    pub fn of(body: &Body, pending: &'r [Pending]) -> Self {
        Self {
            pcr4: body.identity.pcr4,
            policy: body.policy.clone(),
            current: body.current().cloned(),
            version: body.version().cloned(),
            pending,
        }
    }

    /// Those of a record that is not there yet: who may found it.
    #[must_use]
    pub fn founding(identity: &Identity) -> Rules<'static> {
        let current = match &identity.founded {
            Founding::Exact { pcrs } => Some(Build { pcrs: *pcrs, version: None, since: UnixSecs(0) }),
            Founding::Signed { .. } => None,
        };
        let policy = identity.founding_policy();
        Rules { pcr4: identity.pcr4, policy, current, version: None, pending: &[] }
    }

    /// Those by which the author of a policy must itself get the record: as a release, if it follows
    /// releases, and without waiting.
    #[must_use]
    pub fn own(policy: &Policy, build: &Measured) -> Rules<'static> {
        let same = Build { pcrs: build.pcrs, version: None, since: UnixSecs(0) };
        let current = (!policy.follows_releases()).then_some(same);
        let policy = Policy { min_delay_secs: 0, ..policy.clone() };
        Rules { pcr4: build.pcr4, policy, current, version: None, pending: &[] }
    }
}

/// A build on a machine. By itself it is nothing but a claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured {
    /// PCR0, 1 and 2.
    pub pcrs: [Pcr; 3],
    /// The machine.
    pub pcr4: Pcr,
}

impl Measured {
    /// What a document attests; none if it names no image or no machine, as in debug mode.
    #[must_use]
    pub fn of(document: &VerifiedDocument) -> Option<Self> {
        let measured = Self { pcrs: image_pcrs(document)?, pcr4: document.pcr(4)? };
        measured.is_whole().then_some(measured)
    }

    /// True if no register is zero.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        !self.pcr4.is_zero() && !self.pcrs.iter().any(Pcr::is_zero)
    }
}

/// Why a build may have a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Basis {
    /// It is the build that the record belongs to.
    Same,
    /// Enough maintainers signed it, under this version.
    Release(Version),
}

/// Why a build may not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// For programs.
    pub code: Code,
    /// For people.
    pub reason: String,
    /// Versions under which enough maintainers signed it, that nothing but the delay keeps waiting, and
    /// that were not known here before.
    pub unknown: Vec<Version>,
    /// When the delay ends, if it has begun.
    pub not_before: Option<UnixSecs>,
}

impl Refusal {
    fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), unknown: Vec::new(), not_before: None }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code, refusal.reason)
    }
}

/// The proof that an attested build may have a record. [`decide`] alone makes it.
#[derive(Clone, Debug)]
pub struct Grant {
    build: Measured,
    basis: Basis,
}

impl Grant {
    /// The build.
    #[must_use]
    pub const fn build(&self) -> &Measured {
        &self.build
    }

    /// Why it may.
    #[must_use]
    pub const fn basis(&self) -> &Basis {
        &self.basis
    }

    /// The version under which it was signed, as far as this decision asked.
    #[must_use]
    pub fn version(&self) -> Option<&Version> {
        match &self.basis {
            Basis::Same => None,
            Basis::Release(version) => Some(version),
        }
    }
}

/// Decides whether the enclave that made this document may have a record.
///
/// # Errors
/// [`Refusal`].
pub fn decide(
    rules: &Rules<'_>,
    document: &VerifiedDocument,
    shown: &Shown,
    now: UnixSecs,
) -> Result<Grant, Refusal> {
    if document.is_debug() {
        return Err(Refusal::new(
            Code::DebugMode,
            "an enclave in debug mode hides nothing from its operator",
        ));
    }
    let nameless = || Refusal::new(Code::AttestationInvalid, "the document lacks PCR0, 1, 2 or 4");
    let build = Measured::of(document).ok_or_else(nameless)?;
    judge(rules, &build, shown, now).map(|basis| Grant { build, basis })
}

/// The same about a build that may not even exist, for those who want to know before.
///
/// # Errors
/// [`Refusal`].
pub fn judge(rules: &Rules<'_>, build: &Measured, shown: &Shown, now: UnixSecs) -> Result<Basis, Refusal> {
    if build.pcr4 != rules.pcr4 || !build.is_whole() {
        return Err(Refusal::new(Code::PcrMismatch, "the record belongs to another machine: PCR4 differs"));
    }
    let policy = &rules.policy;
    let [pcr0, ..] = &build.pcrs;
    let same = rules.current.as_ref().filter(|current| current.pcrs == build.pcrs);
    let refused_though_same = match same.map(|current| judge_version(rules, pcr0, current.version.as_ref())) {
        Some(Ok(())) => return Ok(Basis::Same),
        Some(Err(refusal)) => Some(refusal),
        None => None,
    };
    if !policy.follows_releases() {
        let reason = "the record belongs to exactly one build, and this is another";
        return Err(Refusal::new(Code::PcrMismatch, reason));
    }
    judge_release(rules, build, shown, now).map_err(|refusal| refused_though_same.unwrap_or(refusal))
}

/// Whether a build that has the record already may keep it.
fn judge_version(rules: &Rules<'_>, pcr0: &Pcr, version: Option<&Version>) -> Result<(), Refusal> {
    if rules.policy.revokes(pcr0, version) {
        return Err(Refusal::new(Code::Revoked, "this build was revoked; run a later release"));
    }
    match (&rules.policy.min_version, version) {
        (Some(oldest), Some(version)) if version < oldest => Err(downgrade(version, oldest)),
        (Some(_), None) => Err(Refusal::new(Code::ReleaseInvalid, "the record's policy asks for a version")),
        (Some(_) | None, _) => Ok(()),
    }
}

fn judge_release(
    rules: &Rules<'_>,
    build: &Measured,
    shown: &Shown,
    now: UnixSecs,
) -> Result<Basis, Refusal> {
    let policy = &rules.policy;
    if shown.repo.is_some() && shown.repo != policy.repo {
        let reason = "input.ref is not the repository of the record's policy";
        return Err(Refusal::new(Code::RefMismatch, reason));
    }
    let mut signed: Vec<&Release> = shown.releases.iter().collect();
    let mut narrow = |keep: &dyn Fn(&Release) -> bool| {
        signed.retain(|release| keep(release));
        signers(signed.iter().copied()).len()
    };
    // Nobody is not enough, whatever a policy says that got in here unchecked.
    let wanted = policy.signers_wanted().max(1);
    let is_ours = |release: &Release| policy.release_pubkeys.contains(&release.signer);
    let found = narrow(&|release| is_ours(release) && release.pcrs == build.pcrs);
    if found < wanted {
        let reason = format!("{found} of the record's maintainers signed this build; {wanted} are wanted");
        return Err(Refusal::new(Code::ReleaseMissing, reason));
    }
    if narrow(&|release| policy.repo.as_ref() == Some(&release.repo)) < wanted {
        let reason = "too few signatures of this build are for the repository of the record's policy";
        return Err(Refusal::new(Code::RefMismatch, reason));
    }
    let env = policy.env.unwrap_or(Env::Prod);
    if narrow(&|release| release.env == env) < wanted {
        let reason = format!("too few signatures of this build are for {env} (`t`)");
        return Err(Refusal::new(Code::ReleaseInvalid, reason));
    }
    let versions: Vec<&Version> = signed.iter().filter_map(|release| release.version.as_ref()).collect();
    let agreed = |version: &&Version| {
        let same = signed.iter().filter(|release| release.version.as_ref() == Some(*version));
        signers(same.copied()).len() >= wanted
    };
    let agreed: Vec<&Version> = versions.into_iter().filter(agreed).collect();
    judge_agreed(rules, build, agreed, now)
}

fn signers<'r>(releases: impl Iterator<Item = &'r Release>) -> BTreeSet<PublicKey> {
    releases.map(|release| release.signer).collect()
}

/// Whether one of the versions under which enough maintainers signed a build lets it have the record.
fn judge_agreed(
    rules: &Rules<'_>,
    build: &Measured,
    mut versions: Vec<&Version>,
    now: UnixSecs,
) -> Result<Basis, Refusal> {
    let policy = &rules.policy;
    let [pcr0, ..] = &build.pcrs;
    versions.sort();
    versions.dedup();
    let Some(highest) = versions.last().copied() else {
        let reason = "too few signatures of this build name the same version (`v`)";
        return Err(Refusal::new(Code::ReleaseInvalid, reason));
    };
    versions.retain(|version| !policy.revokes(pcr0, Some(version)));
    let Some(latest) = versions.last().copied() else {
        return Err(Refusal::new(Code::Revoked, format!("release {highest} was revoked")));
    };
    let oldest = rules.version.as_ref().max(policy.min_version.as_ref());
    if let Some(oldest) = oldest.filter(|oldest| latest < oldest) {
        return Err(downgrade(latest, oldest));
    }
    versions.retain(|version| oldest.is_none_or(|oldest| *version >= oldest));
    let until = |version: &Version| {
        known_since(rules, build, version).map(|since| since.plus_secs(policy.min_delay_secs))
    };
    let is_over =
        |version: &Version| policy.min_delay_secs == 0 || until(version).is_some_and(|until| until <= now);
    if let Some(version) = versions.iter().rev().find(|version| is_over(version)) {
        return Ok(Basis::Release((*version).clone()));
    }
    let not_before = versions.iter().filter_map(|version| until(version)).min();
    let unknown = versions.iter().filter(|version| until(version).is_none()).map(|v| (*v).clone()).collect();
    let when = not_before.unwrap_or(now.plus_secs(policy.min_delay_secs));
    let reason = format!("release {latest} gets the record at {when} (Unix seconds) at the earliest");
    Err(Refusal { code: Code::DelayPending, reason, unknown, not_before: Some(when) })
}

fn known_since(rules: &Rules<'_>, build: &Measured, version: &Version) -> Option<UnixSecs> {
    let known = |pending: &&Pending| pending.pcrs == build.pcrs && pending.version.as_ref() == Some(version);
    rules.pending.iter().find(known).map(|pending| pending.first_seen)
}

fn downgrade(version: &Version, oldest: &Version) -> Refusal {
    let reason = format!("release {version} is older than {oldest}, which the record has seen or asks for");
    Refusal::new(Code::VersionTooOld, reason)
}

#[cfg(test)]
mod tests;
