//! The enclave's end of the backup channel.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::time::Duration;

use protocol::parent::backup::{
    BackupStore, FRAME_BYTES_MAX, GETS_AHEAD_MAX, Generation, Head, InstanceId, LIST_MAX, OBJECT_BYTES_MAX,
    ObjectId, PUTS_AHEAD_MAX, RefusalCode, Reply, Request, StoreError, VERSION, ids_bytes,
};
use tokio::io::{ReadHalf, WriteHalf};

use super::EXCHANGE_WAIT;
use super::raw::{ids, ids_payload, read_raw, write_raw};
use crate::frame::{FrameError, read_frame, write_frame};
use crate::{Stream, StreamAddress, connect};

/// Longest message of a refusal that is kept: the parent's words go to a log.
const MESSAGE_CHARS_MAX: usize = 200;

/// A stream to the parent's backup store, for one instance. One task uses it at a time.
pub struct BackupClient {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    /// What was sent and not yet answered, the oldest first.
    pending: VecDeque<Pending>,
    wait: Duration,
    /// The two ends no longer agree on what comes next.
    broken: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pending {
    Put,
    Get,
}

impl fmt::Debug for BackupClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupClient").field("pending", &self.pending.len()).finish_non_exhaustive()
    }
}

impl BackupClient {
    /// Connects, and says whose objects the rest is about.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connect(address: &StreamAddress, instance: InstanceId) -> Result<Self, StoreError> {
        Self::connect_with(address, instance, EXCHANGE_WAIT).await
    }

    /// As [`BackupClient::connect`], with another bound on how long one request may take.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn connect_with(
        address: &StreamAddress,
        instance: InstanceId,
        wait: Duration,
    ) -> Result<Self, StoreError> {
        let stream = connect(address).await.map_err(StoreError::Unreachable)?;
        let (reader, writer) = tokio::io::split(stream);
        let mut client = Self { reader, writer, pending: VecDeque::new(), wait, broken: false };
        client.send(Request::Open { version: VERSION, instance }, &[]).await?;
        let reply = client.receive("open").await?;
        if matches!(reply, Reply::Opened { .. }) { Ok(client) } else { Err(client.unexpected("open", reply)) }
    }

    /// What the parent says that it holds, the newest last. Nothing of it is believed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&mut self) -> Result<Vec<Generation>, StoreError> {
        let reply = self.exchange("list", Request::List {}, &[]).await?;
        if let Reply::Generations { generations } = reply {
            return if generations.len() <= LIST_MAX { Ok(generations) } else { Err(self.give_up("list")) };
        }
        Err(self.unexpected("list", reply))
    }

    /// Sends a request once everything before it is answered, and receives its answer.
    async fn exchange(
        &mut self,
        awaited: &'static str,
        request: Request,
        payload: &[u8],
    ) -> Result<Reply, StoreError> {
        self.settle(0).await?;
        self.send(request, payload).await?;
        self.receive(awaited).await
    }

    /// Receives answers to puts until at most `left` requests are unanswered.
    async fn settle(&mut self, left: usize) -> Result<(), StoreError> {
        while self.pending.len() > left && self.pending.front() == Some(&Pending::Put) {
            self.pending.pop_front();
            let reply = self.receive("put").await?;
            if !matches!(reply, Reply::Stored {}) {
                return Err(self.unexpected("put", reply));
            }
        }
        if self.pending.len() > left { Err(self.give_up("take")) } else { Ok(()) }
    }

    async fn send(&mut self, request: Request, payload: &[u8]) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Gone(io::ErrorKind::BrokenPipe.into()));
        }
        let writing = async {
            write_frame(&mut self.writer, &request, FRAME_BYTES_MAX).await?;
            write_raw(&mut self.writer, payload).await.map_err(FrameError::Io)
        };
        let written = tokio::time::timeout(self.wait, writing).await;
        self.in_time("progress", written)
    }

    async fn receive(&mut self, awaited: &'static str) -> Result<Reply, StoreError> {
        if self.broken {
            return Err(StoreError::Gone(io::ErrorKind::BrokenPipe.into()));
        }
        let reading = read_frame(&mut self.reader, FRAME_BYTES_MAX);
        let read = tokio::time::timeout(self.wait, reading).await;
        self.in_time(awaited, read)
    }

    async fn receive_raw(&mut self, awaited: &'static str, bytes: u32) -> Result<Vec<u8>, StoreError> {
        let read = tokio::time::timeout(self.wait, read_raw(&mut self.reader, bytes)).await;
        self.in_time(awaited, read.map(|read| read.map_err(FrameError::Io)))
    }

    fn in_time<T>(
        &mut self,
        awaited: &'static str,
        done: Result<Result<T, FrameError>, tokio::time::error::Elapsed>,
    ) -> Result<T, StoreError> {
        let error = match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(FrameError::Closed)) => StoreError::Gone(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(FrameError::Io(e))) => StoreError::Gone(e),
            Ok(Err(FrameError::TooLong { bytes, max })) => StoreError::TooLong {
                bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
                max: u64::try_from(max).unwrap_or(u64::MAX),
            },
            Ok(Err(FrameError::Malformed(_))) => StoreError::Malformed { awaited },
            Err(_) => StoreError::Stalled { awaited, secs: self.wait.as_secs() },
        };
        self.broken = true;
        Err(error)
    }

    /// A reply that is not the one asked for: a refusal, after which the stream goes on, or nonsense.
    fn unexpected(&mut self, awaited: &'static str, reply: Reply) -> StoreError {
        match reply {
            Reply::Refused { code, message } => {
                let message = message
                    .chars()
                    .take(MESSAGE_CHARS_MAX)
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect();
                StoreError::Refused { code, message }
            }
            Reply::Opened {}
            | Reply::Lacking { .. }
            | Reply::Stored {}
            | Reply::Committed {}
            | Reply::Confirmed { .. }
            | Reply::Object { .. }
            | Reply::Generations { .. } => self.give_up(awaited),
        }
    }

    fn give_up(&mut self, awaited: &'static str) -> StoreError {
        self.broken = true;
        StoreError::Malformed { awaited }
    }

    fn count(objects: &[ObjectId]) -> Result<u32, StoreError> {
        let too_large = |code| StoreError::Refused { code, message: "too many objects".into() };
        let count = u32::try_from(objects.len()).map_err(|_| too_large(RefusalCode::TooLarge))?;
        ids_bytes(count).map_err(too_large)?;
        Ok(count)
    }
}

impl BackupStore for BackupClient {
    async fn lacking(&mut self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, StoreError> {
        let count = Self::count(objects)?;
        let request = Request::Lacking { objects: count };
        let reply = self.exchange("lacking", request, &ids_payload(objects)).await?;
        let Reply::Lacking { objects: lacking } = reply else {
            return Err(self.unexpected("lacking", reply));
        };
        if lacking > count {
            self.broken = true;
            return Err(StoreError::TooLong { bytes: lacking.into(), max: count.into() });
        }
        Ok(ids(&self.receive_raw("ids", lacking * 32).await?))
    }

    async fn put(&mut self, object: ObjectId, sealed: &[u8]) -> Result<(), StoreError> {
        let bytes = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        if bytes > OBJECT_BYTES_MAX {
            return Err(StoreError::TooLong { bytes: bytes.into(), max: OBJECT_BYTES_MAX.into() });
        }
        self.settle(PUTS_AHEAD_MAX - 1).await?;
        self.send(Request::Put { object, bytes }, sealed).await?;
        self.pending.push_back(Pending::Put);
        Ok(())
    }

    async fn commit(&mut self, head: Head, objects: &[ObjectId]) -> Result<(), StoreError> {
        let request = Request::Commit { head, objects: Self::count(objects)? };
        let reply = self.exchange("commit", request, &ids_payload(objects)).await?;
        if matches!(reply, Reply::Committed { .. }) { Ok(()) } else { Err(self.unexpected("commit", reply)) }
    }

    async fn confirm(&mut self, head: Head) -> Result<(), StoreError> {
        let reply = self.exchange("confirm", Request::Confirm { head }, &[]).await?;
        if matches!(reply, Reply::Confirmed { .. }) { Ok(()) } else { Err(self.unexpected("confirm", reply)) }
    }

    async fn ask(&mut self, object: ObjectId) -> Result<(), StoreError> {
        if self.pending.len() >= GETS_AHEAD_MAX {
            self.settle(GETS_AHEAD_MAX - 1).await?;
        }
        self.send(Request::Get { object }, &[]).await?;
        self.pending.push_back(Pending::Get);
        Ok(())
    }

    async fn take(&mut self, bytes_max: u32) -> Result<Vec<u8>, StoreError> {
        let before = self.pending.iter().take_while(|pending| **pending == Pending::Put).count();
        self.settle(self.pending.len() - before).await?;
        if self.pending.pop_front().is_none() {
            return Err(self.give_up("take"));
        }
        let reply = self.receive("get").await?;
        let Reply::Object { bytes } = reply else {
            return Err(self.unexpected("get", reply));
        };
        if bytes > bytes_max {
            self.broken = true;
            return Err(StoreError::TooLong { bytes: bytes.into(), max: bytes_max.into() });
        }
        self.receive_raw("object", bytes).await
    }
}
