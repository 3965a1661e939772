//! NEC-05: which maintainers approved the build, by its PCR0, 1 and 2.

use std::collections::BTreeSet;

use attestation::{Pcr, VerifiedDocument};
use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::announcement::{Claims, Form};
use super::{Draft, Env, NecError, Policy, Version, tags};
use crate::event::{CheckedEvent, SignError};
use crate::kinds::RELEASE_SIGNATURE;
use crate::tag;

/// The registers that measure the image.
pub const IMAGE_PCRS: [u8; 3] = [0, 1, 2];

/// A release, for a maintainer to sign.
#[must_use]
pub fn draft(repo: &str, version: &str, pcrs: &[Pcr; 3], env: Env, now: UnixSecs) -> Draft {
    let mut tags = vec![tag!["r", repo], tag!["v", version], tag!["t", env]];
    tags.extend(IMAGE_PCRS.iter().zip(pcrs).map(|(index, pcr)| tag!["x", pcr, format!("PCR{index}")]));
    Draft::new(RELEASE_SIGNATURE, tags, now)
}

/// Signs a release.
///
/// # Errors
/// [`SignError`].
pub fn build(
    keys: &Keys,
    repo: &str,
    version: &str,
    pcrs: &[Pcr; 3],
    env: Env,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    draft(repo, version, pcrs, env, now).sign(keys)
}

/// A release signature that was read: what its signer approves. Whether the signer counts, and whether
/// this build runs anywhere, is for others to say.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Release {
    /// The maintainer.
    pub signer: PublicKey,
    /// The repository of the code.
    pub repo: String,
    /// What the build is for.
    pub env: Env,
    /// Its version, if the signature says one.
    pub version: Option<Version>,
    /// PCR0, 1 and 2 of the build.
    pub pcrs: [Pcr; 3],
}

impl Release {
    /// Reads a release signature, kind 63794.
    ///
    /// # Errors
    /// [`NecError::Release`] with what is missing, doubled or malformed.
    pub fn read(event: &CheckedEvent) -> Result<Self, NecError> {
        Self::read_strictly(event).map_err(as_release)
    }

    fn read_strictly(event: &CheckedEvent) -> Result<Self, NecError> {
        if event.kind != RELEASE_SIGNATURE {
            return Err(NecError::Event(format!("kind {} is not a release signature", event.kind)));
        }
        let repo = tags::single(event, "r")?.ok_or_else(|| NecError::event("it has no `r` tag"))?;
        let env = Env::stated(event)?.unwrap_or_default();
        let version = match tags::single(event, "v")? {
            Some(text) => Some(read_version(text)?),
            None => None,
        };
        let mut pcrs = [Pcr::ZERO; 3];
        for (index, pcr) in IMAGE_PCRS.iter().zip(&mut pcrs) {
            *pcr = signed_pcr(event, Form::Current, *index)?;
        }
        Ok(Self { signer: event.pubkey, repo: repo.to_owned(), env, version, pcrs })
    }

    /// True if this release may take the place of `running`: of the same repository, for the same use,
    /// and of a later version. A release that does not say its version supersedes nothing, and nothing
    /// supersedes it.
    #[must_use]
    pub fn supersedes(&self, running: &Self) -> bool {
        let is_newer = self.version.as_ref().zip(running.version.as_ref()).is_some_and(|(a, b)| a > b);
        is_newer && self.repo == running.repo && self.env == running.env
    }
}

/// Checks a release signature against the document of the instance that shows it, and returns the
/// maintainer.
///
/// # Errors
/// [`NecError::Release`].
pub(super) fn verify(
    event: &CheckedEvent,
    document: &VerifiedDocument,
    announced: &Claims<'_>,
    policy: &Policy,
) -> Result<PublicKey, NecError> {
    if event.kind != announced.form.release_kind() {
        return Err(NecError::Release(format!("kind {} is not a release signature", event.kind)));
    }
    for index in IMAGE_PCRS {
        let signed = signed_pcr(event, announced.form, index).map_err(as_release)?;
        if document.pcr(index) != Some(signed) {
            let why = format!("it is for another build: its PCR{index} is not the attested one");
            return Err(NecError::Release(why));
        }
    }
    announced.check_agrees(event).map_err(NecError::Release)?;
    check_version(event, policy).map_err(as_release)?;
    Ok(event.pubkey)
}

/// A register that the signer approves; never zero, which is what every debug enclave has.
fn signed_pcr(event: &CheckedEvent, form: Form, index: u8) -> Result<Pcr, NecError> {
    let name = format!("PCR{index}");
    let signed = match (tags::marked(event, "x", &name)?, form) {
        (None, Form::Old) => tags::single(event, &name)?,
        (signed, Form::Old | Form::Current) => signed,
    };
    let signed = signed.ok_or_else(|| NecError::Event(format!("it has no `x` tag for {name}")))?;
    let pcr: Pcr = signed.parse().map_err(|e| NecError::Event(format!("its {name}: {e}")))?;
    if pcr.is_zero() || pcr.to_string() != signed {
        return Err(NecError::Event(format!("its {name} is no value of a released build")));
    }
    Ok(pcr)
}

fn check_version(event: &CheckedEvent, policy: &Policy) -> Result<(), NecError> {
    let Some(oldest) = &policy.min_version else { return Ok(()) };
    let text = tags::single(event, "v")?
        .ok_or_else(|| NecError::Event(format!("it names no version, and {oldest} or later is wanted")))?;
    if read_version(text)? < *oldest {
        return Err(NecError::Event(format!("it is for version {text}, and {oldest} or later is wanted")));
    }
    Ok(())
}

fn read_version(text: &str) -> Result<Version, NecError> {
    text.parse().map_err(|e| NecError::Event(format!("its `v` tag {text:?}: {e}")))
}

/// Of a release signature, whatever is wrong with it is wrong with the release.
fn as_release(error: NecError) -> NecError {
    NecError::Release(error.problem())
}

/// Checks that enough of the policy's maintainers are among `releasers`.
///
/// # Errors
/// [`NecError::ReleaseMissing`].
pub(super) fn check_threshold(releasers: &BTreeSet<PublicKey>, policy: &Policy) -> Result<(), NecError> {
    // Who asks for more than one signature, or for a version, and names nobody, is not met by silence.
    if policy.maintainers.is_empty() && policy.threshold <= 1 && policy.min_version.is_none() {
        return Ok(());
    }
    let found = releasers.intersection(&policy.maintainers).count();
    let wanted = policy.threshold.max(1);
    if found < wanted {
        return Err(NecError::ReleaseMissing { found, wanted });
    }
    Ok(())
}
