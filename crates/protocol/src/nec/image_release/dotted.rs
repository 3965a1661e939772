//! Which version is higher, by both rules that are in use: existing programs compare dotted numbers, we
//! compare as Semantic Versioning says. A release counts only where both agree (NEC-07), so that no two
//! servers differ over what follows what.

use crate::nec::Version;

/// True if `new` is higher than `old` by both rules.
pub(super) fn is_newer(new: &Version, old: &Version) -> bool {
    new > old && is_newer_dotted(&new.to_string(), &old.to_string())
}

/// The reference's rule: fragments between dots, as numbers, from the left; the first that differs
/// decides, and one that is no number is higher than nothing. More fragments are higher.
fn is_newer_dotted(new: &str, old: &str) -> bool {
    let mut olds = old.split('.');
    for new in new.split('.') {
        let Some(old) = olds.next() else { return true };
        // As `Number` and `===`: what is no number equals nothing, itself included.
        let (Ok(new), Ok(old)) = (new.parse::<u64>(), old.parse::<u64>()) else { return false };
        if new != old {
            return new > old;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(new: &str, old: &str, expected: bool) {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(is_newer(&version(new), &version(old)), expected, "{new} after {old}");
    }

    #[test]
    fn version_is_higher_only_by_both_rules() {
        check("1.2.4", "1.2.3", true);
        check("1.10.0", "1.9.9", true);
        check("2.0.0", "1.99.99", true);
        check("1.3.0-rc.1", "1.2.9", true);
        for (new, old) in [("1.2.3", "1.2.3"), ("1.2.2", "1.2.3"), ("1.9.9", "1.10.0"), ("0.9.0", "1.0.0")] {
            check(new, old, false);
        }
        // Higher by Semantic Versioning alone, and by dots alone.
        check("1.2.0", "1.2.0-rc.1", false);
        check("1.2.0-rc.2", "1.2.0-rc.1", false);
        check("1.2.0-rc.1", "1.2.0", false);
        check("1.2.3+b", "1.2.3", false);
    }
}
