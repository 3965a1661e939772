//! Opening the file, for writing and for reading.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::Migrations;

use crate::View;

/// How long SQLite waits for a lock. There is one writer, so only a backup or a person with the `sqlite3`
/// tool can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: all of the ledger's and an embedding program's, with room.
const STATEMENTS_CACHED: usize = 128;
/// Page cache of the writing connection, in KiB. Payments touch pages all over the indexes, because hashes
/// are random; SQLite's default of 2 MiB would read them again and again.
const WRITER_CACHE_KIB: i64 = 16 * 1024;
/// The write-ahead log is copied into the file when it has so many pages (2 MiB). Often enough to stay small
/// beside the books on the wallet's volume of 20 MB, seldom enough that pages which change all the time are
/// copied once for many commits. An embedding program that has more room sets more.
const WAL_PAGES: i64 = 512;
/// The log is cut back to this many bytes after that, so that one burst does not keep the disk.
const WAL_BYTES_KEPT: i64 = 2 * 1024 * 1024;

/// Why the books could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite cannot open or set up the file.
    #[error("cannot open the books at {path}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The schema cannot be brought up to date; the file may belong to a newer release.
    #[error("cannot bring the schema of {path} up to date; was it written by a newer release?")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: rusqlite_migration::Error,
    },
    /// The file system does not support the write-ahead log (it needs shared memory).
    #[error(
        "the books at {path} cannot use a write-ahead log (journal mode {mode:?}); use a local file system"
    )]
    NoWriteAheadLog {
        /// The file.
        path: PathBuf,
        /// The journal mode that SQLite fell back to.
        mode: String,
    },
}

/// Opens the writing connection and brings the schema up to date.
pub(crate) fn open_writer(path: &Path, migrations: &Migrations<'_>) -> Result<Connection, OpenError> {
    let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut connection = Connection::open(path).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(OpenError::NoWriteAheadLog { path: path.to_owned(), mode });
    }
    // FULL: a commit is on the disk before it is answered. NORMAL could lose the last ones in a power cut.
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    // A negative number means KiB.
    connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB).map_err(failed)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT).map_err(failed)?;
    migrations
        .to_latest(&mut connection)
        .map_err(|source| OpenError::Schema { path: path.to_owned(), source })?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // The deferred foreign key is what keeps unbalanced transactions out.
    connection.pragma_update(None, "foreign_keys", true)?;
    // Temporary data in memory: a container built from scratch has no directory for it.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// A connection that only reads. In write-ahead mode it never waits for the writer, nor the writer for it.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens books that a [`crate::Ledger`] has made.
    ///
    /// # Errors
    /// [`OpenError::Sqlite`] if the file is missing or cannot be read.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
        // Write permission is needed for the shared memory of the log; `query_only` refuses every write.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        prepare(&connection).map_err(failed)?;
        connection.pragma_update(None, "query_only", true).map_err(failed)?;
        Ok(Self { connection })
    }

    /// Runs `read` on one consistent snapshot: every query inside sees the same commits.
    ///
    /// # Errors
    /// Those of `read`, and SQLite's.
    pub fn snapshot<T, E: From<rusqlite::Error>>(
        &mut self,
        read: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.connection.transaction()?;
        let value = read(View::of(&transaction))?;
        transaction.finish()?;
        Ok(value)
    }
}
