//! The use cases in direct messages: people write commands, and get sentences and invoices.
//!
//! A message is acted on once, whichever wrap brings it and however often, before and after a restart:
//! its own id is put on record first. What was written too long ago is not acted on, because it may be
//! a replay of something that was forgotten.

mod conversation;
mod delivery;
mod incoming;
mod say;
mod speaker;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nostr::event::{EventId, Kind};
use protocol::event::CheckedEvent;
use protocol::kinds::EPHEMERAL_GIFT_WRAP;
use protocol::rpc::{Code, Failure};
use relay::dm::{Channel, Letter, Mailbox, WRAP_AGE_SECS_MAX};
use relay::request_log::{AGE_SECS_MAX, RequestKey, RequestLog, RequestLogError, Seen};
use relay::rpc::{RateLimit, RateLimiter};
use relay::{Pool, PoolError};
use tokio::sync::Semaphore;
use units::UnixSecs;

use crate::api::Api;
use crate::context::Context;
use crate::quota::Quota;
use crate::sparing::Sparing;
use conversation::Answer;
use incoming::{Incoming, Wanted};

pub(crate) use delivery::{Delivery, Weight};
pub use speaker::Speaker;

/// Messages under way at once; others wait in the subscription's queue.
const CONCURRENT_MAX: usize = 128;
/// How fast one key may write: people do not type faster, and what loops does.
const RATE: RateLimit = RateLimit { per_sec: 1, burst: 20 };
/// Answers to what is no command, for a key in a day and for all in an hour: two programs that do not
/// understand each other must not talk for ever.
const TALK_PER_KEY: u32 = 5;
const TALK_PER_HOUR: u32 = 200;
/// So long an answer is remembered by the log. What is older was answered, or comes too late to be.
const ANSWERED_SECS: u64 = 20 * 3_600;

/// Answers direct messages and mentions.
#[derive(Debug)]
pub struct MessageServer {
    api: Api,
    speaker: Arc<Speaker>,
    pool: Pool,
    log: Arc<RequestLog>,
    rate: Mutex<RateLimiter<nostr::key::PublicKey>>,
    talk: Mutex<Quota>,
    under_way: Mutex<HashSet<EventId>>,
    places: Arc<Semaphore>,
    faults: Sparing,
}

impl MessageServer {
    /// A server that is not yet listening.
    #[must_use]
    pub fn new(api: Api, speaker: Arc<Speaker>, pool: Pool, log: Arc<RequestLog>) -> Arc<Self> {
        Arc::new(Self {
            api,
            speaker,
            pool,
            log,
            rate: Mutex::new(RateLimiter::new(RATE)),
            talk: Mutex::new(Quota::new(TALK_PER_KEY, TALK_PER_HOUR)),
            under_way: Mutex::default(),
            places: Arc::new(Semaphore::new(CONCURRENT_MAX)),
            faults: Sparing::default(),
        })
    }

    fn ctx(&self) -> &Context {
        self.api.context()
    }

    fn mailbox(&self) -> &Mailbox {
        self.speaker.mailbox()
    }

    /// Subscribes to wraps, and to older messages and mentions.
    ///
    /// # Errors
    /// [`PoolError`].
    pub(crate) async fn subscribe(&self) -> Result<[Incoming; 2], PoolError> {
        let to = self.ctx().keys.public_key();
        // A wrap's own time lies anywhere in the last two days.
        let age_secs = WRAP_AGE_SECS_MAX + AGE_SECS_MAX;
        let wraps = Wanted { kinds: [Kind::GiftWrap, EPHEMERAL_GIFT_WRAP], to, age_secs };
        let others =
            Wanted { kinds: [Kind::EncryptedDirectMessage, Kind::TextNote], to, age_secs: AGE_SECS_MAX };
        let open =
            async |wanted| Incoming::open(self.pool.clone(), Arc::clone(&self.ctx().clock), wanted).await;
        Ok([open(wraps).await?, open(others).await?])
    }

    /// Answers until the subscriptions end or the future is dropped. Messages under way then go on to
    /// their end.
    pub(crate) async fn run(self: Arc<Self>, [mut wraps, mut others]: [Incoming; 2]) {
        loop {
            let event = tokio::select! {
                event = wraps.next() => event,
                event = others.next() => event,
            };
            let Some(event) = event else { return };
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let server = Arc::clone(&self);
            tokio::spawn(async move {
                server.take(&event).await;
                drop(place);
            });
        }
    }

    /// Waits until no message is under way, and our relays were sent every answer.
    pub async fn drain(&self) {
        let all = u32::try_from(CONCURRENT_MAX).unwrap_or(u32::MAX);
        drop(self.places.acquire_many(all).await);
        self.speaker.all_sent().await;
    }

    async fn take(&self, event: &CheckedEvent) {
        let letter = match self.mailbox().open(event) {
            Ok(letter) if letter.from != self.ctx().keys.public_key() => letter,
            Ok(_) => return,
            Err(e) => return tracing::debug!("a message was not opened: {e}"),
        };
        let channel = letter.channel;
        let Some(outcome) = self.answer(event, &letter).await else { return };
        let code = outcome.as_ref().map_or_else(|failure| failure.code.as_str(), |_| "ok");
        metrics::counter!("messages_total", "channel" => channel.name(), "code" => code).increment(1);
        let Answer { text, private, weight } = match outcome {
            Ok(answer) => answer,
            // In public nothing is said but quotes.
            Err(_) if channel == Channel::Public => return,
            Err(failure) => Answer::text(say::failure(&failure)),
        };
        self.speaker.answer(&letter, &text, weight);
        if let Some(private) = private {
            self.speaker.go_on(&letter, &private, Weight::Talk);
        }
    }

    /// What to answer, if anything.
    async fn answer(&self, event: &CheckedEvent, letter: &Letter) -> Option<Result<Answer, Failure>> {
        let now_ms = self.ctx().clock.now_ms();
        let now = UnixSecs(now_ms / 1_000);
        // What was written long ago was answered then, or nobody waits for it any more.
        let age_secs = now.0.abs_diff(letter.written_at.0);
        if age_secs > ANSWERED_SECS {
            return None;
        }
        // Relays tell of two days again, now and then: that uses up nobody's rate.
        if self.log.has_taken(&event.id) {
            return None;
        }
        let command = match letter.channel {
            Channel::Public => self.read_mention(letter)?,
            Channel::Wrapped(_) | Channel::Nip04 => protocol::dm::parse(&letter.text),
        };
        if !lock(&self.rate).allow(&letter.from, now_ms) {
            metrics::counter!("messages_total", "channel" => letter.channel.name(), "code" => "rate_limited")
                .increment(1);
            return None;
        }
        let _under_way = UnderWay::begin(&self.under_way, letter.id)?;
        // Beside the ids that clients of HTTP choose.
        let id = format!("dm:{}", letter.id.to_hex());
        let body = letter.id.to_bytes();
        let is_known = || self.api.has_paid(&letter.from);
        match self.log.begin(&event.id, &letter.from, &id, &body, now, is_known) {
            Ok(Seen::Never | Seen::Unanswered) => {}
            Ok(Seen::Answered(text)) => return Some(Ok(Answer::text(text))),
            Ok(Seen::SameEvent | Seen::OtherCommand | Seen::Done) => return None,
            Err(e) => {
                self.say_fault("a message could not be put on record", &e);
                return Some(Err(not_on_record(&e)));
            }
        }
        let outcome = if age_secs > AGE_SECS_MAX {
            // It may have been answered and forgotten: nobody is told that what was done was not.
            // Its author's clock may be ahead, as far as a message is taken.
            if letter.written_at.minus_secs(AGE_SECS_MAX) < self.log.forgot_before() {
                return None;
            }
            let message =
                format!("your message was written {age_secs} s off this server's clock; write it again");
            Err(Failure::new(Code::StaleRequest, message))
        } else if self.ctx().recovered.is_some_and(|recovered| letter.written_at < recovered.at) {
            // Whether it was acted on may have been forgotten.
            let message = "your message was written before this server came back from its backup; look at \
                           what became of it, and write it again";
            Err(Failure::new(Code::StaleRequest, message))
        } else {
            let key = RequestKey::new(&letter.from, &id, &body);
            self.converse(letter, key, command).await?
        };
        let text = match &outcome {
            Ok(answer) => answer.text.clone(),
            // It may pass when it is written again; so it is not the answer.
            Err(failure) if is_passing(failure.code) => return Some(outcome),
            Err(failure) => say::failure(failure),
        };
        if let Err(e) = self.log.finish(&letter.from, &id, &text) {
            self.say_fault("an answer could not be put on record", &e);
        }
        Some(outcome)
    }

    /// Strangers can make each message fail so; lines are not written at their pace.
    fn say_fault(&self, what: &str, e: &RequestLogError) {
        if let Some(times) = self.faults.due(self.ctx().clock.now_ms()) {
            tracing::error!(times, "{what}: {e}");
        }
    }
}

fn not_on_record(e: &RequestLogError) -> Failure {
    match e {
        RequestLogError::Full => Failure::new(
            Code::RateLimited,
            "this server was sent more than it can remember; nothing was done; write it again in some minutes",
        ),
        RequestLogError::Sqlite(_) | RequestLogError::Migration(_) => Failure::new(
            Code::Internal,
            "the message could not be put on record; nothing was done; write it again",
        ),
    }
}

const fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::WalletUnavailable | Code::ServerBusy | Code::PaymentPending | Code::NotHolding | Code::Internal
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks a message as under way, so that a second wrap with it is not answered at the same time.
struct UnderWay<'s>(&'s Mutex<HashSet<EventId>>, EventId);

impl<'s> UnderWay<'s> {
    fn begin(all: &'s Mutex<HashSet<EventId>>, id: EventId) -> Option<Self> {
        let is_new = lock(all).insert(id);
        is_new.then(|| Self(all, id))
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        lock(self.0).remove(&self.1);
    }
}
