//! One backup stream on the parent: requests are read ahead and carried out side by side, answers are
//! written in the order of the requests.

use std::sync::Arc;
use std::time::Duration;

use protocol::parent::backup::{
    FRAME_BYTES_MAX, GETS_AHEAD_MAX, OBJECT_BYTES_MAX, ObjectId, PUTS_AHEAD_MAX, RefusalCode, Reply, Request,
    VERSION,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::EXCHANGE_WAIT;
use super::raw::{ids, ids_payload, read_raw, write_raw};
use super::server::{BackupHost, BackupVault, Refusal};
use crate::Stream;
use crate::frame::{FrameError, read_frame, write_frame};

/// Memory for payloads of all streams, in KiB: eight of the largest objects.
pub(super) const BUDGET_KIB: usize = 64 * 1024;
/// How long a stream may say nothing: the enclave seals chunks, and waits for key stores.
const IDLE_WAIT: Duration = Duration::from_secs(600);

/// An answer to come, and what it holds until it is written.
enum Pending {
    Ready(Answer),
    /// Independent of its neighbours: puts and gets.
    Running(Option<ObjectId>, JoinHandle<Answer>, Held),
    /// Carried out once everything before it is answered.
    Later(Request, Vec<u8>, Held),
}

/// The memory of a request and its answer, and a `get`'s place among those of its stream.
struct Held {
    _memory: OwnedSemaphorePermit,
    _place: Option<OwnedSemaphorePermit>,
}

struct Answer {
    reply: Reply,
    payload: Vec<u8>,
}

impl Answer {
    fn bare(reply: Reply) -> Self {
        Self { reply, payload: Vec::new() }
    }

    fn of(result: Result<Reply, Refusal>) -> Self {
        Self::bare(result.unwrap_or_else(refused))
    }
}

fn refused(Refusal { code, message }: Refusal) -> Reply {
    Reply::Refused { code, message }
}

pub(super) async fn serve_connection<H: BackupHost>(stream: Stream, host: Arc<H>, budget: Arc<Semaphore>) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let vault = match open(&mut reader, &*host).await {
        Ok(vault) => vault,
        Err(refusal) => {
            tracing::warn!(code = %refusal.code, "a backup stream was refused: {}", refusal.message);
            let answer = Answer::bare(refused(refusal));
            drop(tokio::time::timeout(EXCHANGE_WAIT, write_answer(&mut writer, &answer)).await);
            return;
        }
    };
    let (pending, answers) = mpsc::channel(PUTS_AHEAD_MAX + GETS_AHEAD_MAX);
    let writing = tokio::spawn(write_answers(writer, Arc::clone(&vault), answers));
    drop(pending.send(Pending::Ready(Answer::bare(Reply::Opened {}))).await);
    let places = Arc::new(Semaphore::new(GETS_AHEAD_MAX));
    while let Some(next) = read_request(&mut reader, &vault, &budget, &places).await {
        let is_last = matches!(next, Pending::Ready(_));
        if pending.send(next).await.is_err() || is_last {
            break;
        }
    }
    drop(pending);
    // What was put is settled, and forgotten if no generation names it.
    drop(writing.await);
}

async fn open<H: BackupHost>(reader: &mut ReadHalf<Stream>, host: &H) -> Result<Arc<H::Vault>, Refusal> {
    let read = tokio::time::timeout(EXCHANGE_WAIT, read_frame(reader, FRAME_BYTES_MAX)).await;
    match read {
        Ok(Ok(Request::Open { version: VERSION, instance })) => host.open(instance).await,
        Ok(_) => Err(Refusal::new(
            RefusalCode::BadRequest,
            format!("say open with version {VERSION} first; update the older end"),
        )),
        Err(_) => Err(Refusal::new(RefusalCode::BadRequest, "nothing was said in time")),
    }
}

/// The next request, under way; none when the stream has ended. After a `Ready` the stream cannot go on.
async fn read_request<V: BackupVault>(
    reader: &mut ReadHalf<Stream>,
    vault: &Arc<V>,
    budget: &Arc<Semaphore>,
    places: &Arc<Semaphore>,
) -> Option<Pending> {
    let refuse =
        |code, message: &str| Some(Pending::Ready(Answer::bare(refused(Refusal::new(code, message)))));
    let request: Request = match tokio::time::timeout(IDLE_WAIT, read_frame(reader, FRAME_BYTES_MAX)).await {
        Ok(Ok(request)) => request,
        Ok(Err(FrameError::Closed)) => return None,
        Ok(Err(FrameError::Io(e))) => {
            tracing::warn!("a backup stream broke: {e}");
            return None;
        }
        Ok(Err(e @ (FrameError::TooLong { .. } | FrameError::Malformed(_)))) => {
            tracing::warn!("a backup stream is given up: {e}");
            return refuse(RefusalCode::BadRequest, "the request is not understood");
        }
        Err(_) => {
            tracing::warn!("a backup stream said nothing for {} s", IDLE_WAIT.as_secs());
            return None;
        }
    };
    let Ok(bytes) = request.payload_bytes() else {
        return refuse(RefusalCode::TooLarge, "the request announces more than is taken");
    };
    let place = if matches!(request, Request::Get { .. }) {
        Some(Arc::clone(places).acquire_owned().await.ok()?)
    } else {
        None
    };
    let memory =
        Arc::clone(budget).acquire_many_owned(needed_bytes(&request, bytes).div_ceil(1024)).await.ok()?;
    let held = Held { _memory: memory, _place: place };
    let payload = match tokio::time::timeout(EXCHANGE_WAIT, read_raw(reader, bytes)).await {
        Ok(Ok(payload)) => payload,
        Ok(Err(e)) => {
            tracing::warn!("a backup stream broke: {e}");
            return None;
        }
        Err(_) => {
            tracing::warn!("a backup stream stalled within a request");
            return None;
        }
    };
    let vault = Arc::clone(vault);
    Some(match request {
        Request::Put { object, .. } => {
            let putting = tokio::spawn(async move {
                Answer::of(vault.put(object, payload).await.map(|()| Reply::Stored {}))
            });
            Pending::Running(Some(object), putting, held)
        }
        Request::Get { object } => {
            let getting = tokio::spawn(async move {
                match vault.get(object).await {
                    Ok(payload) => {
                        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
                        Answer { reply: Reply::Object { bytes }, payload }
                    }
                    Err(refusal) => Answer::bare(refused(refusal)),
                }
            });
            Pending::Running(None, getting, held)
        }
        Request::Open { .. }
        | Request::Lacking { .. }
        | Request::Commit { .. }
        | Request::Confirm { .. }
        | Request::List {} => Pending::Later(request, payload, held),
    })
}

/// The memory of a request with a payload of `bytes` bytes, and of its answer.
fn needed_bytes(request: &Request, bytes: u32) -> u32 {
    match request {
        // How long it is, is known once it was read.
        Request::Get { .. } => OBJECT_BYTES_MAX,
        // All of them may be lacking.
        Request::Lacking { .. } => bytes.saturating_mul(2),
        Request::Open { .. }
        | Request::Put { .. }
        | Request::Commit { .. }
        | Request::Confirm { .. }
        | Request::List {} => bytes,
    }
}

/// Answers in order until the stream or the requests end; then lets go of what was never committed.
async fn write_answers<V: BackupVault>(
    mut writer: WriteHalf<Stream>,
    vault: Arc<V>,
    mut answers: mpsc::Receiver<Pending>,
) {
    let mut uncommitted = Vec::new();
    while let Some(pending) = answers.recv().await {
        let (answer, held) = settle(pending, &*vault, &mut uncommitted).await;
        match tokio::time::timeout(EXCHANGE_WAIT, write_answer(&mut writer, &answer)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => {
                answers.close();
                break;
            }
        }
        drop((answer, held));
    }
    // Nobody hears these any more, but what they put has to be known.
    while let Some(pending) = answers.recv().await {
        if matches!(pending, Pending::Running(..)) {
            drop(settle(pending, &*vault, &mut uncommitted).await);
        }
    }
    vault.abandon(uncommitted).await;
}

async fn settle<V: BackupVault>(
    pending: Pending,
    vault: &V,
    uncommitted: &mut Vec<ObjectId>,
) -> (Answer, Option<Held>) {
    match pending {
        Pending::Ready(answer) => (answer, None),
        Pending::Running(object, running, held) => {
            let answer = running.await.unwrap_or_else(|e| {
                tracing::error!("a request of a backup stream failed: {e}");
                Answer::bare(refused(Refusal::new(RefusalCode::StoreFailed, "see the parent's log")))
            });
            if matches!(answer.reply, Reply::Stored {}) {
                uncommitted.extend(object);
            }
            (answer, Some(held))
        }
        Pending::Later(request, payload, held) => {
            let answer = carry_out(request, &payload, vault).await;
            if matches!(answer.reply, Reply::Committed {}) {
                uncommitted.clear();
            }
            (answer, Some(held))
        }
    }
}

async fn carry_out<V: BackupVault>(request: Request, payload: &[u8], vault: &V) -> Answer {
    match request {
        Request::Lacking { .. } => match vault.lacking(ids(payload)).await {
            Ok(lacking) => {
                let objects = u32::try_from(lacking.len()).unwrap_or(u32::MAX);
                Answer { reply: Reply::Lacking { objects }, payload: ids_payload(&lacking) }
            }
            Err(refusal) => Answer::bare(refused(refusal)),
        },
        Request::Commit { head, .. } => {
            Answer::of(vault.commit(head, ids(payload)).await.map(|()| Reply::Committed {}))
        }
        Request::Confirm { head } => {
            Answer::of(vault.confirm(head).await.map(|removed| Reply::Confirmed { removed }))
        }
        Request::List {} => {
            Answer::of(vault.list().await.map(|generations| Reply::Generations { generations }))
        }
        Request::Open { .. } | Request::Put { .. } | Request::Get { .. } => {
            Answer::bare(refused(Refusal::new(RefusalCode::BadRequest, "the stream is open already")))
        }
    }
}

async fn write_answer(writer: &mut WriteHalf<Stream>, answer: &Answer) -> Result<(), FrameError> {
    write_frame(writer, &answer.reply, FRAME_BYTES_MAX).await?;
    write_raw(writer, &answer.payload).await.map_err(FrameError::Io)
}
