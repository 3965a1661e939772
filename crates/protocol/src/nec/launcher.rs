//! NEC-04: who runs the machine. PCR4 is the hash of the parent's instance id; the launcher signs it.

use attestation::{VerifiedDocument, pcr_digest};
use nostr::key::{Keys, PublicKey};
use units::UnixSecs;

use super::announcement::{Claims, Form};
use super::{Draft, Env, NecError, tags};
use crate::event::{CheckedEvent, SignError};
use crate::kinds::LAUNCHER_SIGNATURE;
use crate::tag;

/// The launcher's event over a parent instance.
#[must_use]
pub fn draft(instance_id: &str, env: Env, now: UnixSecs) -> Draft {
    let tags = vec![tag!["-"], tag!["t", env], tag!["PCR4", pcr_digest(instance_id.as_bytes())]];
    Draft::new(LAUNCHER_SIGNATURE, tags, now)
}

/// Signs the launcher's event over a parent instance.
///
/// # Errors
/// [`SignError`].
pub fn build(keys: &Keys, instance_id: &str, env: Env, now: UnixSecs) -> Result<CheckedEvent, SignError> {
    draft(instance_id, env, now).sign(keys)
}

/// Checks a launcher's event against the document of the machine itself, before there is an
/// announcement, and returns the launcher.
///
/// # Errors
/// [`NecError::Launcher`].
pub fn of_machine(
    event: &CheckedEvent,
    document: &VerifiedDocument,
    env: Env,
) -> Result<PublicKey, NecError> {
    verify(event, document, &Claims { form: Form::Current, repo: None, env, version: None })
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
    let signed = tags::single(event, "PCR4").map_err(|e| refuse(&e.problem()))?;
    let signed = signed.ok_or_else(|| refuse("it has no `PCR4` tag"))?;
    if signed != attested.to_string() {
        return Err(refuse("it is for another machine: its PCR4 is not the attested one"));
    }
    // NEC-04 asks for no `t` tag; a launcher who says what the machine is for is heard.
    match Env::stated(event).map_err(|e| refuse(&e.problem()))? {
        Some(env) if env != announced.env => {
            return Err(refuse("its `t` tag is not the announcement's"));
        }
        Some(_) | None => {}
    }
    Ok(event.pubkey)
}
