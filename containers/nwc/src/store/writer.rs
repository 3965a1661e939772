//! The writer's thread: the only place that writes, committing together what waits together.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use ledger::{Batch, Ledger, LedgerTx};
use tokio::sync::watch;

use super::StoreError;

/// Changes that may wait. Callers block when it is full, which slows them to what the disk takes.
const QUEUE_MAX: usize = 1_024;
/// Changes in one commit: enough to share an `fsync`, few enough that none waits long for its answer.
const BATCH_MAX: usize = 256;

/// A moment at which a test can end the program.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Moment {
    /// A group of changes is about to be written.
    BeforeChange,
    /// All are written, nothing is on the disk.
    BeforeCommit,
    /// All is on the disk, nobody knows it.
    AfterCommit,
}

/// Ends the program at chosen moments, for tests: the writer stops as if the process had been killed
/// there, and answers nobody.
pub trait Interruption: fmt::Debug + Send + Sync {
    /// Whether this is the moment.
    fn ends(&self, moment: Moment) -> bool;
}

/// The handle of the writer's thread.
pub(super) struct Writer {
    /// Taken when dropped, which tells the thread to finish.
    queue: Option<SyncSender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    stopped: watch::Receiver<bool>,
}

/// A queued change whose result type the thread need not know.
trait Job: Send {
    /// Runs the change inside the open transaction.
    fn run(&mut self, batch: &mut Batch<'_>);
    /// Answers after the commit, or after it failed.
    fn answer(self: Box<Self>, outcome: Outcome);
}

/// What became of a group of changes.
#[derive(Clone, Copy)]
enum Outcome {
    /// On the disk.
    Committed,
    /// Not begun: the write lock could not be had.
    Locked,
    /// SQLite gave up the transaction because the file is full; nothing is on the disk.
    Full,
    /// Nobody knows until the file is opened again.
    InDoubt,
    /// A test ended the program.
    Ended,
}

struct Change<F, T, E> {
    change: Option<F>,
    result: Option<Result<T, E>>,
    reply: SyncSender<Result<T, E>>,
}

impl<F, T, E> Job for Change<F, T, E>
where
    F: FnOnce(&LedgerTx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<rusqlite::Error> + From<StoreError> + Send,
{
    fn run(&mut self, batch: &mut Batch<'_>) {
        if let Some(change) = self.change.take() {
            self.result = Some(batch.apply(change));
        }
    }

    fn answer(self: Box<Self>, outcome: Outcome) {
        let result = match (outcome, self.result) {
            (Outcome::Committed, Some(result)) => result,
            // A refusal stands whatever became of the others.
            (Outcome::InDoubt | Outcome::Full, Some(Err(error))) => Err(error),
            (Outcome::Full, _) => Err(StoreError::Full.into()),
            (Outcome::InDoubt, Some(Ok(_))) => Err(StoreError::InDoubt.into()),
            (Outcome::Ended, _) => Err(StoreError::Stopped.into()),
            (Outcome::Locked, _) | (_, None) => Err(StoreError::Locked.into()),
        };
        // The caller may have gone; the change is done all the same.
        let _gone = self.reply.send(result);
    }
}

impl Writer {
    pub(super) fn start(ledger: Ledger, interruption: Option<Arc<dyn Interruption>>) -> Self {
        let (queue, jobs) = sync_channel(QUEUE_MAX);
        let (flag, stopped) = watch::channel(false);
        let thread = thread::spawn(move || {
            // Raised when dropped, so also if a change panics.
            let _flag = StopFlag(flag);
            write_all(ledger, &jobs, interruption.as_deref());
        });
        Self { queue: Some(queue), thread: Some(thread), stopped }
    }

    pub(super) fn run<T, E, F>(&self, change: F) -> Result<T, E>
    where
        F: FnOnce(&LedgerTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<rusqlite::Error> + From<StoreError> + Send + 'static,
    {
        let (reply, answer) = sync_channel(1);
        let job = Change { change: Some(change), result: None, reply };
        let queue = self.queue.as_ref().ok_or(StoreError::Stopped)?;
        queue.send(Box::new(job)).map_err(|_| StoreError::Stopped)?;
        answer.recv().map_err(|_| StoreError::Stopped)?
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    pub(super) async fn stopped(&self) {
        // An error means that the sender is gone, which it is only after it raised the flag.
        let mut stopped = self.stopped.clone();
        drop(stopped.wait_for(|stopped| *stopped).await);
    }
}

struct StopFlag(watch::Sender<bool>);

impl Drop for StopFlag {
    fn drop(&mut self) {
        self.0.send_replace(true);
    }
}

/// Takes what waits, commits it, answers; until the queue is closed or a commit fails. After a failed
/// commit nobody knows what the file holds, so the thread goes no further.
fn write_all(mut ledger: Ledger, jobs: &Receiver<Box<dyn Job>>, interruption: Option<&dyn Interruption>) {
    while let Ok(first) = jobs.recv() {
        let mut group = vec![first];
        let outcome = write_group(&mut ledger, jobs, &mut group, interruption);
        for job in group {
            job.answer(outcome);
        }
        if matches!(outcome, Outcome::InDoubt | Outcome::Ended) {
            return;
        }
    }
}

fn write_group(
    ledger: &mut Ledger,
    jobs: &Receiver<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
    interruption: Option<&dyn Interruption>,
) -> Outcome {
    let ends = |moment| interruption.is_some_and(|interruption| interruption.ends(moment));
    if ends(Moment::BeforeChange) {
        return Outcome::Ended;
    }
    let mut batch = match ledger.batch() {
        Ok(batch) => batch,
        Err(error) => {
            tracing::warn!(%error, "another process holds the wallet's database");
            return Outcome::Locked;
        }
    };
    for job in group.iter_mut() {
        job.run(&mut batch);
    }
    while !batch.is_undone()
        && group.len() < BATCH_MAX
        && let Ok(mut job) = jobs.try_recv()
    {
        job.run(&mut batch);
        group.push(job);
    }
    if batch.is_undone() {
        tracing::error!(
            changes = group.len(),
            "the wallet's file is full; nothing of these changes was written"
        );
        return Outcome::Full;
    }
    if ends(Moment::BeforeCommit) {
        return Outcome::Ended;
    }
    match batch.commit() {
        Ok(()) if ends(Moment::AfterCommit) => Outcome::Ended,
        Ok(()) => Outcome::Committed,
        Err(error) => {
            tracing::error!(%error, changes = group.len(), "a commit failed; the wallet stops writing");
            Outcome::InDoubt
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread panicked");
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}
