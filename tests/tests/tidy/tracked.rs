//! The files that are tracked by Git, or will be once they are added.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::metadata::root;

/// A file of the workspace.
#[derive(Clone, Debug)]
pub(crate) struct File {
    /// From the root of the workspace: `crates/units/src/lib.rs`.
    pub(crate) path: String,
    /// None if it is not text.
    pub(crate) text: Option<String>,
}

impl File {
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: Some(text.to_owned()) }
    }

    /// All of them.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let read = |path: String| {
            let text =
                String::from_utf8(std::fs::read(root().join(&path)).with_context(|| path.clone())?).ok();
            Ok(Self { path, text })
        };
        paths()?.into_iter().map(read).collect()
    }

    /// Where it is on this machine.
    pub(crate) fn place(&self) -> PathBuf {
        root().join(&self.path)
    }

    pub(crate) fn text(&self) -> &str {
        self.text.as_deref().unwrap_or_default()
    }

    /// Whether it holds tests and nothing else.
    pub(crate) fn is_test(&self) -> bool {
        let is_shared = self.path.starts_with("tests/src/");
        !is_shared && format!("/{}", self.path).contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether it is run by naming it, like all in `scripts/`.
    pub(crate) fn is_script(&self) -> bool {
        self.text().starts_with("#!") && !self.is_rust()
            || self.path.ends_with(".sh")
            || self.path.starts_with("scripts/")
            || self.path.starts_with(".ci/")
    }

    /// Numbered lines of Rust without those that are comments.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text().lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Whether the word stands in the text with nothing around it that could be part of a name.
pub(crate) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part))
}

fn paths() -> Result<Vec<String>> {
    // Whoever owns the checkout, reading the names of its files is safe.
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("a file's name is not text")?;
    let mut paths: Vec<String> = names.split_terminator('\0').map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    // What was removed and not yet told to Git.
    paths.retain(|path| root().join(path).is_file());
    Ok(paths)
}

#[test]
fn word_within_a_name_does_not_count() {
    assert!(has_word("use tar::Archive;", "tar") && has_word("tar", "tar"));
    assert!(!has_word("let start = tar_of();", "tar"));
}

#[test]
fn comment_is_not_code() {
    let file = File::new("a.rs", "//! text\nfn f() {}\n    // text\n");
    assert_eq!(file.code_lines().collect::<Vec<_>>(), [(2, "fn f() {}")]);
}
