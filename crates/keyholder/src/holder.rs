//! Holding a record.

mod dealing;
mod driver;
mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::nsm::Nsm;
use protocol::rpc::Refusal;
use protocol::rpc::keycrux::{Build, Identity, Input, Policy, SecretData};
use quorum::shamir::ShamirError;
use quorum::{Epoch, GroupId, Head, Lost, Size};
use relay::{Pool, PoolError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use units::{Clock, Stopwatch};

use crate::Trust;
use driver::Driver;

/// Commands that wait: their senders wait for their answers, and there are few of them.
const COMMANDS_MAX: usize = 8;

/// What a [`Keyholder`] needs.
#[derive(Clone, Debug)]
pub struct HolderOptions {
    /// The relays on which the key stores are.
    pub pool: Pool,
    /// The clock that requests are signed by. Leases run on the monotonic one.
    pub clock: Arc<dyn Clock>,
    /// Proves this build.
    pub nsm: Nsm,
    /// Which key stores count.
    pub trust: Arc<Trust>,
    /// How many there are, and how many must agree.
    pub size: Size,
    /// How long an acknowledged renewal lets the holder act.
    pub lease: Duration,
    /// What a successor waits on top of it: clocks do not run equally fast.
    pub margin: Duration,
    /// Which record.
    pub identity: Identity,
    /// The release signatures of this build.
    pub input: Input,
}

/// What was there when the record was acquired. The values are those of the quorum, and settled.
#[derive(Clone, Debug)]
pub struct Found {
    /// Our epoch.
    pub epoch: Epoch,
    /// The group that opened it.
    pub group: GroupId,
    /// The secret; none if nobody wrote the record in this group.
    pub secret: Option<SecretData>,
    /// Which builds may have it.
    pub policy: Option<Policy>,
    /// Which builds had it, oldest first.
    pub lineage: Vec<Build>,
    /// The newest acknowledged state.
    pub head: Option<Head>,
}

/// What to write into a record.
#[derive(Clone, Debug)]
pub struct NewBody {
    /// Which builds may have it.
    pub policy: Policy,
    /// This build, which becomes the last of the lineage.
    pub build: Build,
    /// The secret.
    pub secret: SecretData,
    /// If given, no key store holds the secret, but a share, of which so many make it whole. At least 2,
    /// and at most as many as must acknowledge a write.
    pub split: Option<u8>,
}

/// Why a record is lost.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum Loss {
    /// The protocol says so.
    #[error(transparent)]
    Protocol(#[from] Lost),
    /// Too many key stores refuse this build.
    #[error("the key stores refuse: {0}")]
    Refused(Refusal),
    /// The driver ended.
    #[error("the holder of the record was stopped")]
    Stopped,
}

/// Why a record could not be acquired.
#[derive(Debug, Error)]
pub enum AcquireError {
    /// The relays cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// No randomness.
    #[error("there is no randomness to open an epoch with")]
    Random,
    /// Not enough key stores answered in time, or not enough shares came together.
    #[error("no quorum of key stores within {} s: {problem}", waited.as_secs())]
    NoQuorum {
        /// How long was waited.
        waited: Duration,
        /// What was last in the way.
        problem: String,
    },
    /// Refused, or taken by another holder at the same time.
    #[error(transparent)]
    Lost(#[from] Loss),
}

impl AcquireError {
    /// The stable code with which the key stores refused, if they did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Lost(Loss::Refused(refusal)) => Some(refusal),
            Self::Lost(Loss::Protocol(_) | Loss::Stopped)
            | Self::Pool(_)
            | Self::Random
            | Self::NoQuorum { .. } => None,
        }
    }
}

/// Why something was not written.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum HoldError {
    /// The record is lost. What was being written may or may not be there.
    #[error(transparent)]
    Lost(#[from] Loss),
    /// The head does not follow the one before.
    #[error("generation {offered} does not follow {held}, the newest that was acknowledged")]
    NotNext {
        /// What was to be written.
        offered: u64,
        /// What is there.
        held: u64,
    },
    /// Too many key stores do not take it. What was there before counts, unless a next holder finds this with
    /// one that took it.
    #[error("the key stores refuse: {0}")]
    Refused(Refusal),
    /// The secret cannot be divided so.
    #[error(transparent)]
    Split(#[from] ShamirError),
}

/// How far a holder is.
#[derive(Clone, Debug)]
enum State {
    Acquiring,
    Holding,
    /// No key store has the record any more, and nobody else is known to have it: it is not lost as long as
    /// its holder lives, which may do nothing.
    Orphaned,
    Lost(Loss),
}

#[derive(Debug)]
enum Command {
    Advance(Head, oneshot::Sender<Result<(), HoldError>>),
    Write(Box<NewBody>, oneshot::Sender<Result<(), HoldError>>),
}

/// What the driver and the holder's user both see.
#[derive(Debug)]
struct Shared {
    since: Stopwatch,
    /// Until when its user may act, in milliseconds of `since`; 0 if not at all.
    until_ms: AtomicU64,
    problem: Mutex<String>,
}

impl Shared {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn set_problem(&self, problem: String) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// Holds one record until it is lost or dropped. Dropped, its lease runs out by itself.
#[derive(Debug)]
pub struct Keyholder {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    driving: JoinHandle<()>,
}

impl Drop for Keyholder {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

impl Keyholder {
    /// Acquires a record: opens an epoch, ends every other holder's, waits until the last of them has
    /// run out, and says what it found. Takes a lease's length at least; gives up after `wait`.
    ///
    /// # Errors
    /// [`AcquireError`].
    pub async fn acquire(options: HolderOptions, wait: Duration) -> Result<(Self, Found), AcquireError> {
        let shared = Arc::new(Shared {
            since: Stopwatch::start(),
            until_ms: AtomicU64::new(0),
            problem: Mutex::new("no key store of the group was found on the relays".into()),
        });
        let (commands, commands_rx) = mpsc::channel(COMMANDS_MAX);
        let (state_tx, state) = watch::channel(State::Acquiring);
        let (found_tx, found) = oneshot::channel();
        let driver = Driver::new(options, Arc::clone(&shared), commands_rx, state_tx, found_tx)?;
        let driving = tokio::spawn(driver.run());
        let holder = Self { shared, commands, state, driving };
        match tokio::time::timeout(wait, found).await {
            Ok(Ok(found)) => Ok((holder, found)),
            Ok(Err(_)) => Err(holder.loss().into()),
            Err(_) => {
                let problem = holder.shared.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Err(AcquireError::NoQuorum { waited: wait, problem })
            }
        }
    }

    /// True if whoever holds this may act for the record's owner now. Ask before each act, not once.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.shared.now_ms() < self.shared.until_ms.load(Ordering::SeqCst)
    }

    /// For how long it may still act if nothing renews the lease.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let until_ms = self.shared.until_ms.load(Ordering::SeqCst);
        Duration::from_millis(until_ms.saturating_sub(self.shared.now_ms()))
    }

    /// Moves the head, and returns once a quorum has acknowledged it.
    ///
    /// # Errors
    /// [`HoldError`].
    pub async fn advance(&self, head: Head) -> Result<(), HoldError> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Advance(head, done), answer).await
    }

    /// Replaces what the record holds, and returns once a quorum has acknowledged it.
    ///
    /// # Errors
    /// [`HoldError`].
    pub async fn write(&self, body: NewBody) -> Result<(), HoldError> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Write(Box::new(body), done), answer).await
    }

    /// True if the key stores that had the record are gone, and those in their place do not have it. Whoever
    /// holds this may never act again, and may be the only one that still knows what the record held.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        matches!(&*self.state.borrow(), State::Orphaned)
    }

    /// Waits until the record is lost, and says why. One that is orphaned is not.
    pub async fn lost(&self) -> Loss {
        let mut state = self.state.clone();
        let lost = state.wait_for(|state| matches!(state, State::Lost(_))).await;
        match lost.as_deref() {
            Ok(State::Lost(loss)) => loss.clone(),
            Ok(State::Acquiring | State::Holding | State::Orphaned) | Err(_) => Loss::Stopped,
        }
    }

    async fn command(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<(), HoldError>>,
    ) -> Result<(), HoldError> {
        if self.commands.send(command).await.is_err() {
            return Err(self.loss().into());
        }
        answer.await.unwrap_or_else(|_| Err(self.loss().into()))
    }

    fn loss(&self) -> Loss {
        match &*self.state.borrow() {
            State::Lost(loss) => loss.clone(),
            State::Acquiring | State::Holding | State::Orphaned => Loss::Stopped,
        }
    }
}
