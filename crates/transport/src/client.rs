//! The enclave's end of the parent API.

mod link;

use std::io;
use std::time::Duration;

use protocol::parent::backup::InstanceId;
use protocol::parent::{BackupHint, Call, IpAddress, Meta, Outcome, Push};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::{StreamAddress, connect};

/// The parent answers from files and memory.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Calls under way: the daemon makes a handful, log lines may come in bursts.
const CALLS_MAX: usize = 64;
/// Pushes not yet taken; there is one kind, and each run of the parent sends it once.
const PUSHES_MAX: usize = 8;

/// Why a call to the parent gave nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// The parent cannot be reached.
    #[error("the parent at {0} cannot be reached")]
    Connect(StreamAddress, #[source] io::Error),
    /// The connection went before the answer came.
    #[error("the connection to the parent is gone")]
    Gone,
    /// No answer in time.
    #[error("the parent did not answer within {} s", ANSWER_WAIT.as_secs())]
    TimedOut,
    /// The parent said no.
    #[error("the parent refused: {0}")]
    Refused(String),
    /// The answer is not what was asked for.
    #[error("the parent's answer is not understood")]
    Malformed(#[source] serde_json::Error),
}

/// A connection to the parent, which is made again whenever the parent has gone. Cheap to clone; it ends with
/// the last clone and the receiver of pushes.
///
/// While the parent is away, calls wait for it as long as they wait for an answer.
#[derive(Clone, Debug)]
pub struct ParentClient {
    calls: mpsc::Sender<Pending>,
}

struct Pending {
    call: Call,
    answer: oneshot::Sender<Outcome>,
}

impl ParentClient {
    /// Connects, and returns the stream of what the parent pushes, now and after it was away.
    ///
    /// # Errors
    /// [`CallError::Connect`].
    pub async fn connect(address: &StreamAddress) -> Result<(Self, mpsc::Receiver<Push>), CallError> {
        let stream = connect(address).await.map_err(|e| CallError::Connect(address.clone(), e))?;
        let (calls, calls_rx) = mpsc::channel(CALLS_MAX);
        let (pushes, pushes_rx) = mpsc::channel(PUSHES_MAX);
        tokio::spawn(link::keep(address.clone(), stream, calls_rx, pushes));
        Ok((Self { calls }, pushes_rx))
    }

    /// The events that vouch for this build, for the raw document given as base64.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_meta(&self, attestation: String) -> Result<Meta, CallError> {
        self.call(Call::GetMeta { attestation }).await
    }

    /// The address at which the parent is reached from outside, as it says.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get_ip(&self) -> Result<IpAddress, CallError> {
        self.call(Call::GetIp).await
    }

    /// Whether the parent says that it holds backups of `instance`. Not to be believed either way.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn has_backup(&self, instance: InstanceId) -> Result<BackupHint, CallError> {
        self.call(Call::HasBackup { instance }).await
    }

    /// Writes a line to the operator's log.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn log(&self, message: String) -> Result<(), CallError> {
        self.call(Call::Log { message }).await
    }

    async fn call<T: DeserializeOwned>(&self, call: Call) -> Result<T, CallError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.calls.send(Pending { call, answer }).await.map_err(|_| CallError::Gone)?;
            answered.await.map_err(|_| CallError::Gone)
        };
        let outcome =
            tokio::time::timeout(ANSWER_WAIT, exchange).await.map_err(|_| CallError::TimedOut)??;
        match outcome {
            Outcome::Result(value) => serde_json::from_value(value).map_err(CallError::Malformed),
            Outcome::Error(message) => Err(CallError::Refused(message)),
        }
    }
}
