//! The log file of a process: where its output goes and what an error quotes of it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How much of the end of a log an error quotes: enough for a panic message, short enough to read.
const TAIL_LINES: usize = 12;
/// How much is read to find those lines, and to look for a line that is waited for.
const READ_BYTES_MAX: u64 = 1 << 20;

/// A log file, from the point where a process started to write to it.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    start: u64,
}

impl Log {
    /// Opens `path` for appending, so that a restarted process continues its predecessor's log.
    pub(super) fn open(path: &Path) -> Result<(Self, File)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("cannot open the log file {}", path.display()))?;
        let start = file.metadata().context("cannot read the size of a log file")?.len();
        Ok((Self { path: path.to_owned(), start }, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the process has written a line that contains `text`, within the first
    /// [`READ_BYTES_MAX`] that it wrote.
    pub(super) fn contains(&self, text: &str) -> bool {
        self.read(self.start).is_some_and(|log| log.contains(text))
    }

    /// The last lines, each indented, under a heading with the path.
    pub(super) fn tail(&self) -> String {
        let len = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
        let log = self.read(self.start.max(len.saturating_sub(READ_BYTES_MAX))).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let mut tail = format!("last lines of {}:", self.path.display());
        if lines.is_empty() {
            tail.push_str("\n  (empty)");
        }
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            tail.push_str("\n  ");
            tail.push_str(line);
        }
        tail
    }

    fn read(&self, from: u64) -> Option<String> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start(from)).ok()?;
        let mut bytes = Vec::new();
        file.take(READ_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}
