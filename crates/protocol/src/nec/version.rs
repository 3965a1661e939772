//! Versions of releases, and which of two is the newer.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest version text, in bytes: it stands in tags and in logs.
const VERSION_BYTES_MAX: usize = 64;

/// A version as Semantic Versioning 2.0.0 writes it: `1.2.3`, `1.2.3-rc.1`, `1.2.3+build`. Ordered by
/// its §11: numbers as numbers, a pre-release before its release, build metadata aside.
#[derive(Clone, Debug)]
pub struct Version {
    text: String,
    core: [u64; 3],
    pre: Vec<Identifier>,
}

/// The variants stand in the order in which they sort.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Identifier {
    Number(u64),
    Name(String),
}

/// A text that is no version.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("a version is written MAJOR.MINOR.PATCH, for example 1.4.0 or 1.4.0-rc.1")]
pub struct VersionFormatError;

impl FromStr for Version {
    type Err = VersionFormatError;

    fn from_str(text: &str) -> Result<Self, VersionFormatError> {
        if text.len() > VERSION_BYTES_MAX {
            return Err(VersionFormatError);
        }
        let (rest, build) = split(text, '+');
        if build.is_some_and(|build| !build.split('.').all(is_identifier)) {
            return Err(VersionFormatError);
        }
        let (core, pre) = split(rest, '-');
        let core: Vec<u64> = core.split('.').map(number).collect::<Result<_, _>>()?;
        let core = core.try_into().map_err(|_| VersionFormatError)?;
        let pre = match pre {
            Some(pre) => pre.split('.').map(Identifier::read).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        Ok(Self { text: text.to_owned(), core, pre })
    }
}

impl Identifier {
    fn read(text: &str) -> Result<Self, VersionFormatError> {
        if !is_identifier(text) {
            return Err(VersionFormatError);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return number(text).map(Self::Number);
        }
        Ok(Self::Name(text.to_owned()))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let pre = || match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        };
        self.core.cmp(&other.core).then_with(pre)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Equal in order, as `Ord` asks: versions that differ in build metadata alone are equal.
impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_identifier(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Digits without a leading zero.
fn number(text: &str) -> Result<u64, VersionFormatError> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain).ok_or(VersionFormatError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn versions_sort_by_precedence() {
        let ascending = [
            "0.9.10",
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-11",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        for pair in ascending.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
        assert_eq!(version("1.0.0+one"), version("1.0.0+two"));
        assert_eq!(version("1.0.0-rc.1+b").to_string(), "1.0.0-rc.1+b");
    }

    #[test]
    fn text_that_is_no_version_is_refused() {
        let long = format!("1.0.0-{}", "a".repeat(VERSION_BYTES_MAX));
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            "1.2.x",
            "01.2.3",
            "1.2.3-",
            "1.2.3-a..b",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3+a_b",
            " 1.2.3",
            "1.2.3 ",
            "+1.2.3",
            "1.-2.3",
            "1.2.18446744073709551616",
            &long,
        ] {
            assert_eq!(bad.parse::<Version>().map(|it| it.to_string()), Err(VersionFormatError), "{bad:?}");
        }
    }
}
