//! Which generations may go. Pure.

const DAY_SECS: u64 = 24 * 3600;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The newest confirmed generation, and so many less one before it.
    pub(crate) keep_count: usize,
    /// And those younger than this.
    pub(crate) keep_days: u64,
}

impl Policy {
    /// The generations that may go, of `all`, which are (sequence number, when committed), the oldest
    /// first. Neither the confirmed one goes nor any after it: the key stores may name one of those
    /// without the parent having heard of it.
    pub(crate) fn dispensable(self, all: &[(u64, u64)], confirmed: Option<u64>, now: u64) -> Vec<u64> {
        let Some(confirmed) = confirmed else { return Vec::new() };
        let kept_secs = self.keep_days.saturating_mul(DAY_SECS);
        let older: Vec<_> = all.iter().filter(|(sequence, _)| *sequence < confirmed).collect();
        let surplus = older.len().saturating_sub(self.keep_count.saturating_sub(1));
        let surplus = older.into_iter().take(surplus);
        surplus
            .filter(|(_, committed_at)| now.saturating_sub(*committed_at) >= kept_secs)
            .map(|(sequence, _)| *sequence)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(keep_count: usize, keep_days: u64, confirmed: Option<u64>, expected: &[u64]) {
        // Committed on days 0 to 9; it is the tenth.
        let all: Vec<_> = (1..=10).map(|sequence| (sequence, (sequence - 1) * DAY_SECS)).collect();
        let policy = Policy { keep_count, keep_days };
        assert_eq!(policy.dispensable(&all, confirmed, 9 * DAY_SECS + 1), expected);
    }

    #[test]
    fn count_and_age_keep_what_either_keeps() {
        check(2, 0, Some(10), &[1, 2, 3, 4, 5, 6, 7, 8]);
        check(4, 0, Some(10), &[1, 2, 3, 4, 5, 6]);
        check(2, 3, Some(10), &[1, 2, 3, 4, 5, 6, 7]);
        check(20, 0, Some(10), &[]);
        check(2, 100, Some(10), &[]);
    }

    #[test]
    fn nothing_goes_before_or_after_what_is_confirmed() {
        check(2, 0, None, &[]);
        check(2, 0, Some(4), &[1, 2]);
        check(2, 0, Some(1), &[]);
    }

    proptest! {
        #[test]
        fn confirmed_and_later_always_stay(
            ages in proptest::collection::vec(0u64..40 * DAY_SECS, 1..30),
            at in 0usize..30, keep_count in 0usize..20, keep_days in 0u64..30, now in 0u64..50 * DAY_SECS,
        ) {
            let all: Vec<_> = (1..).zip(ages).collect();
            let confirmed = all[at % all.len()].0;
            let policy = Policy { keep_count, keep_days };
            let gone = policy.dispensable(&all, Some(confirmed), now);
            prop_assert!(gone.iter().all(|sequence| *sequence < confirmed));
            let left = all.iter().filter(|(sequence, _)| *sequence <= confirmed && !gone.contains(sequence)).count();
            let had = all.iter().filter(|(sequence, _)| *sequence <= confirmed).count();
            prop_assert!(left >= had.min(keep_count.max(1)));
            for (sequence, committed_at) in &all {
                if now.saturating_sub(*committed_at) < keep_days * DAY_SECS {
                    prop_assert!(!gone.contains(sequence));
                }
            }
        }
    }
}
