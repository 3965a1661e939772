//! The thread that starts every process.

use std::io;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// Requests that may wait while one process starts; a start takes about a millisecond.
const QUEUE_MAX: usize = 16;

struct Job {
    command: Command,
    answer: SyncSender<io::Result<Child>>,
}

static SPAWNER: LazyLock<io::Result<SyncSender<Job>>> = LazyLock::new(|| {
    let (jobs, queue) = sync_channel::<Job>(QUEUE_MAX);
    thread::Builder::new().name("spawner".to_owned()).spawn(move || {
        for mut job in queue {
            // The asker may have given up; the child then ends as any child does whose handle is lost.
            drop(job.answer.send(job.command.spawn()));
        }
    })?;
    Ok(jobs)
});

/// Starts `command` from a thread that lives as long as this process.
///
/// `PR_SET_PDEATHSIG` fires at the end of the *thread* that started the child (prctl(2)), so a child
/// started by a runtime's worker thread would die with the worker and not with the process.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let jobs = SPAWNER.as_ref().map_err(|err| io::Error::new(err.kind(), err.to_string()))?;
    let (answer, result) = sync_channel(1);
    let gone = |_| io::Error::other("the spawner thread ended");
    jobs.send(Job { command, answer }).map_err(|_| io::Error::other("the spawner thread ended"))?;
    result.recv().map_err(gone)?
}
