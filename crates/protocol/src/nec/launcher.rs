//! NEC-04: who runs the machine. PCR4 is the hash of the parent's instance id; the launcher signs it.

use attestation::{VerifiedDocument, pcr_digest};
use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::announcement::Claims;
use super::{Env, NecError};
use crate::event::{CheckedEvent, SignError, sign, tag_value};
use crate::kinds::LAUNCHER_SIGNATURE;
use crate::tag;

/// Signs the launcher's event over a parent instance.
///
/// # Errors
/// [`SignError`].
pub fn build(keys: &Keys, instance_id: &str, env: Env, now: UnixSecs) -> Result<CheckedEvent, SignError> {
    let tags = vec![tag!["-"], tag!["t", env], tag!["PCR4", pcr_digest(instance_id.as_bytes())]];
    sign(keys, LAUNCHER_SIGNATURE, now, tags, String::new())
}

/// Checks a launcher's event against the document of the instance that shows it, and returns the
/// launcher.
///
/// # Errors
/// [`NecError::Launcher`].
pub(super) fn verify(
    event: &CheckedEvent,
    document: &VerifiedDocument,
    announced: &Claims<'_>,
) -> Result<PublicKey, NecError> {
    let refuse = |why: &str| NecError::Launcher(why.to_owned());
    if event.kind != announced.form.launcher_kind() {
        return Err(NecError::Launcher(format!("kind {} is not a launcher's signature", event.kind)));
    }
    let attested = document.pcr(4).filter(|pcr| !pcr.is_zero());
    let attested = attested.ok_or_else(|| refuse("the document names no parent: PCR4 is empty"))?;
    let signed = tag_value(event, "PCR4").ok_or_else(|| refuse("it has no `PCR4` tag"))?;
    if signed != attested.to_string() {
        return Err(refuse("it is for another machine: its PCR4 is not the attested one"));
    }
    Ok(event.pubkey)
}
