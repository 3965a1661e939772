//! What is remembered of a record besides its contents.

use attestation::Pcr;
use protocol::rpc::keycrux::{Note, Pending, UNWRITTEN_SECS};
use units::UnixSecs;

use crate::policy::{Measured, Refusal};

/// Releases of one record that wait at once. Only its maintainers can make one wait.
const PENDING_MAX: usize = 8;

/// What this key store remembers. Ages are counted from its own start, on a clock that its host cannot set.
#[derive(Clone, Debug)]
pub(super) struct Noted {
    /// Whose it is.
    pub(super) pcr4: Pcr,
    /// When it is forgotten unless it is used, in seconds since this key store started.
    pub(super) until_secs: u64,
    /// False for a lease alone, of a record that nobody has written yet.
    pub(super) is_written: bool,
    /// Releases that wait.
    pub(super) pending: Vec<Pending>,
}

impl Noted {
    /// A note of a record that is used for the first time.
    pub(super) const fn new(pcr4: Pcr, up_secs: u64) -> Self {
        let until_secs = up_secs.saturating_add(UNWRITTEN_SECS);
        Self { pcr4, until_secs, is_written: false, pending: Vec::new() }
    }

    /// What another key store told.
    pub(super) fn told(note: Note, up_secs: u64, ttl_secs: u64) -> Self {
        let Note { pcr4, left_secs, pending } = note;
        let until_secs = up_secs.saturating_add(left_secs.min(ttl_secs));
        let mut noted = Self { pcr4, until_secs, is_written: false, pending };
        noted.pending.truncate(PENDING_MAX);
        noted
    }

    /// The same for another key store.
    pub(super) fn tell(&self, up_secs: u64) -> Note {
        let left_secs = self.until_secs.saturating_sub(up_secs);
        Note { pcr4: self.pcr4, left_secs, pending: self.pending.clone() }
    }

    /// It is used now, by somebody for whom it holds something or not.
    pub(super) const fn used(&mut self, is_written: bool, up_secs: u64, ttl_secs: u64) {
        self.is_written = is_written;
        self.until_secs = up_secs.saturating_add(if is_written { ttl_secs } else { UNWRITTEN_SECS });
    }
}

/// Notes the releases that nothing but the delay refuses: from now on they are known. Of too many, the
/// latest versions are kept.
pub(super) fn remember(note: &mut Noted, build: &Measured, refusal: &Refusal, now: UnixSecs) {
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
pub(super) fn merge(note: &mut Noted, other: Noted) {
    note.until_secs = note.until_secs.max(other.until_secs);
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
