//! Which generations may go. Pure.

const DAY_SECS: u64 = 24 * 3600;
/// Generations of an instance that are kept, however young they are: three days at one in five minutes. More
/// are made only by an enclave that means to fill the disk.
pub(crate) const GENERATIONS_MAX: usize = 1_024;
/// Generations after the confirmed one that are kept.
pub(crate) const UNCONFIRMED_MAX: usize = 64;
/// Of those, how many of one number always stay, the newest: it is tried again only when the one before was
/// not taken, so that the last is the one that may have been, and the others are for one that was late.
const TRIES_KEPT: usize = 4;

/// What is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// The newest confirmed generation, and so many less one before it.
    pub(crate) keep_count: usize,
    /// And those younger than this, [`GENERATIONS_MAX`] in all.
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
        let above = older.len().saturating_sub(GENERATIONS_MAX.saturating_sub(1));
        let surplus = older.into_iter().take(surplus).enumerate();
        surplus
            .filter(|(at, (_, committed_at))| *at < above || now.saturating_sub(*committed_at) >= kept_secs)
            .map(|(_, (sequence, _))| *sequence)
            .collect()
    }
}

/// The generations that may go of those after the confirmed one, which are (sequence number, generation's
/// number), the oldest first, so that [`UNCONFIRMED_MAX`] are left.
///
/// The key stores name the confirmed one, or one of these of which we were not told. The enclave gives a
/// generation the number after the one that it knows to count. So what counts has the highest number here or
/// the one below it, and is the last of that number, or was committed shortly before the last.
pub(crate) fn surplus(unconfirmed: &[(u64, u64)]) -> Vec<u64> {
    let Some(highest) = unconfirmed.iter().map(|(_, number)| *number).max() else { return Vec::new() };
    let (mut of_highest, mut of_second) = (0, 0);
    let mut may_go: Vec<u64> = unconfirmed
        .iter()
        .rev()
        .filter(|(_, number)| {
            let tries = match highest - number {
                0 => &mut of_highest,
                1 => &mut of_second,
                _ => return true,
            };
            *tries += 1;
            *tries > TRIES_KEPT
        })
        .map(|(sequence, _)| *sequence)
        .collect();
    may_go.reverse();
    may_go.truncate(unconfirmed.len().saturating_sub(UNCONFIRMED_MAX));
    may_go
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

    #[test]
    fn there_are_never_more_than_the_bound_however_young() {
        let all: Vec<_> = (1..=2_000).map(|sequence| (sequence, 5)).collect();
        let gone = Policy { keep_count: 2, keep_days: 30 }.dispensable(&all, Some(1_990), 5);
        // The confirmed one and all after it stay, and so many less one before it.
        assert_eq!(gone, (1..1_990 - 1_023).collect::<Vec<_>>());
    }

    #[test]
    fn tries_that_were_not_taken_go_the_oldest_first() {
        let same: Vec<_> = (1..=66).map(|sequence| (sequence, 8)).collect();
        assert_eq!(surplus(&same), [1, 2]);
        assert_eq!(surplus(&same[..64]), [0; 0]);
        // 7 may be the head, of which we were not told; another enclave, that is fenced, goes on with 3.
        let mut mixed: Vec<_> = [(1, 6), (2, 7), (3, 7)].to_vec();
        mixed.extend((4..=80).map(|sequence| (sequence, if sequence % 2 == 0 { 8 } else { 3 })));
        let gone = surplus(&mixed);
        assert_eq!((gone.len(), gone[0], gone[1]), (16, 1, 4));
        assert!(!gone.contains(&2) && !gone.contains(&3));
    }

    proptest! {
        #[test]
        fn what_may_be_the_head_stays(steps in proptest::collection::vec(any::<bool>(), 1..300)) {
            // Each commit is taken or not; nobody hears of it.
            let (mut kept, mut head, mut number) = (Vec::new(), None, 8);
            for (sequence, is_taken) in (1..).zip(steps) {
                kept.push((sequence, number));
                let gone = surplus(&kept);
                kept.retain(|(sequence, _)| !gone.contains(sequence));
                prop_assert!(kept.len() <= UNCONFIRMED_MAX);
                prop_assert!(head.is_none_or(|head| kept.iter().any(|(sequence, _)| *sequence == head)));
                if is_taken {
                    (head, number) = (Some(sequence), number + 1);
                }
            }
        }

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
