//! What key stores refuse, and what of it ends a tenure.
//!
//! A tenure that ends takes everything with it that runs on the record, so it is not ended by what will
//! pass: a key store that is full, or too new to know a method, says nothing of the record. Only the
//! verdicts of its policy do; and of those who hold it already, only if they last.

use std::collections::BTreeMap;

use nostr::key::PublicKey;
use protocol::rpc::{Code, Refusal};
use quorum::MemberId;

/// What one key store refuses, and since when.
#[derive(Debug)]
struct Said {
    member: MemberId,
    refusal: Refusal,
    since_ms: u64,
}

/// The refusals that stand, by the instance that made them.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    said: BTreeMap<PublicKey, Said>,
}

impl Refusals {
    /// An instance refused. If it did so before, it does so since then.
    pub(super) fn refused(&mut self, service: PublicKey, member: MemberId, refusal: Refusal, now_ms: u64) {
        let same = self.said.get(&service).filter(|said| said.refusal.code == refusal.code);
        let since_ms = same.map_or(now_ms, |said| said.since_ms);
        self.said.insert(service, Said { member, refusal, since_ms });
    }

    /// An instance answered, and so no instance of its launcher stands in the way: the launcher has one
    /// vote, and this is it.
    pub(super) fn answered(&mut self, member: MemberId) {
        self.said.retain(|_, said| said.member != member);
    }

    /// An instance does not answer, and may be gone.
    pub(super) fn silent(&mut self, service: &PublicKey) {
        self.said.remove(service);
    }

    /// Forgets those who are not there.
    pub(super) fn retain(&mut self, is_there: impl Fn(&PublicKey) -> bool) {
        self.said.retain(|service, _| is_there(service));
    }

    /// One of the refusals, if more than `spare` launchers have refused for `lasting_ms` in a way that
    /// `counts`.
    pub(super) fn verdict(
        &self,
        spare: usize,
        now_ms: u64,
        lasting_ms: u64,
        counts: impl Fn(&Refusal) -> bool,
    ) -> Option<Refusal> {
        let lasts =
            |said: &&Said| now_ms.saturating_sub(said.since_ms) >= lasting_ms && counts(&said.refusal);
        let standing: BTreeMap<MemberId, &Refusal> =
            self.said.values().filter(lasts).map(|said| (said.member, &said.refusal)).collect();
        if standing.len() > spare { standing.into_values().next().cloned() } else { None }
    }
}

/// Refusals that say nothing of the request: the same may be answered a moment later.
pub(super) fn is_passing(refusal: &Refusal) -> bool {
    use Code::{BodyMissing, Internal, NotJoined, RateLimited, StaleRequest, TooOld};
    is_one_of(refusal, &[NotJoined, RateLimited, Internal, StaleRequest, TooOld, BodyMissing])
}

/// Refusals by the record's policy: this build may not have the record.
pub(super) fn is_verdict(refusal: &Refusal) -> bool {
    use Code::{
        DebugMode, DelayPending, PcrMismatch, RefMismatch, ReleaseInvalid, ReleaseMissing, Revoked,
        VersionTooOld,
    };
    let about_the_build = [
        DebugMode,
        DelayPending,
        PcrMismatch,
        RefMismatch,
        ReleaseInvalid,
        ReleaseMissing,
        Revoked,
        VersionTooOld,
    ];
    is_one_of(refusal, &about_the_build)
}

/// A head is not taken, because the key store lacks the body that it belongs to.
pub(super) fn is_body_missing(refusal: &Refusal) -> bool {
    is_one_of(refusal, &[Code::BodyMissing])
}

fn is_one_of(refusal: &Refusal, codes: &[Code]) -> bool {
    codes.iter().any(|code| refusal.code == code.as_str())
}

#[cfg(test)]
mod tests;
