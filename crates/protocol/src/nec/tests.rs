//! The reference's real announcement of 2025, from the project's vectors. The chains that our own
//! services make are tested against the simulated NSM, in the `tests` package.

use attestation::TrustRoot;
use units::UnixSecs;

use super::*;

/// A collected event, if this machine has it.
fn vector(name: &str) -> Option<CheckedEvent> {
    let text = std::fs::read_to_string(vectors::folder("nostr")?.join(name)).unwrap();
    Some(CheckedEvent::parse(&text).unwrap())
}

const REAL: &str = "instance_event_dcd77693.json";

#[track_caller]
fn refused(event: &CheckedEvent, policy: &Policy, code: &str) {
    assert_eq!(VerifiedInstance::verify(event, policy).unwrap_err().code(), code);
}

#[test]
fn real_announcement_verifies_at_its_own_time_and_not_now() {
    let Some(event) = vector(REAL) else { return };
    let policy = Policy::new(TrustRoot::aws(), event.created_at());
    let instance = VerifiedInstance::verify(&event, &policy).unwrap();
    let signer = "3356de61b39647931ce8b2140b2bab837e0810c0ef515bbe92de0248040b8bdd";
    assert_eq!(instance.builder().map(|key| key.to_hex()).as_deref(), Some(signer));
    assert_eq!(instance.launcher().map(|key| key.to_hex()).as_deref(), Some(signer));
    assert_eq!((instance.env(), instance.is_pinned()), (Env::Dev, false));
    // Its own expiration lies an hour after the leaf's end; the leaf's end counts.
    assert_eq!(instance.expires_at(), UnixSecs(1_743_524_168));
    refused(&event, &Policy { at: UnixSecs(1_800_000_000), ..policy.clone() }, "certificate_expired");
    refused(&event, &Policy { at: UnixSecs(1_700_000_000), ..policy }, "certificate_not_yet_valid");
}

#[test]
fn real_announcement_fails_what_it_cannot_show() {
    let Some(event) = vector(REAL) else { return };
    let policy = Policy::new(TrustRoot::aws(), event.created_at());
    let other_repo = Policy { repo: Some("https://example.com/other".into()), ..policy.clone() };
    refused(&event, &other_repo, "ref_mismatch");
    let maintainers = Policy { maintainers: [event.pubkey].into(), ..policy.clone() };
    refused(&event, &maintainers, "release_missing");
    let pcrs = Policy { pcrs: vec![(0, attestation::pcr_digest(b"other"))], ..policy };
    refused(&event, &pcrs, "pcr_mismatch");
}

#[test]
fn old_signature_alone_is_nothing() {
    let Some(event) = vector("event_kind63795_09826e15.json") else { return };
    refused(&event, &Policy::new(TrustRoot::aws(), event.created_at()), "event_invalid");
}
