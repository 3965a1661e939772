//! What is remembered of a record besides its contents.

use attestation::Pcr;
use protocol::rpc::keycrux::{Note, Pending};
use units::UnixSecs;

use crate::policy::{Measured, Refusal};

/// Releases of one record that wait at once. Only its maintainers can make one wait.
const PENDING_MAX: usize = 8;

/// A note of a record that is used for the first time.
pub(super) const fn new(pcr4: Pcr, expires_at: UnixSecs) -> Note {
    Note { pcr4, expires_at, pending: Vec::new() }
}

/// Notes the releases that nothing but the delay refuses: from now on they are known. Of too many, the
/// latest versions are kept.
pub(super) fn remember(note: &mut Note, build: &Measured, refusal: &Refusal, now: UnixSecs) {
    for version in &refusal.unknown {
        let is_known = |known: &Pending| known.pcrs == build.pcrs && known.version.as_ref() == Some(version);
        if note.pending.iter().any(is_known) {
            continue;
        }
        tracing::info!(%version, pcr0 = %build.pcrs[0], "a release waits");
        note.pending.push(Pending { pcrs: build.pcrs, version: Some(version.clone()), first_seen: now });
    }
    note.pending.sort_by(|a, b| b.version.cmp(&a.version));
    note.pending.truncate(PENDING_MAX);
}

/// Takes over what another key store of the group remembers: who heard of a release first is right.
pub(super) fn merge(note: &mut Note, other: Note) {
    note.expires_at = note.expires_at.max(other.expires_at);
    for pending in other.pending {
        let same = |known: &&mut Pending| known.pcrs == pending.pcrs && known.version == pending.version;
        match note.pending.iter_mut().find(same) {
            Some(known) => known.first_seen = known.first_seen.min(pending.first_seen),
            None => note.pending.push(pending),
        }
    }
    note.pending.sort_by(|a, b| b.version.cmp(&a.version));
    note.pending.truncate(PENDING_MAX);
}
