//! Whether release signatures agree with each other and with what is expected.

use std::collections::{BTreeMap, BTreeSet};

use attestation::Pcr;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, expiration};
use protocol::nec::release::{IMAGE_PCRS, Release};
use protocol::nec::{Env, NecError};
use serde::Serialize;
use units::UnixSecs;

use crate::error::Failure;
use crate::output::page::npub;

/// How far a signer's clock may be ahead of the moment of verification, in seconds, as for documents.
const AHEAD_SECS_MAX: u64 = 2;

/// A release signature and what stands around it.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    pub(super) release: Release,
    signed_at: UnixSecs,
    until: Option<UnixSecs>,
}

/// What the signatures must show. What is left out is not expected.
#[derive(Clone, Debug)]
pub(super) struct Expected<'e> {
    pub(super) at: UnixSecs,
    pub(super) repo: Option<&'e str>,
    pub(super) env: Option<Env>,
    pub(super) maintainers: &'e BTreeSet<PublicKey>,
    pub(super) threshold: usize,
    /// Of the newest build.
    pub(super) pcrs: Vec<(u8, Pcr)>,
}

/// A build, and who signed it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Build {
    pub(super) version: Option<String>,
    pub(super) pcrs: BTreeMap<u8, Pcr>,
    pub(super) releasers: BTreeSet<PublicKey>,
    /// When the first of them did.
    pub(super) signed_at: UnixSecs,
    #[serde(skip)]
    release: Release,
}

fn invalid(why: String) -> Failure {
    Failure::refused("release_invalid", format!("a release signature is refused: {why}"))
}

impl Signature {
    /// Reads a release signature.
    ///
    /// # Errors
    /// [`NecError::Release`].
    pub(super) fn read(event: &CheckedEvent) -> Result<Self, NecError> {
        let until = expiration(event)
            .map_err(|text| NecError::Release(format!("`expiration` {text:?} is not a time")))?;
        Ok(Self { release: Release::read(event)?, signed_at: event.created_at(), until })
    }

    fn check(&self, expected: &Expected<'_>) -> Result<(), Failure> {
        let (release, by) = (&self.release, npub(&self.release.signer));
        if self.signed_at > expected.at.plus_secs(AHEAD_SECS_MAX) {
            let message = format!(
                "{by} signed at {}, after the time of verification {} (Unix seconds); check the clock",
                self.signed_at, expected.at
            );
            return Err(Failure::refused("timestamp_invalid", message));
        }
        if let Some(until) = self.until.filter(|until| expected.at > *until) {
            let message = format!("the release signature of {by} ended at {until}; ask for a newer one");
            return Err(Failure::refused("expired", message));
        }
        if let Some(wanted) = expected.repo.filter(|wanted| *wanted != release.repo) {
            let message = format!("{by} signed a release of {:?}, not of {wanted:?}", release.repo);
            return Err(Failure::refused("ref_mismatch", message));
        }
        if let Some(wanted) = expected.env.filter(|wanted| *wanted != release.env) {
            return Err(invalid(format!("{by} signed it for {}, not for {wanted}", release.env)));
        }
        Ok(())
    }
}

impl Expected<'_> {
    /// True if it says which code may run.
    pub(super) fn pins_code(&self) -> bool {
        !self.maintainers.is_empty() || !self.pcrs.is_empty()
    }

    fn check_signers(&self, build: &Build) -> Result<(), Failure> {
        if self.maintainers.is_empty() {
            return Ok(());
        }
        let found = build.releasers.intersection(self.maintainers).count();
        let wanted = self.threshold.max(1);
        if found < wanted {
            let message = format!(
                "{found} of the expected maintainers signed {}; {wanted} are wanted",
                build.version.as_deref().unwrap_or("the build")
            );
            return Err(Failure::refused("release_missing", message));
        }
        Ok(())
    }

    fn check_pcrs(&self, build: &Build) -> Result<(), Failure> {
        let other = self.pcrs.iter().find(|(index, value)| build.pcrs.get(index) != Some(value));
        other.map_or(Ok(()), |(index, value)| {
            let message =
                format!("PCR{index} of the newest build is not {value} as expected; check which was pinned");
            Err(Failure::refused("pcr_mismatch", message))
        })
    }
}

impl Build {
    fn of(signature: &Signature) -> Self {
        let release = signature.release.clone();
        Self {
            version: release.version.as_ref().map(ToString::to_string),
            pcrs: IMAGE_PCRS.into_iter().zip(release.pcrs).collect(),
            releasers: BTreeSet::from([release.signer]),
            signed_at: signature.signed_at,
            release,
        }
    }

    fn is_signed_by(&self, signature: &Signature) -> bool {
        let (ours, theirs) = (&self.release, &signature.release);
        ours.pcrs == theirs.pcrs && ours.version == theirs.version
    }
}

/// Checks signatures, those of the oldest version first, and returns the builds in that order: of one
/// repository and use, each of a later version than the one before, and signed by enough maintainers.
///
/// # Errors
/// `release_invalid`, `release_missing`, `ref_mismatch`, `pcr_mismatch`, `timestamp_invalid` or `expired`.
pub(super) fn check(signatures: &[Signature], expected: &Expected<'_>) -> Result<Vec<Build>, Failure> {
    let mut builds: Vec<Build> = Vec::new();
    for signature in signatures {
        signature.check(expected)?;
        match builds.last_mut() {
            Some(build) if build.is_signed_by(signature) => {
                check_same_code(&build.release, &signature.release)?;
                build.releasers.insert(signature.release.signer);
                build.signed_at = build.signed_at.min(signature.signed_at);
            }
            Some(build) => {
                check_same_code(&build.release, &signature.release)?;
                check_later(&build.release, &signature.release)?;
                builds.push(Build::of(signature));
            }
            None => builds.push(Build::of(signature)),
        }
    }
    check_times(signatures)?;
    builds.iter().try_for_each(|build| expected.check_signers(build))?;
    builds.last().map_or(Ok(()), |newest| expected.check_pcrs(newest))?;
    Ok(builds)
}

fn check_same_code(one: &Release, other: &Release) -> Result<(), Failure> {
    if one.repo != other.repo {
        let why =
            format!("one is of {:?} and another of {:?}; verify them by themselves", one.repo, other.repo);
        return Err(invalid(why));
    }
    if one.env != other.env {
        let why = format!("one is for {} and another for {}; verify them by themselves", one.env, other.env);
        return Err(invalid(why));
    }
    Ok(())
}

/// Another build must be a later version.
fn check_later(running: &Release, next: &Release) -> Result<(), Failure> {
    if next.supersedes(running) {
        return Ok(());
    }
    Err(invalid(match (&running.version, &next.version) {
        (Some(before), Some(after)) if before == after => {
            format!("two builds are both called {after}")
        }
        (Some(before), Some(after)) => {
            format!("{after} follows {before}; name the files in the order of their versions")
        }
        (None, _) | (_, None) => "of several builds, each must say its version in a `v` tag".to_owned(),
    }))
}

/// Nobody may have signed a version after a later one: that is how an old build is brought back.
fn check_times(signatures: &[Signature]) -> Result<(), Failure> {
    for one in signatures {
        for other in signatures.iter().filter(|other| other.release.signer == one.release.signer) {
            if other.release.supersedes(&one.release) && other.signed_at < one.signed_at {
                let by = npub(&one.release.signer);
                let versions =
                    [&one.release, &other.release].map(|it| it.version.as_ref().map(ToString::to_string));
                let [older, newer] = versions.map(Option::unwrap_or_default);
                return Err(invalid(format!("{by} signed {older} after {newer}")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
