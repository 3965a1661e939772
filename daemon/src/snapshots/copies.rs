//! Copies of everything that is to be in a snapshot, each taken at a moment at which it is consistent.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ::backup::Source;
use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};

use super::TakeError;
use crate::checkpoint::Step;
use crate::context::Context;
use crate::runtime::{VOLUMES_DIR, saved_file_name, volume_file_name};
use crate::store::{Container, Origin};

/// The databases, in the folder of data.
pub(crate) const STATE_DB: &str = "state.db";
/// The log of requests.
pub(crate) const REQUESTS_DB: &str = "requests.db";
/// The log of direct messages, and of requests over HTTP.
pub(crate) const MESSAGES_DB: &str = "messages.db";

/// Copies everything into the new folder `copies`, and names it as it is restored.
pub(super) async fn make(
    ctx: &Context,
    data_dir: &Path,
    copies: &Path,
    subject: &str,
) -> Result<Vec<Source>, TakeError> {
    remove(copies).map_err(TakeError::Copy)?;
    DirBuilder::new().mode(0o700).create(copies).map_err(TakeError::Copy)?;
    // What the databases say of an upgrade must be true of the volumes, which are copied later.
    let _still = ctx.stages.still().await;
    // Read first: a volume whose container the database does not know would never go away.
    let containers = kept(ctx)?;
    let mut sources = Vec::new();
    // The memory of commands first: one of which it does not know yet is recognised by what it did, but one
    // whose answer it has is not done again.
    for name in [REQUESTS_DB, MESSAGES_DB, STATE_DB] {
        let (from, to) = (data_dir.join(name), copies.join(name));
        copy_database(from, to.clone()).await?;
        // What strangers chose lies beside other strangers' secrets: no length may tell of it.
        sources.push(Source::file(name, to)?.at_full_length());
    }
    ctx.checkpoints.reach(Step::SnapshotDatabases, subject).await;
    for container in containers {
        let pubkey = container.pubkey();
        let upgrade = ctx.store.open_upgrade(&pubkey)?.map(|open| open.id);
        let name = volume_file_name(&pubkey);
        let saved = upgrade.map(|id| (id, saved_file_name(&pubkey, id)));
        let (to, saved_to) = (copies.join(&name), saved.as_ref().map(|(id, name)| (*id, copies.join(name))));
        let before_upgrade = saved_to.as_ref().map(|(id, to)| (*id, to.as_path()));
        let held = ctx.checkpoints.reach(Step::SnapshotFrozen, subject);
        let copied = ctx.runtime.copy_volume(&container, &to, before_upgrade, held).await?;
        let Some(copied) = copied else { continue };
        metrics::histogram!("snapshot_pause_seconds").record(copied.paused.as_secs_f64());
        let source = Source::file(format!("{VOLUMES_DIR}/{name}"), to)?;
        // The wallet keeps everybody's books; any other volume is one owner's.
        sources.push(if container.is_builtin() { source.at_full_length() } else { source });
        if let (true, Some((_, name)), Some((_, to))) = (copied.has_saved, saved, saved_to) {
            sources.push(Source::file(format!("{VOLUMES_DIR}/{name}"), to)?);
        }
    }
    Ok(sources)
}

/// The containers whose data is kept, the wallet first: what it does not know was not paid.
fn kept(ctx: &Context) -> Result<Vec<Container>, TakeError> {
    let mut kept: Vec<_> =
        ctx.store.containers()?.into_iter().filter(|container| container.slot.is_some()).collect();
    kept.sort_by_key(|container| match &container.origin {
        Origin::Builtin(name) if *name == ctx.config.wallet => 0,
        Origin::Builtin(_) => 1,
        Origin::Launched { .. } => 2,
    });
    Ok(kept)
}

/// Copies a database that is in use, by SQLite's own online backup.
async fn copy_database(from: PathBuf, to: PathBuf) -> Result<(), TakeError> {
    let copying = tokio::task::spawn_blocking(move || {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let from = Connection::open_with_flags(from, flags)?;
        let mut to = Connection::open(to)?;
        // All pages in one step: whoever writes meanwhile does not make it begin again.
        Backup::new(&from, &mut to)?.step(-1).map(drop)
    });
    copying.await.map_err(|_| TakeError::Task)?.map_err(TakeError::Database)
}

/// Removes a folder, if it is there.
pub(super) fn remove(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn database_in_use_is_copied_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from.db"), dir.path().join("to.db"));
        let writer = Connection::open(&from).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.execute_batch("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1), (2);").unwrap();
        // Uncommitted, and so not there.
        writer.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (3);").unwrap();
        copy_database(from, to.clone()).await.unwrap();
        writer.execute_batch("COMMIT").unwrap();
        let count = |connection: &Connection| -> u32 {
            connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count(&writer), count(&Connection::open(to).unwrap())), (3, 2));
        assert_eq!(
            std::fs::read_dir(dir.path())
                .unwrap()
                .filter(|e| { e.as_ref().unwrap().file_name().to_string_lossy().starts_with("to.db") })
                .count(),
            1,
            "nothing beside the copy"
        );
    }

    #[tokio::test]
    async fn database_that_is_missing_is_not_made_up() {
        let dir = tempfile::tempdir().unwrap();
        let copied = copy_database(dir.path().join("none.db"), dir.path().join("to.db")).await;
        assert!(matches!(copied, Err(TakeError::Database(_))));
    }
}
