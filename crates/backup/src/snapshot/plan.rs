//! What there is to read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use zeroize::Zeroizing;

use crate::copy::extents;
use crate::error::SnapshotError;
use crate::manifest::{Chunk, Run, SourceEntry, chunk_bytes, chunks_of, plain_bytes};
use crate::secret::{Keys, SourceNaming};
use crate::source::{Content, Packing, Source, SourceName, check_names};

/// Chunks that are read at most, those that turn out to be zeros included: 256 GiB.
const READ_MAX: usize = 4 * crate::CHUNKS_MAX;

/// The sources, opened, and the chunks of them that are no holes.
pub(super) struct Plan {
    sources: Vec<Opened>,
    /// Source and chunk, ascending.
    tasks: Vec<(usize, u64)>,
}

struct Opened {
    name: SourceName,
    bytes: u64,
    from: From,
    origin: Origin,
}

/// What matters of a chunk's source for its name and its sealing.
pub(super) struct Origin {
    pub(super) naming: SourceNaming,
    pub(super) packing: Packing,
}

/// What a chunk was read from.
pub(super) enum Read<'p> {
    /// All chunks were read before.
    Nothing,
    /// This source.
    Chunk(&'p Origin),
}

enum From {
    File(File),
    Bytes(Zeroizing<Vec<u8>>),
}

impl Plan {
    pub(super) fn of(keys: &Keys, mut sources: Vec<Source>) -> Result<Self, SnapshotError> {
        check_names(sources.iter().map(|source| &source.name))?;
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let mut plan = Self { sources: Vec::with_capacity(sources.len()), tasks: Vec::new() };
        for Source { name, content, packing } in sources {
            let origin = Origin { naming: keys.naming(&name), packing };
            plan.add(name.clone(), content, origin).map_err(|e| SnapshotError::Read(name, e))?;
            if plan.tasks.len() > READ_MAX {
                return Err(SnapshotError::TooLarge);
            }
        }
        Ok(plan)
    }

    fn add(&mut self, name: SourceName, content: Content, origin: Origin) -> io::Result<()> {
        let index = self.sources.len();
        let (bytes, from) = match content {
            Content::Bytes(bytes) => {
                let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                self.tasks.extend((0..chunks_of(len)).map(|chunk| (index, chunk)));
                (len, From::Bytes(bytes))
            }
            Content::File(path) => {
                let file = File::open(path)?;
                let metadata = file.metadata()?;
                if !metadata.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
                }
                let mut next = 0;
                for extent in extents(&file, metadata.len())? {
                    let first = (extent.start / chunk_bytes()).max(next);
                    next = chunks_of(extent.end);
                    self.tasks.extend((first..next).take(READ_MAX + 1).map(|chunk| (index, chunk)));
                }
                (metadata.len(), From::File(file))
            }
        };
        self.sources.push(Opened { name, bytes, from, origin });
        Ok(())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sources.iter().fold(0, |sum, source| sum.saturating_add(source.bytes))
    }

    /// How many chunks there are to read.
    pub(super) const fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Reads the chunk of a task into `plain`.
    pub(super) fn read(&self, task: usize, plain: &mut Vec<u8>) -> Result<Read<'_>, SnapshotError> {
        let Some((source, chunk)) =
            self.tasks.get(task).and_then(|(source, chunk)| Some((self.sources.get(*source)?, *chunk)))
        else {
            return Ok(Read::Nothing);
        };
        plain.resize(plain_bytes(source.bytes, chunk), 0);
        let at = chunk.saturating_mul(chunk_bytes());
        let read = match &source.from {
            From::File(file) => file.read_exact_at(plain, at),
            From::Bytes(bytes) => {
                let start = usize::try_from(at).unwrap_or(usize::MAX);
                bytes
                    .get(start..start.saturating_add(plain.len()))
                    .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
                    .map(|from| plain.copy_from_slice(from))
            }
        };
        read.map(|()| Read::Chunk(&source.origin)).map_err(|e| SnapshotError::Read(source.name.clone(), e))
    }

    /// The manifest's entries, given the stored chunk of each task; one without is all zeros.
    pub(super) fn entries(&self, stored: &[Option<Chunk>]) -> Vec<SourceEntry> {
        let mut tasks = self.tasks.iter().zip(stored).peekable();
        let entries = self.sources.iter().enumerate().map(|(index, source)| {
            let mut runs = Runs::default();
            while let Some(((_, chunk), stored)) = tasks.next_if(|((at, _), _)| *at == index) {
                if let Some(stored) = stored {
                    runs.zeros_until(*chunk);
                    runs.push(*stored);
                }
            }
            runs.zeros_until(chunks_of(source.bytes));
            SourceEntry { name: source.name.clone(), bytes: source.bytes, runs: runs.runs }
        });
        entries.collect()
    }
}

#[derive(Default)]
struct Runs {
    runs: Vec<Run>,
    chunks: u64,
}

impl Runs {
    fn zeros_until(&mut self, chunk: u64) {
        // A source has at most a million chunks; the manifest checks that it adds up.
        if let Some(count) = u32::try_from(chunk.saturating_sub(self.chunks)).ok().filter(|count| *count > 0)
        {
            self.runs.push(Run::Zeros(count));
            self.chunks = chunk;
        }
    }

    fn push(&mut self, chunk: Chunk) {
        self.runs.push(Run::Chunk(chunk));
        self.chunks += 1;
    }
}
