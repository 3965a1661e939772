//! What becomes of the disk that a start finds: a pure function.
//!
//! A daemon that ends without its machine finds its disk again, newer than any backup. A disk whose
//! snapshot is not the newest is one that somebody else has overtaken, and what it holds must not come
//! back.

use quorum::{Head, RecordId};

use super::standing::{Condition, Standing};

/// What to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// There is no state anywhere: begin with an empty folder, without whatever may lie there.
    Begin,
    /// The state on the disk is ours, and newer than any backup: go on with it.
    GoOn {
        /// The newest snapshot.
        head: Option<Head>,
    },
    /// Restore this snapshot, in the place of whatever may lie there.
    Restore(Head),
    /// The key stores have forgotten a snapshot that they acknowledged.
    HeadLost(Head),
}

/// Decides, for the record that was acquired and the head that the key stores have for it.
#[must_use]
pub fn decide(standing: Option<&Standing>, has_data: bool, record: RecordId, head: Option<Head>) -> Verdict {
    let ours = standing.filter(|standing| standing.record == record);
    if let (Some(Standing { acknowledged: Some(lost), .. }), None) = (ours, head) {
        return Verdict::HeadLost(*lost);
    }
    let usable = ours.filter(|standing| has_data && standing.condition == Condition::Whole);
    let is_newest = |standing: &Standing| match head {
        Some(_) => standing.acknowledged == head || standing.pending == head,
        // Nothing was ever acknowledged; see above.
        None => true,
    };
    match (usable.is_some_and(is_newest), head) {
        (true, head) => Verdict::GoOn { head },
        (false, Some(head)) => Verdict::Restore(head),
        (false, None) => Verdict::Begin,
    }
}
