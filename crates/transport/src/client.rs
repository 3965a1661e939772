//! The enclave's end of the parent API.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::parent::backup::InstanceId;
use protocol::parent::{BackupHint, Call, FRAME_BYTES_MAX, IpAddress, Message, Meta, Outcome, Push, Request};
use serde::de::DeserializeOwned;
use thiserror::Error;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};

use crate::frame::{FrameError, read_frame, write_frame};
use crate::{Stream, StreamAddress, connect};

/// The parent answers from files and memory.
const ANSWER_WAIT: Duration = Duration::from_secs(10);
/// Calls under way: the daemon makes a handful, log lines may come in bursts.
const CALLS_MAX: usize = 64;
/// Pushes not yet taken; there is one kind, and it is sent once.
const PUSHES_MAX: usize = 8;

/// Why a call to the parent gave nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// The parent cannot be reached.
    #[error("the parent at {0} cannot be reached")]
    Connect(StreamAddress, #[source] io::Error),
    /// The connection is gone.
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

/// A connection to the parent. Cheap to clone; the connection ends with the last clone.
#[derive(Clone, Debug)]
pub struct ParentClient {
    calls: mpsc::Sender<Pending>,
}

struct Pending {
    call: Call,
    answer: oneshot::Sender<Outcome>,
}

impl ParentClient {
    /// Connects, and returns the stream of what the parent pushes.
    ///
    /// # Errors
    /// [`CallError::Connect`].
    pub async fn connect(address: &StreamAddress) -> Result<(Self, mpsc::Receiver<Push>), CallError> {
        let stream = connect(address).await.map_err(|e| CallError::Connect(address.clone(), e))?;
        let (calls, calls_rx) = mpsc::channel(CALLS_MAX);
        let (pushes, pushes_rx) = mpsc::channel(PUSHES_MAX);
        tokio::spawn(run(stream, calls_rx, pushes));
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

/// Owns the connection: sends calls, hands answers to whoever waits, until either end goes.
async fn run(stream: Stream, mut calls: mpsc::Receiver<Pending>, pushes: mpsc::Sender<Push>) {
    let (reader, mut writer) = tokio::io::split(stream);
    let (messages, mut messages_rx) = mpsc::channel(CALLS_MAX);
    let reading = tokio::spawn(read_messages(reader, messages));
    let ids = AtomicU64::new(1);
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            call = calls.recv() => {
                let Some(pending) = call else { break };
                waiting.retain(|_, answer: &mut oneshot::Sender<Outcome>| !answer.is_closed());
                let id = ids.fetch_add(1, Ordering::Relaxed);
                if send(&mut writer, id, pending.call).await.is_err() {
                    break;
                }
                waiting.insert(id, pending.answer);
            }
            message = messages_rx.recv() => match message {
                Some(Message::Reply { id, outcome }) => {
                    if let Some(answer) = waiting.remove(&id) {
                        // Nobody waits any more: that call timed out.
                        drop(answer.send(outcome));
                    }
                }
                Some(Message::Push { event }) => {
                    if pushes.try_send(event).is_err() {
                        tracing::warn!("the parent pushes faster than it is heard; a push was dropped");
                    }
                }
                None => break,
            }
        }
    }
    reading.abort();
}

async fn send(writer: &mut WriteHalf<Stream>, id: u64, call: Call) -> Result<(), FrameError> {
    write_frame(writer, &Request { id, call }, FRAME_BYTES_MAX).await
}

async fn read_messages(mut reader: ReadHalf<Stream>, messages: mpsc::Sender<Message>) {
    loop {
        match read_frame(&mut reader, FRAME_BYTES_MAX).await {
            Ok(message) => {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
            Err(FrameError::Malformed(e)) => {
                tracing::warn!("the parent sent a frame that is not understood: {e}")
            }
            Err(FrameError::Closed) => return,
            Err(e @ (FrameError::Io(_) | FrameError::TooLong { .. })) => {
                tracing::warn!("the connection to the parent broke: {e}");
                return;
            }
        }
    }
}
