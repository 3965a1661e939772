//! Reading connections.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ledger::{OpenError, Reader, View};

/// Reading connections: a query takes microseconds, so a few serve many callers.
const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    readers: Vec<Mutex<Reader>>,
    /// Where the next caller waits if all are busy.
    next: AtomicUsize,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let readers = (0..READERS).map(|_| Reader::open(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        Ok(Self { readers, next: AtomicUsize::new(0) })
    }

    pub(super) fn run<T, E: From<rusqlite::Error>>(
        &self,
        query: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        self.take().snapshot(query)
    }

    /// A connection that is free, or the next in turn.
    fn take(&self) -> MutexGuard<'_, Reader> {
        if let Some(free) = self.readers.iter().find_map(|reader| reader.try_lock().ok()) {
            return free;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        // A panic inside a query leaves the connection as it was: its transaction is rolled back.
        self.readers[turn].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
