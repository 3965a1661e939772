//! RPC: one effect for one command, whatever relays, clients and crashes do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::event::CheckedEvent;
use protocol::kinds::ENCLAVED_RPC;
use protocol::rpc::{Code, Failure};
use relay::request_log::{RequestKey, RequestLog};
use relay::rpc::{
    Caller, Effect, Envelope, Handler, Method, RateLimit, RpcClient, RpcError, RpcServer, ServerOptions,
};
use relay::{Pool, Subscription};
use serde_json::{Value, json};
use tokio::sync::Notify;
use units::{Clock, SystemClock, UnixSecs};

use crate::world::{SOON, TestRelay, connected, soon};

/// Counts what it does.
struct Counter {
    effects: Arc<AtomicU32>,
    stuck: Arc<Notify>,
}

impl Handler for Counter {
    fn method(&self, name: &str) -> Option<Method> {
        let method = |name, effect| Some(Method { name, effect });
        match name {
            "ping" => method("ping", Effect::None),
            "add" => method("add", Effect::Answers),
            "hang" => method("hang", Effect::Answers),
            "busy" => method("busy", Effect::Answers),
            "long" => method("long", Effect::Answers),
            "start" => method("start", Effect::Stands),
            _ => None,
        }
    }

    async fn handle(&self, _: Caller, _: RequestKey, method: &str, _: Value) -> Result<Value, Failure> {
        match method {
            "ping" => Ok(json!("pong")),
            "add" => Ok(json!(self.effects.fetch_add(1, Ordering::SeqCst) + 1)),
            "hang" => {
                self.effects.fetch_add(1, Ordering::SeqCst);
                self.stuck.notified().await;
                Ok(json!("done"))
            }
            "busy" => Err(Failure::new(Code::WalletUnavailable, "not now")),
            "long" => {
                self.effects.fetch_add(1, Ordering::SeqCst);
                Ok(json!("\u{1}".repeat(20_000)))
            }
            "start" => {
                self.effects.fetch_add(1, Ordering::SeqCst);
                Ok(json!("it starts"))
            }
            // Whatever is wrong with it besides.
            name if name.starts_with("odd") => Err(Failure::new(Code::ParamsInvalid, "not so")),
            _ => Err(Failure::new(Code::MethodUnknown, "no such method")),
        }
    }

    async fn answer_again(&self, _: Caller, _: RequestKey, method: &str, _: Value) -> Result<Value, Failure> {
        Ok(json!(format!("{method} was done")))
    }
}

pub(crate) struct Service {
    effects: Arc<AtomicU32>,
    stuck: Arc<Notify>,
    server: Arc<RpcServer<Counter>>,
    running: tokio::task::JoinHandle<()>,
    _pool: Pool,
}

impl Service {
    pub(crate) async fn start(keys: &Keys, dir: &Path, relay: &TestRelay) -> Self {
        Self::recovered(keys, dir, relay, None).await
    }

    async fn recovered(keys: &Keys, dir: &Path, relay: &TestRelay, recovered_at: Option<UnixSecs>) -> Self {
        Self::serve(keys, dir, &relay.url(), recovered_at).await
    }

    /// Answers at any relay.
    pub(crate) async fn at(keys: &Keys, dir: &Path, url: &str) -> Self {
        Self::serve(keys, dir, url, None).await
    }

    async fn serve(keys: &Keys, dir: &Path, url: &str, recovered_at: Option<UnixSecs>) -> Self {
        let pool = connected(&[url.to_owned()]).await;
        let (effects, stuck) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let handler = Counter { effects: Arc::clone(&effects), stuck: Arc::clone(&stuck) };
        let options = ServerOptions {
            keys: keys.clone(),
            kind: ENCLAVED_RPC,
            pool: pool.clone(),
            log: RequestLog::open(&dir.join("requests.db")).unwrap(),
            clock: Arc::new(SystemClock),
            rate: RateLimit { per_sec: 1, burst: 20 },
            recovered_at,
        };
        let server = RpcServer::new(options, handler);
        let requests = server.subscribe().await.unwrap();
        let running = tokio::spawn(Arc::clone(&server).run(requests));
        Self { effects, stuck, server, running, _pool: pool }
    }

    fn effects(&self) -> u32 {
        self.effects.load(Ordering::SeqCst)
    }

    async fn kill(self) {
        self.running.abort();
        assert!(self.running.await.unwrap_err().is_cancelled());
    }
}

async fn client(service: &Keys, relay: &TestRelay, keys: &Keys) -> RpcClient {
    let pool = connected(&[relay.url()]).await;
    RpcClient::new(pool, keys.clone(), service.public_key(), ENCLAVED_RPC, Arc::new(SystemClock))
        .await
        .unwrap()
}

/// Sends hand-made requests and reads the bare replies.
struct RawClient {
    envelope: Envelope,
    service: PublicKey,
    pool: Pool,
    replies: Subscription,
}

impl RawClient {
    async fn new(service: &Keys, relay: &TestRelay) -> Self {
        let keys = Keys::generate();
        let pool = connected(&[relay.url()]).await;
        let filter = nostr::filter::Filter::new().kind(ENCLAVED_RPC).pubkey(keys.public_key());
        let replies = pool.subscribe(filter).await.unwrap();
        Self { envelope: Envelope::new(keys), service: service.public_key(), pool, replies }
    }

    fn event(&self, text: &str, at: UnixSecs) -> CheckedEvent {
        self.envelope.seal(ENCLAVED_RPC, &self.service, text, at).unwrap()
    }

    async fn send(&self, event: &CheckedEvent) {
        assert!(self.pool.publish(event).await.is_published());
    }

    async fn reply(&mut self) -> Value {
        let event = soon("a reply", self.replies.next()).await.unwrap();
        serde_json::from_str(&self.envelope.open(&event).unwrap()).unwrap()
    }

    async fn silence(&mut self) {
        let reply = tokio::time::timeout(Duration::from_millis(300), self.replies.next()).await;
        assert!(reply.is_err(), "nothing should have been answered");
    }
}

fn now() -> UnixSecs {
    SystemClock.now()
}

#[tokio::test]
async fn ping_is_answered_as_the_reference_answers() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    raw.send(&raw.event(r#"{"id":"7","method":"ping","params":{}}"#, now())).await;
    assert_eq!(raw.reply().await, json!({"id": "7", "result": "pong"}));
}

#[tokio::test]
async fn command_repeated_with_its_id_has_one_effect_also_after_a_restart() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let caller = client(&keys, &relay, &Keys::generate()).await;
    for _ in 0..3 {
        let count: u32 = caller.call_as("same", "add", &json!({}), SOON).await.unwrap();
        assert_eq!(count, 1);
    }
    assert_eq!(service.effects(), 1);
    service.kill().await;
    let service = Service::start(&keys, dir.path(), &relay).await;
    let count: u32 = caller.call_as("same", "add", &json!({}), SOON).await.unwrap();
    assert_eq!((count, service.effects()), (1, 0));
    let other = caller.call_as::<u32>("same", "add", &json!({"x": 1}), SOON).await.unwrap_err();
    assert!(matches!(other, RpcError::Refused(refusal) if refusal.code == "id_reused"));
}

#[tokio::test]
async fn replayed_event_has_no_effect_and_no_answer() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    let event = raw.event(r#"{"id":"1","method":"add"}"#, now());
    raw.send(&event).await;
    assert_eq!(raw.reply().await["result"], 1);
    service.kill().await;
    let service = Service::start(&keys, dir.path(), &relay).await;
    // From a connection that the relay has not seen it on.
    connected(&[relay.url()]).await.publish(&event).await;
    raw.silence().await;
    assert_eq!(service.effects(), 0);
}

#[tokio::test]
async fn command_cut_short_by_a_crash_is_run_again() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    let text = r#"{"id":"1","method":"hang"}"#;
    raw.send(&raw.event(text, now())).await;
    soon("the handler to run", async {
        while service.effects() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A second event with the command, while it is under way, runs nothing.
    raw.send(&raw.event(text, now().minus_secs(1))).await;
    raw.silence().await;
    assert_eq!(service.effects(), 1);
    service.kill().await;
    let service = Service::start(&keys, dir.path(), &relay).await;
    service.stuck.notify_one();
    raw.send(&raw.event(text, now().minus_secs(2))).await;
    assert_eq!(raw.reply().await["result"], "done");
}

#[tokio::test]
async fn passing_failure_is_not_the_commands_answer() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    for back in [0, 1] {
        raw.send(&raw.event(r#"{"id":"1","method":"busy"}"#, now().minus_secs(back))).await;
        assert_eq!(raw.reply().await["code"], "wallet_unavailable");
    }
}

#[tokio::test]
async fn bad_requests_are_answered_with_their_code() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    let add = r#"{"id":"1","method":"add"}"#;
    for (text, at, code) in [
        ("not json", now(), "bad_request"),
        (r#"{"id":"1","method":"nonsense"}"#, now(), "method_unknown"),
        (add, now().plus_secs(700), "stale_request"),
    ] {
        raw.send(&raw.event(text, at)).await;
        assert_eq!(raw.reply().await["code"], code, "{text}");
    }
    // So old that our subscription does not even ask for it; a relay may send it all the same.
    raw.send(&raw.event(add, now().minus_secs(10_000))).await;
    raw.silence().await;
    assert_eq!(service.effects(), 0);
}

#[tokio::test]
async fn request_of_before_a_recovery_is_refused_and_has_no_effect() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let at = now();
    let service = Service::recovered(&keys, dir.path(), &relay, Some(at)).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    for (id, made, expected) in [(1, at.minus_secs(1), json!("stale_request")), (2, at, json!(null))] {
        raw.send(&raw.event(&format!(r#"{{"id":"{id}","method":"add"}}"#), made)).await;
        assert_eq!(raw.reply().await["code"], expected, "{id}");
    }
    assert_eq!(service.effects(), 1);
}

#[tokio::test]
async fn flood_of_one_key_is_refused_once_a_second_and_another_key_is_served() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::start(&keys, dir.path(), &relay).await;
    let mut flood = RawClient::new(&keys, &relay).await;
    let began = units::Stopwatch::start();
    for n in 0..60 {
        // What cannot be read counts, too.
        let text = if n % 2 == 0 { format!(r#"{{"id":"{n}","method":"ping"}}"#) } else { format!("no {n}") };
        flood.send(&flood.event(&text, now())).await;
    }
    let other = client(&keys, &relay, &Keys::generate()).await;
    assert_eq!(other.call::<String>("ping", &json!({}), SOON).await.unwrap(), "pong");
    let (mut answered, mut refused) = (0, 0);
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(500), flood.replies.next()).await {
        let text = flood.envelope.open(&event.unwrap()).unwrap();
        let reply: Value = serde_json::from_str(&text).unwrap();
        if reply["code"] == "rate_limited" { refused += 1 } else { answered += 1 }
    }
    // A request and a refusal more for each second that it took.
    let secs = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    assert!((20..=20 + 2 * secs).contains(&answered), "{answered} in {secs} s");
    assert!((1..=1 + secs).contains(&refused), "{refused} in {secs} s");
}

#[tokio::test]
async fn command_whose_answer_is_not_kept_is_known_again_and_has_one_effect() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let caller = client(&keys, &relay, &Keys::generate()).await;
    let params = json!({});
    let start = || caller.call_as::<String>("same", "start", &params, SOON);
    assert_eq!(start().await.unwrap(), "it starts");
    assert_eq!(start().await.unwrap(), "start was done");
    assert_eq!(service.effects(), 1);
    service.kill().await;
    let service = Service::start(&keys, dir.path(), &relay).await;
    assert_eq!((start().await.unwrap().as_str(), service.effects()), ("start was done", 0));
}

#[tokio::test]
async fn command_whose_answer_is_too_long_is_done_and_not_done_again() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let caller = client(&keys, &relay, &Keys::generate()).await;
    let refused = caller.call_as::<String>("same", "long", &json!({}), SOON).await.unwrap_err();
    assert!(matches!(refused, RpcError::Refused(refusal) if refusal.message.contains("too long")));
    let again = caller.call_as::<String>("same", "long", &json!({}), SOON).await.unwrap();
    assert_eq!((again.as_str(), service.effects()), ("long was done", 1));
}

#[tokio::test]
async fn nobody_answering_is_an_error_in_time() {
    let relay = TestRelay::start().await;
    let caller = client(&Keys::generate(), &relay, &Keys::generate()).await;
    let wait = Duration::from_millis(300);
    let error = caller.call::<Value>("ping", &json!({}), wait).await.unwrap_err();
    assert!(matches!(error, RpcError::NoAnswer(waited) if waited == wait));
}

#[tokio::test]
async fn draining_waits_for_what_is_under_way() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    raw.send(&raw.event(r#"{"id":"1","method":"hang"}"#, now())).await;
    soon("the handler to run", async {
        while service.effects() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(tokio::time::timeout(Duration::from_millis(100), service.server.drain()).await.is_err());
    service.stuck.notify_one();
    soon("the drain", service.server.drain()).await;
    assert_eq!(raw.reply().await["result"], "done");
}

/// A service calls others with its own key: their answers come to it like requests.
#[tokio::test]
async fn reply_of_another_service_is_not_answered() {
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::start(&keys, dir.path(), &relay).await;
    let mut raw = RawClient::new(&keys, &relay).await;
    for text in [r#"{"id":"1","result":"pong"}"#, r#"{"id":"","error":"no","code":"bad_request"}"#] {
        raw.send(&raw.event(text, now())).await;
        raw.silence().await;
    }
    raw.send(&raw.event(r#"{"id":"1","method":"ping"}"#, now())).await;
    assert_eq!(raw.reply().await["result"], "pong");
}
