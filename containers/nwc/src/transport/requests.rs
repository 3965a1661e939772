//! Requests: checked, decrypted, acted on once, answered in kind.

use std::sync::Arc;

use nostr::filter::Filter;
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, expiration, tags_named};
use protocol::kinds::{NWC_REPLY, NWC_REQUEST};
use protocol::nwc::{ErrorCode, Method, Request, Response, WalletError};
use protocol::tag;
use relay::Subscription;
use relay::request_log::{AGE_SECS_MAX, Seen};
use tokio::sync::Semaphore;

use super::cipher::Cipher;
use super::{Transport, TransportError};
use crate::service::{Answer, Handled};

/// Requests under way at once; each takes a thread while it waits for the disk.
const CONCURRENT_MAX: usize = 64;

/// Answers requests.
pub(super) struct Requests {
    transport: Arc<Transport>,
    places: Arc<Semaphore>,
}

impl Requests {
    /// Asks the relays for requests to us.
    pub(super) async fn subscribe(transport: &Transport) -> Result<Subscription, TransportError> {
        let since = transport.clock.now().minus_secs(AGE_SECS_MAX);
        let filter = Filter::new()
            .kind(NWC_REQUEST)
            .pubkey(transport.keys.public_key())
            .since(Timestamp::from_secs(since.0));
        Ok(transport.pool.subscribe(filter).await?)
    }

    pub(super) fn new(transport: Arc<Transport>) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(CONCURRENT_MAX));
        Arc::new(Self { transport, places })
    }

    /// Answers until the subscription ends.
    pub(super) async fn run(self: Arc<Self>, mut events: Subscription) {
        while let Some(event) = events.next().await {
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            let requests = Arc::clone(&self);
            tokio::spawn(async move {
                requests.answer(event).await;
                drop(place);
            });
        }
    }

    async fn answer(&self, event: CheckedEvent) {
        if !self.is_for_us_and_alive(&event) {
            return;
        }
        let Some(cipher) = Cipher::of(&event) else {
            return self.reply(&event, Cipher::Nip44, &Response::unsupported_encryption().to_json()).await;
        };
        let text = match cipher.decrypt(&self.transport.keys, &event) {
            Ok(text) => text,
            // Who cannot encrypt to us cannot read an answer either.
            Err(e) => return tracing::debug!("a request was not decrypted: {e}"),
        };
        match Request::from_json(&text) {
            Err(refused) => self.reply(&event, cipher, &Response::from(refused).to_json()).await,
            Ok(request) if is_read(&request) => self.act(&event, cipher, request, false).await,
            Ok(request) => self.act_once(&event, cipher, request).await,
        }
    }

    /// What has expired, or is too old to be remembered, is neither acted on nor answered.
    fn is_for_us_and_alive(&self, event: &CheckedEvent) -> bool {
        let us = self.transport.keys.public_key().to_hex();
        let now = self.transport.clock.now();
        let for_us = tags_named(event, "p").all(|tag| tag.get(1) == Some(&us));
        let alive = match expiration(event) {
            Ok(until) => until.is_none_or(|until| now <= until),
            Err(_) => false,
        };
        for_us && alive && now.0.abs_diff(event.created_at().0) <= AGE_SECS_MAX
    }

    async fn act_once(&self, event: &CheckedEvent, cipher: Cipher, request: Request) {
        let now = self.transport.clock.now();
        match self.transport.log.begin_event(&event.id, &event.pubkey, now) {
            Ok(Seen::Never | Seen::Unanswered) => {}
            Ok(Seen::Answered(answer)) => return self.reply(event, cipher, &answer).await,
            // One event is one command: neither can be.
            Ok(Seen::OtherCommand | Seen::SameEvent) => return,
            Err(e) => {
                tracing::error!("a request could not be put on record: {e}");
                let error = WalletError::new(ErrorCode::Internal, "nothing was done; try again");
                let refusal = Response::refused(&request.method(), error);
                return self.reply(event, cipher, &refusal.to_json()).await;
            }
        }
        self.act(event, cipher, request, true).await;
    }

    async fn act(&self, event: &CheckedEvent, cipher: Cipher, request: Request, on_record: bool) {
        let method = request.method();
        let Some(Handled { answer, notices }) = self.handle(event, request).await else {
            let error = WalletError::new(ErrorCode::Internal, "a fault of the wallet; ask again");
            return self.reply(event, cipher, &Response::refused(&method, error).to_json()).await;
        };
        let answering = async {
            match answer {
                Answer::Now(response) => {
                    let text = response.to_json();
                    if on_record
                        && let Err(e) = self.transport.log.finish(&event.pubkey, &event.id.to_hex(), &text)
                    {
                        tracing::error!("an answer could not be put on record: {e}");
                    }
                    self.reply(event, cipher, &text).await;
                }
                Answer::WhenSettled(hash) => {
                    tracing::info!(payment = %hash.to_hex(), "a payment is on its way; its answer comes when asked again");
                }
            }
        };
        let telling = async {
            for notice in notices {
                self.transport.notify(notice).await;
            }
        };
        // Side by side: a relay that is slow to say OK to the one must not hold up the other.
        tokio::join!(answering, telling);
    }

    /// The books block; the disk has its own threads.
    async fn handle(&self, event: &CheckedEvent, request: Request) -> Option<Handled> {
        let (wallet, caller) = (Arc::clone(&self.transport.wallet), event.pubkey);
        let now = self.transport.clock.now();
        tokio::task::spawn_blocking(move || wallet.handle(&caller, request, now)).await.ok()
    }

    async fn reply(&self, event: &CheckedEvent, cipher: Cipher, text: &str) {
        let tags = vec![tag!["e", event.id.to_hex()]];
        match self.transport.sealed(cipher, NWC_REPLY, &event.pubkey, text, tags) {
            Ok(reply) => self.transport.publish("reply", &reply).await,
            Err(e) => tracing::error!("a reply could not be made: {e}"),
        }
    }
}

/// Methods that change nothing may run twice.
fn is_read(request: &Request) -> bool {
    match request.method() {
        Method::GetInfo | Method::GetBalance | Method::LookupInvoice | Method::ListTransactions => true,
        Method::MakeInvoice | Method::PayInvoice | Method::MakeInvoiceFor | Method::AddPubkey => false,
        // Answered without doing anything.
        Method::Unknown(_) => true,
    }
}
