//! What is backed up, and under which name.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;
/// Most parts of a name.
const PARTS_MAX: usize = 8;
/// Sources of one snapshot: a database and a few volumes for each container.
const SOURCES_MAX: usize = 4_096;

/// Something to back up. It must not change while the snapshot is made: give a copy.
#[derive(Clone)]
pub struct Source {
    /// Where it is put when it is restored, below the folder restored to.
    pub name: SourceName,
    /// What it holds.
    pub content: Content,
    /// Whether it is made smaller.
    pub packing: Packing,
}

/// Whether the bytes of a source are compressed before they are sealed.
///
/// Sealing hides bytes and shows their number. Where one chunk holds a secret beside words that a
/// stranger chose, the number tells how well those words match the secret: whoever launches containers
/// and reads sizes at the parent could guess it piece by piece, as CRIME did with TLS. What mixes owners
/// is therefore stored at its full length.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Packing {
    /// Compressed: everything in it belongs to one owner.
    #[default]
    Compressed,
    /// At full length: it holds secrets of several owners.
    FullLength,
}

/// Where the bytes of a source are.
#[derive(Clone)]
pub enum Content {
    /// In a file. Its holes cost nothing.
    File(PathBuf),
    /// In memory; small.
    Bytes(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("content", &self.content)
            .field("packing", &self.packing)
            .finish()
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

impl Source {
    /// A file.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn file(name: impl Into<String>, path: impl Into<PathBuf>) -> Result<Self, NameError> {
        Self::new(name.into(), Content::File(path.into()))
    }

    /// Bytes in memory.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, NameError> {
        Self::new(name.into(), Content::Bytes(Zeroizing::new(bytes)))
    }

    /// The same, stored at its full length.
    #[must_use]
    pub fn at_full_length(self) -> Self {
        Self { packing: Packing::FullLength, ..self }
    }

    fn new(name: String, content: Content) -> Result<Self, NameError> {
        Ok(Self { name: SourceName::try_from(name)?, content, packing: Packing::default() })
    }
}

/// A relative path of up to eight parts, each of letters, digits, `-`, `_` and `.`, none of which
/// begins with a dot: it cannot leave the folder it is restored to.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceName(String);

/// Names that cannot be used.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum NameError {
    /// Not a name.
    #[error(
        "{0:?} is no name of a source: use up to 8 parts of letters, digits, '-', '_', '.', divided by '/'"
    )]
    Form(String),
    /// The same twice, or one inside another.
    #[error("the sources {0} and {1} cannot lie beside each other")]
    Clash(SourceName, SourceName),
    /// Too many.
    #[error("{0} sources; at most {SOURCES_MAX} are taken")]
    TooMany(usize),
}

impl SourceName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a relative path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for SourceName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let fits = text.len() <= NAME_BYTES_MAX && text.split('/').count() <= PARTS_MAX;
        if fits && text.split('/').all(is_part) { Ok(Self(text)) } else { Err(NameError::Form(text)) }
    }
}

impl From<SourceName> for String {
    fn from(name: SourceName) -> Self {
        name.0
    }
}

/// Checks that all of these can be restored beside each other.
pub(crate) fn check_names<'a>(names: impl Iterator<Item = &'a SourceName>) -> Result<(), NameError> {
    let mut seen: BTreeSet<&SourceName> = BTreeSet::new();
    for (index, name) in names.enumerate() {
        if index >= SOURCES_MAX {
            return Err(NameError::TooMany(index + 1));
        }
        if let Some(other) = seen.replace(name) {
            return Err(NameError::Clash(other.clone(), name.clone()));
        }
    }
    for name in &seen {
        let folders = name.0.match_indices('/').map(|(at, _)| name.0.get(..at).unwrap_or_default());
        if let Some(outer) = folders.map(|f| SourceName(f.to_owned())).find(|f| seen.contains(f)) {
            return Err(NameError::Clash(outer, (*name).clone()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Result<SourceName, NameError> {
        SourceName::try_from(text.to_owned())
    }

    #[test]
    fn names_stay_below_their_folder() {
        for good in ["a", "db.sqlite", "volumes/3f2a/data_1", "a/b/c/d/e/f/g/h"] {
            assert_eq!(name(good).unwrap().to_string(), good);
        }
        let long = "x".repeat(256);
        for bad in [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            ".a",
            "a b",
            "a\0",
            "a/b/c/d/e/f/g/h/i",
            "ä",
            "a\\b",
            &long,
        ] {
            assert!(matches!(name(bad), Err(NameError::Form(_))), "{bad:?}");
        }
    }

    #[test]
    fn names_that_clash_are_refused() {
        let check = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|n| name(n).unwrap()).collect();
            check_names(names.iter())
        };
        assert_eq!(check(&["a", "b/c", "b/d", "b-c"]), Ok(()));
        assert!(matches!(check(&["a", "a"]), Err(NameError::Clash(..))));
        assert!(matches!(check(&["a/b/c", "a-b", "a"]), Err(NameError::Clash(..))));
        let many: Vec<_> = (0..=SOURCES_MAX).map(|i| name(&format!("s{i}")).unwrap()).collect();
        assert_eq!(check_names(many.iter()), Err(NameError::TooMany(SOURCES_MAX + 1)));
    }
}
