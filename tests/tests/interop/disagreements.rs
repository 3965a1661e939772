//! Where our verifier and the reference's validator come to different verdicts, and why: the lists of
//! `disagreements.md`.

use anyhow::{Context, Result, ensure};

/// Events about which we differ, for one reason.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Disagreement {
    /// Why.
    pub(crate) why: String,
    /// The faults, by name.
    pub(crate) faults: Vec<String>,
}

impl Disagreement {
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.faults.iter().any(|fault| fault == name)
    }
}

/// All of them.
///
/// # Errors
/// If the list is not written as it must be.
pub(crate) fn known() -> Result<Vec<Disagreement>> {
    read(include_str!("disagreements.md"))
}

/// Headings are reasons, the items below them faults; all else is for people.
fn read(text: &str) -> Result<Vec<Disagreement>> {
    let mut all: Vec<Disagreement> = Vec::new();
    for line in text.lines() {
        if let Some(why) = line.strip_prefix("## ") {
            all.push(Disagreement { why: why.to_owned(), faults: Vec::new() });
        } else if let Some(name) = line.strip_prefix("- ") {
            all.last_mut().context("a fault above the first heading")?.faults.push(name.to_owned());
        }
    }
    for one in &all {
        ensure!(!one.faults.is_empty(), "{}: no fault stands below it", one.why);
    }
    Ok(all)
}

#[test]
fn list_is_read() {
    let text = "# Title\ntext\n## why\ntext\n- a: b\n- c\n## and why\n- d\n";
    let one = |why: &str, faults: &[&str]| Disagreement {
        why: why.to_owned(),
        faults: faults.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(read(text).unwrap(), [one("why", &["a: b", "c"]), one("and why", &["d"])]);
    assert!(read("- a").is_err() && read("## why").is_err());
}
