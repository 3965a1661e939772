//! Words that must not stand in a file.

use anyhow::Result;

use crate::tracked::{File, has_word};
use crate::{none, one};

/// Paths of one machine. In parts, so that this file does not hold them.
const PATHS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/tmp/", "bash")];
/// Promises instead of code.
const PROMISES: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
/// A test that does not run tests nothing.
const IGNORED: &str = concat!("#[ign", "ore");

/// The only places outside tests that may use `anyhow`, whose errors tell nobody what failed in a way
/// that code can act on: a start of a path, and why.
const ANYHOW: &[(&str, &str)] = &[
    ("crates/bench/", "its errors are read by people"),
    ("cli/", "its errors are read by people"),
    ("tests/src/", "its errors are read by people"),
    ("containers/echo/", "the smallest guest: an error ends it"),
    ("crates/devnet/", "its errors are read by people"),
    ("daemon/src/server.rs", "puts the parts together: an error ends the start"),
    ("daemon/src/server/", "a part of it"),
    ("keycrux/src/server.rs", "puts the parts together: an error ends the start"),
    ("daemon/src/builtin.rs", "part of the start: an error ends it"),
];

#[test]
fn files_hold_no_forbidden_words() -> Result<()> {
    none(&File::all()?.iter().flat_map(word_faults).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn libraries_have_errors_of_their_own() -> Result<()> {
    none(&anyhow_faults(&File::all()?, ANYHOW));
    Ok(())
}

fn word_faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in file.text().lines().enumerate() {
        let at = format!("{}:{}", file.path, index + 1);
        for path in PATHS.iter().filter(|path| has_path(line, path)) {
            faults.push(format!("{at}: {path} is a path of one machine: name it relative to the workspace"));
        }
        for word in PROMISES.iter().filter(|word| has_word(line, word)) {
            faults.push(format!("{at}: {word}: do it, or open an issue"));
        }
        if file.is_rust() && line.contains(IGNORED) {
            faults.push(format!("{at}: {IGNORED}]: run the test in its step of the ladder, or remove it"));
        }
    }
    faults
}

/// Whether the path starts here, and is not the end of a longer one.
fn has_path(line: &str, path: &str) -> bool {
    let is_longer = |c: char| c.is_alphanumeric() || "_-.*{}$)".contains(c);
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(is_longer))
}

fn anyhow_faults(files: &[File], allowed: &[(&str, &str)]) -> Vec<String> {
    let is_program = |path: &str| path.ends_with("src/main.rs");
    let uses = |file: &&File| {
        file.is_rust() && !file.is_test() && file.code_lines().any(|(_, line)| has_word(line, "anyhow"))
    };
    let users: Vec<&str> = files.iter().filter(uses).map(|file| file.path.as_str()).collect();
    let unlisted = users.iter().filter(|path| !allowed.iter().any(|(start, _)| path.starts_with(start)));
    let wrong = unlisted.filter(|path| !is_program(path));
    let mut faults: Vec<_> =
        wrong.map(|path| format!("{path} uses anyhow: make an enum of what can fail here")).collect();
    // A folder may come to need it; a file that is listed does.
    let listed = allowed.iter().filter(|(start, _)| start.ends_with(".rs"));
    for (path, _) in listed.filter(|(path, _)| !users.contains(path)) {
        faults.push(format!("{path} does not use anyhow: remove it from ANYHOW in {}", file!()));
    }
    faults
}

#[test]
fn forbidden_word_is_found_with_its_line() {
    let check = |path: &str, line: &str| word_faults(&File::new(path, &format!("first\n{line}\n")));
    for path in PATHS {
        one(&check("README.md", &format!("see `{path}x`")), &["README.md:2", "one machine"]);
        assert_eq!(check("a.rs", &format!("/proc/1{path}etc {{pid}}{path}etc")), [""; 0]);
    }
    for word in PROMISES {
        one(&check("a.rs", &format!("// {word}: later")), &["a.rs:2", "do it"]);
        assert_eq!(check("a.rs", &format!("MY_{word}")), [""; 0]);
    }
    one(&check("a.rs", &format!("    {IGNORED}]")), &["a.rs:2", "its step of the ladder"]);
}

#[test]
fn anyhow_in_a_library_is_found() {
    let uses = |path| anyhow_faults(&[File::new(path, "use anyhow::Result;")], &[]);
    one(&uses("crates/relay/src/pool.rs"), &["crates/relay/src/pool.rs uses anyhow"]);
    for path in
        ["parent/src/main.rs", "tests/tests/e2e/life.rs", "crates/a/tests/it/a.rs", "crates/a/src/b/tests.rs"]
    {
        assert_eq!(uses(path), [""; 0]);
    }
    let listed = [("a/src/b.rs", "")];
    one(&anyhow_faults(&[File::new("a/src/b.rs", "")], &listed), &["a/src/b.rs", "remove it from ANYHOW"]);
}
