use super::*;

#[track_caller]
fn check_all(names: &[&str], expected: Result<(), NameError>) {
    for name in names {
        assert_eq!(check(name), expected, "{name:?}");
    }
}

#[test]
fn names_have_one_spelling() {
    check_all(&["bob", "alice.b", "a-b_c.d", "x21", &"a".repeat(30)], Ok(()));
    let long = "a".repeat(31);
    check_all(
        &[
            "", "ab", "Bob", "bob ", " bob", "b\u{f6}b", "1ab", "_ab", "ab.", "a..b", "a._b", "a/b", "a@b",
            "a%41", &long,
        ],
        Err(NameError::Shape),
    );
}

#[test]
fn reserved_words_are_refused_however_they_are_dotted() {
    check_all(
        &["admin", "ad.min", "a-d-m-i-n", "support", "np.ub1abc", "npub1abc", "lnbcrt1"],
        Err(NameError::Reserved),
    );
    let mut sorted = RESERVED;
    sorted.sort_unstable();
    assert_eq!(sorted, RESERVED);
    for word in RESERVED {
        assert!(word.chars().all(|c| c.is_ascii_lowercase()), "{word} could never match");
    }
}
