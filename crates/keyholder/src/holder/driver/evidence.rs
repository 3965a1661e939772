//! What a body shows for itself, so that a key store that was away can follow it: who signed the build that
//! the record belongs to, and who approved the last change of its policy.

use nostr::event::Event;
use protocol::event::CheckedEvent;
use protocol::nec::release::Release;
use protocol::nec::{PolicyApproval, PolicyChange};
use protocol::rpc::keycrux::{Body, Build, Policy, SHOWN_BYTES_MAX, SHOWN_MAX};

/// What belongs to a body that takes the place of `held`, from what this build shows and from what the body
/// before it did. As much as fits; without, such a key store has to join anew.
pub(super) fn of(held: Option<&Body>, policy: &Policy, build: &Build, input: &[Event]) -> Vec<Event> {
    let before = held.map(|held| held.shown.as_slice()).unwrap_or_default();
    let change = held
        .filter(|held| held.policy != *policy)
        .and_then(|held| Some(PolicyChange { from: held.policy.digest().ok()?, to: policy.digest().ok()? }));
    let is_needed = |event: &CheckedEvent| match (Release::read(event), PolicyApproval::read(event)) {
        (Ok(release), _) => {
            release.pcrs == build.pcrs
                && release.version == build.version
                && policy.release_pubkeys.contains(&release.signer)
        }
        // Approvals of the last change stay until there is another one.
        (Err(_), Ok(approval)) => change.is_none_or(|change| approval.change == change),
        (Err(_), Err(_)) => false,
    };
    let is_approval = |event: &CheckedEvent| PolicyApproval::read(event).is_ok();
    let of_input = input.iter().filter_map(|event| CheckedEvent::check(event.clone()).ok()).filter(|event| {
        // What is shown now approves nothing if nothing changes.
        change.is_some() || !is_approval(event)
    });
    let of_before = before.iter().filter_map(|event| CheckedEvent::check(event.clone()).ok());
    let (mut shown, mut bytes) = (Vec::new(), 0_usize);
    for event in of_input.chain(of_before).filter(is_needed) {
        let event = event.into_event();
        let length = serde_json::to_vec(&event).map_or(SHOWN_BYTES_MAX, |text| text.len() + 1);
        let is_there = shown.iter().any(|other: &Event| other.id == event.id);
        if !is_there && shown.len() < SHOWN_MAX && bytes + length < SHOWN_BYTES_MAX {
            bytes += length;
            shown.push(event);
        }
    }
    shown
}
