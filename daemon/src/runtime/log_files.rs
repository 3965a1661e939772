//! The two files in which the engine keeps a container's output: when one is full it takes the other's place.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// When they were made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogFiles {
    current: SystemTime,
    full: Option<SystemTime>,
}

impl LogFiles {
    /// Those of a log at `path`; none if there is none, or its filesystem does not say.
    pub(super) fn look(path: &Path) -> Option<Self> {
        let made = |path: &Path| std::fs::metadata(path).and_then(|found| found.created()).ok();
        let full = PathBuf::from(format!("{}.1", path.display()));
        Some(Self { current: made(path)?, full: made(&full) })
    }

    /// True if a whole file came and went since `before`: whoever read all the time has not read all.
    pub(crate) fn have_lost_since(&self, before: &Self) -> bool {
        self.full.is_some_and(|full| full > before.current)
    }
}

#[cfg(test)]
impl LogFiles {
    /// Files that were made so many seconds after 1970.
    pub(crate) fn made(current: u64, full: Option<u64>) -> Self {
        let at = |secs| SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(secs);
        Self { current: at(current), full: full.map(at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_lost_when_a_whole_file_came_and_went() {
        let (files, before) = (LogFiles::made, LogFiles::made(10, Some(5)));
        assert!(!before.have_lost_since(&before));
        assert!(!files(12, Some(10)).have_lost_since(&before), "the one of then is full, and still there");
        assert!(files(14, Some(12)).have_lost_since(&before));
        assert!(!files(10, None).have_lost_since(&files(10, None)));
    }

    #[test]
    fn files_are_found_beside_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a-json.log");
        assert_eq!(LogFiles::look(&path), None);
        std::fs::write(&path, "x").unwrap();
        let first = LogFiles::look(&path).unwrap();
        assert_eq!(first.full, None);
        std::fs::rename(&path, dir.path().join("a-json.log.1")).unwrap();
        std::fs::write(&path, "y").unwrap();
        assert_eq!(LogFiles::look(&path).unwrap().full, Some(first.current));
    }
}
