//! The way to the parent, kept open: a parent that restarts is found again.

use std::collections::HashMap;
use std::time::Duration;

use protocol::parent::{Call, FRAME_BYTES_MAX, Message, Push, Request};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::{CALLS_MAX, Pending};
use crate::frame::{FrameError, read_frame, write_frame};
use crate::{Stream, StreamAddress, connect};

/// Wait before the parent is looked for again; it doubles each time that it was not there, up to the second.
/// A parent that an operator restarts, and ends a few seconds later, still finds us.
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(3);
/// How often the parent is asked something although nobody wants to know: it gives up a connection that says
/// nothing, and we one that does not answer.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// How long the parent may take to read one frame.
const WRITE_WAIT: Duration = Duration::from_secs(10);

/// How long is read what the parent wrote before it went.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// Owns the connection: sends calls, hands answers to whoever waits, and connects again when the parent has
/// gone; until nobody calls and nobody listens any more.
pub(super) async fn keep(
    address: StreamAddress,
    mut stream: Stream,
    mut calls: mpsc::Receiver<Pending>,
    pushes: mpsc::Sender<Push>,
) {
    let mut delay = AGAIN_AFTER_MIN;
    loop {
        let is_heard = converse(stream, &mut calls, &pushes).await;
        if is_unwanted(&calls, &pushes) {
            return;
        }
        tracing::warn!("the connection to the parent is gone; it is looked for until it is back");
        if is_heard {
            delay = AGAIN_AFTER_MIN;
        }
        stream = loop {
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(AGAIN_AFTER_MAX);
            if is_unwanted(&calls, &pushes) {
                return;
            }
            match connect(&address).await {
                Ok(stream) => break stream,
                Err(e) => tracing::debug!("the parent at {address} cannot be reached: {e}"),
            }
        };
        tracing::info!("the parent is back");
    }
}

fn is_unwanted(calls: &mpsc::Receiver<Pending>, pushes: &mpsc::Sender<Push>) -> bool {
    calls.is_closed() && pushes.is_closed()
}

/// Sends and receives until either end goes; true if the parent said anything.
async fn converse(stream: Stream, calls: &mut mpsc::Receiver<Pending>, pushes: &mpsc::Sender<Push>) -> bool {
    let (reader, mut writer) = tokio::io::split(stream);
    let (messages, mut messages_rx) = mpsc::channel(CALLS_MAX);
    let reading = tokio::spawn(read_messages(reader, messages));
    let mut keep_alive = tokio::time::interval(KEEP_ALIVE);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    keep_alive.reset();
    let (mut next_id, mut waiting) = (1, HashMap::new());
    let (mut is_heard, mut is_asked) = (false, false);
    loop {
        let sent = tokio::select! {
            call = calls.recv(), if !calls.is_closed() || !calls.is_empty() => match call {
                // Whoever asked has given up.
                Some(pending) if pending.answer.is_closed() => Ok(()),
                Some(pending) => {
                    waiting.retain(|_, answer: &mut oneshot::Sender<_>| !answer.is_closed());
                    waiting.insert(next_id, pending.answer);
                    next_id += 1;
                    send(&mut writer, next_id - 1, pending.call).await
                }
                None => Ok(()),
            },
            () = pushes.closed(), if calls.is_closed() && calls.is_empty() => break,
            _ = keep_alive.tick() => {
                if is_asked {
                    tracing::warn!("the parent does not answer");
                    break;
                }
                is_asked = true;
                next_id += 1;
                send(&mut writer, next_id - 1, Call::GetIp).await
            }
            message = messages_rx.recv() => {
                let Some(message) = message else { break };
                (is_heard, is_asked) = (true, false);
                take(message, &mut waiting, pushes);
                Ok(())
            }
        };
        if let Err(e) = sent {
            tracing::debug!("a call was not sent: {e}");
            let reading = async {
                while let Some(message) = messages_rx.recv().await {
                    is_heard = true;
                    take(message, &mut waiting, pushes);
                }
            };
            drop(tokio::time::timeout(LAST_WORDS_WAIT, reading).await);
            break;
        }
    }
    reading.abort();
    is_heard
}

fn take(
    message: Message,
    waiting: &mut HashMap<u64, oneshot::Sender<protocol::parent::Outcome>>,
    pushes: &mpsc::Sender<Push>,
) {
    match message {
        Message::Reply { id, outcome } => {
            if let Some(answer) = waiting.remove(&id) {
                // Nobody waits any more: that call timed out.
                drop(answer.send(outcome));
            }
        }
        Message::Push { event } => {
            if pushes.try_send(event).is_err() {
                tracing::warn!("the parent pushes faster than it is heard; a push was dropped");
            }
        }
    }
}

async fn send(writer: &mut WriteHalf<Stream>, id: u64, call: Call) -> Result<(), FrameError> {
    let request = Request { id, call };
    let writing = write_frame(writer, &request, FRAME_BYTES_MAX);
    match tokio::time::timeout(WRITE_WAIT, writing).await {
        // It was not written, and the connection is as good as before.
        Ok(Err(e @ (FrameError::TooLong { .. } | FrameError::Malformed(_)))) => {
            tracing::warn!("a call to the parent cannot be sent: {e}");
            Ok(())
        }
        Ok(done) => done,
        Err(_) => Err(FrameError::Io(std::io::ErrorKind::TimedOut.into())),
    }
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
