//! Which of several releases is taken.

/// A release that may be taken: it is verified, and higher than what runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate<V, D> {
    /// Its version.
    pub version: V,
    /// What it approves.
    pub digest: D,
}

/// What is to be done with the releases that were found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    /// The one to take, by its place in the list.
    pub take: Option<usize>,
    /// Those that share their version with another image: somebody signed twice, and nobody can tell which
    /// counts.
    pub ambiguous: Vec<usize>,
}

/// Chooses the newest of `candidates` that was not `tried` before, each asked for by its place in the list: one
/// that failed once is not tried again, and the next lower one is. Of several releases of one image, each is
/// judged by itself.
#[must_use]
pub fn choose<V: Ord, D: Eq>(candidates: &[Candidate<V, D>], tried: impl Fn(usize) -> bool) -> Choice {
    let is_ambiguous = |one: &Candidate<V, D>| {
        candidates.iter().any(|other| other.version == one.version && other.digest != one.digest)
    };
    let numbered = || candidates.iter().enumerate();
    let ambiguous: Vec<_> =
        numbered().filter(|(_, one)| is_ambiguous(one)).map(|(number, _)| number).collect();
    let take = numbered()
        .filter(|(number, _)| !ambiguous.contains(number) && !tried(*number))
        // Of one release that was found twice, either.
        .max_by(|(_, a), (_, b)| a.version.cmp(&b.version))
        .map(|(number, _)| number);
    Choice { take, ambiguous }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type One = Candidate<u8, u8>;

    fn all(pairs: &[(u8, u8)]) -> Vec<One> {
        pairs.iter().map(|&(version, digest)| One { version, digest }).collect()
    }

    #[track_caller]
    fn check(pairs: &[(u8, u8)], tried: &[u8], take: Option<usize>, ambiguous: &[usize]) {
        let choice = choose(&all(pairs), |number| tried.contains(&pairs[number].1));
        assert_eq!(choice, Choice { take, ambiguous: ambiguous.to_vec() });
    }

    #[test]
    fn newest_is_taken_and_the_next_one_if_it_failed() {
        check(&[], &[], None, &[]);
        check(&[(2, 20), (4, 40), (3, 30)], &[], Some(1), &[]);
        check(&[(2, 20), (4, 40), (3, 30)], &[40], Some(2), &[]);
        check(&[(2, 20), (4, 40), (3, 30)], &[40, 30, 20], None, &[]);
    }

    #[test]
    fn two_images_under_one_version_are_both_left_out() {
        check(&[(3, 30), (4, 40), (4, 41)], &[], Some(0), &[1, 2]);
        check(&[(4, 40), (4, 41)], &[40], None, &[0, 1]);
        // One release, found on two relays.
        let twice = choose(&all(&[(4, 40), (4, 40)]), |_| false);
        assert!(twice.take.is_some() && twice.ambiguous.is_empty());
        // One of them is not fit, and the other is.
        for bad in 0..2 {
            let choice = choose(&all(&[(4, 40), (4, 40)]), |number| number == bad);
            assert_eq!(choice.take, Some(1 - bad));
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_is_the_highest_that_may_be(
            pairs in proptest::collection::vec((0_u8..6, 0_u8..8), 0..8), tried in proptest::collection::vec(0_u8..8, 0..4),
        ) {
            let candidates = all(&pairs);
            let choice = choose(&candidates, |number| tried.contains(&pairs[number].1));
            let may_be = |one: &One| !tried.contains(&one.digest)
                && candidates.iter().all(|other| other.version != one.version || other.digest == one.digest);
            let highest = candidates.iter().filter(|one| may_be(one)).map(|one| one.version).max();
            prop_assert_eq!(choice.take.map(|number| candidates[number].version), highest);
            prop_assert!(choice.take.is_none_or(|number| may_be(&candidates[number])));
        }
    }
}
