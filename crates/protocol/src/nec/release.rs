//! NEC-05: which maintainers approved the build, by its PCR0, 1 and 2.

use std::collections::BTreeSet;

use attestation::{Pcr, VerifiedDocument};
use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::announcement::{Claims, Form};
use super::{Env, NecError, Policy};
use crate::event::{CheckedEvent, SignError, marked_value, sign, tag_value};
use crate::kinds::RELEASE_SIGNATURE;
use crate::tag;

/// The registers that measure the image.
pub const IMAGE_PCRS: [u8; 3] = [0, 1, 2];

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
    let mut tags = vec![tag!["r", repo], tag!["v", version], tag!["t", env]];
    tags.extend(IMAGE_PCRS.iter().zip(pcrs).map(|(index, pcr)| tag!["x", pcr, format!("PCR{index}")]));
    sign(keys, RELEASE_SIGNATURE, now, tags, String::new())
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
) -> Result<PublicKey, NecError> {
    if event.kind != announced.form.release_kind() {
        return Err(NecError::Release(format!("kind {} is not a release signature", event.kind)));
    }
    for index in IMAGE_PCRS {
        let name = format!("PCR{index}");
        let mut signed = marked_value(event, "x", &name);
        if announced.form == Form::Old {
            signed = signed.or_else(|| tag_value(event, &name));
        }
        let attested = document.pcr(index).filter(|pcr| !pcr.is_zero()).map(|pcr| pcr.to_string());
        if signed.is_none() || signed != attested.as_deref() {
            return Err(NecError::Release(format!(
                "it is for another build: its {name} is not the attested one"
            )));
        }
    }
    announced.check_repo_and_env(event).map_err(|why| NecError::Release(why.to_owned()))?;
    Ok(event.pubkey)
}

/// Checks that enough of the policy's maintainers are among `releasers`.
///
/// # Errors
/// [`NecError::ReleaseMissing`].
pub(super) fn check_threshold(releasers: &BTreeSet<PublicKey>, policy: &Policy) -> Result<(), NecError> {
    if policy.maintainers.is_empty() {
        return Ok(());
    }
    let found = releasers.intersection(&policy.maintainers).count();
    let wanted = policy.threshold.max(1);
    if found < wanted {
        return Err(NecError::ReleaseMissing { found, wanted });
    }
    Ok(())
}
