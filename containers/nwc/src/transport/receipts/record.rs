//! Which relays that strangers named answered, and which did not.

use std::collections::HashMap;

use nostr::types::url::RelayUrl;
use units::UnixSecs;

/// Relays that are remembered.
const RELAYS_MAX: usize = 1_024;
/// How long a relay that did not answer is left alone, for whichever receipt.
pub(super) const SILENT_SECS: u64 = 60;

/// What a relay proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::transport) enum Standing {
    /// It answered last time.
    Proven,
    /// It did not, or nobody knows.
    Unproven,
}

/// The record of relays. In memory: after a start each is to prove itself again.
#[derive(Debug, Default)]
pub(in crate::transport) struct Record(HashMap<RelayUrl, Last>);

#[derive(Clone, Copy, Debug)]
enum Last {
    Answered,
    Silent(UnixSecs),
}

impl Record {
    pub(super) fn standing(&self, relay: &RelayUrl) -> Standing {
        match self.0.get(relay) {
            Some(Last::Answered) => Standing::Proven,
            Some(Last::Silent(_)) | None => Standing::Unproven,
        }
    }

    /// Whether it was silent so lately that it is not asked again yet.
    pub(super) fn is_silent(&self, relay: &RelayUrl, now: UnixSecs) -> bool {
        matches!(self.0.get(relay), Some(Last::Silent(at)) if is_lately(*at, now))
    }

    pub(super) fn note(&mut self, relay: &RelayUrl, has_answered: bool, now: UnixSecs) {
        if self.0.len() >= RELAYS_MAX && !self.0.contains_key(relay) {
            self.0.retain(|_, last| match last {
                Last::Answered => true,
                Last::Silent(at) => is_lately(*at, now),
            });
        }
        if self.0.len() >= RELAYS_MAX && !self.0.contains_key(relay) {
            // Whoever names so many gains nothing: those it makes us forget are to prove themselves again.
            self.0.clear();
        }
        let last = if has_answered { Last::Answered } else { Last::Silent(now) };
        self.0.insert(relay.clone(), last);
    }
}

fn is_lately(at: UnixSecs, now: UnixSecs) -> bool {
    now.0.abs_diff(at.0) < SILENT_SECS
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSecs = UnixSecs(1_000_000);

    fn relay(n: usize) -> RelayUrl {
        RelayUrl::parse(&format!("wss://r{n}.example")).unwrap()
    }

    #[test]
    fn relay_is_what_it_did_last() {
        let mut record = Record::default();
        let of = |record: &Record, now| (record.standing(&relay(1)), record.is_silent(&relay(1), now));
        assert_eq!(of(&record, NOW), (Standing::Unproven, false));
        record.note(&relay(1), true, NOW);
        assert_eq!(of(&record, NOW), (Standing::Proven, false));
        record.note(&relay(1), false, NOW);
        assert_eq!(of(&record, NOW.plus_secs(59)), (Standing::Unproven, true));
        assert_eq!(of(&record, NOW.plus_secs(60)), (Standing::Unproven, false));
        record.note(&relay(1), true, NOW.plus_secs(60));
        assert_eq!(of(&record, NOW.plus_secs(60)), (Standing::Proven, false));
    }

    #[test]
    fn many_relays_take_no_more_memory() {
        let mut record = Record::default();
        for n in 0..5_000 {
            record.note(&relay(n), n % 3 == 0, NOW);
        }
        assert!(record.0.len() <= RELAYS_MAX);
    }
}
