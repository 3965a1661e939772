use super::*;

#[test]
fn directory_is_refused_with_the_remedy() {
    let check = |dir: &str, expected: Option<&str>| {
        let found = wrong_with_dir(Path::new(dir));
        assert_eq!(found.is_some(), expected.is_some(), "{dir}: {found:?}");
        if let Some(expected) = expected {
            let found = found.unwrap();
            assert!(found.contains(expected) && found.contains("TMPDIR"), "{dir}: {found}");
        }
    };
    check("/tmp", None);
    check("tmp", Some("absolute path"));
    check(&format!("/tmp/{}", "a".repeat(PARENT_DIR_BYTES_MAX)), Some("short"));
    check("/var/lib/somewhere", Some("shares with the host"));
    check("/run/user/0", Some("shares with the host"));
    check("/no-such-directory", Some("/no-such-directory"));
}
