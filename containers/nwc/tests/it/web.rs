//! Lightning addresses over HTTP and receipts on relays: the real binary, real sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use nostr::event::{EventBuilder, FinalizeEvent, Kind, Tag};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use nostr::types::url::form_urlencoded::byte_serialize;
use protocol::event::{CheckedEvent, tag_value};
use protocol::nwc::{GetInfo, PayInvoice};
use relay::nwc::NwcClient;
use relay::{LocalRelayLimits, LocalRelayServer, Pool};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use units::SystemClock;

use crate::process::Running;

/// How long anything may take here; a receipt that is tried again waits five seconds.
const DEADLINE: Duration = Duration::from_secs(30);

/// A relay of this process, on this address of the loopback network.
async fn relay(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { LocalRelayServer::new(LocalRelayLimits::default()).listen(listener).await });
    address
}

/// An address where nobody listens yet. Another program could take it; on this network none does.
fn free_address() -> SocketAddr {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

struct Stage {
    dir: TempDir,
    web: SocketAddr,
    home: SocketAddr,
    payer: Keys,
    payee: PublicKey,
    /// Addresses that relays of zaps may have.
    let_through: String,
}

impl Stage {
    async fn new(let_through: &str) -> Self {
        Self {
            dir: TempDir::new().unwrap(),
            web: free_address(),
            home: relay("127.0.0.1:0").await,
            payer: Keys::generate(),
            payee: Keys::generate().public_key(),
            let_through: let_through.to_owned(),
        }
    }

    fn start(&self) -> Running {
        self.start_with(&[])
    }

    fn start_with(&self, more: &[(&str, &str)]) -> Running {
        let (web, home) = (self.web.to_string(), format!("ws://{}", self.home));
        let (site, faucet) = (format!("http://{web}"), self.payer.public_key().to_hex());
        let mut settings = vec![
            ("NWC_RELAYS", home.as_str()),
            ("NWC_LNURL_LISTEN", &web),
            ("NWC_LNURL_URL", &site),
            ("NWC_RELAY_ADDRESSES", &self.let_through),
            ("NWC_FAUCET_PUBKEY", &faucet),
            ("NWC_FAUCET_MSAT", "1000000"),
        ];
        settings.extend(more);
        let mut running = Running::start_with(self.dir.path(), &settings);
        running.wait_for("Lightning addresses are served");
        running
    }

    /// Asks over HTTP; the status and the answer.
    fn ask(&self, path: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.web).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.web).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.to_lowercase().contains("access-control-allow-origin: *"), "{head}");
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
    }

    fn local(&self) -> String {
        self.payee.to_bech32().unwrap()
    }

    /// A zap request for these relays, and its invoice.
    fn zap(&self, relays: &[String]) -> (String, String) {
        let relays = Tag::parse(std::iter::once("relays".to_owned()).chain(relays.iter().cloned())).unwrap();
        let tags = [Tag::parse(["p", &self.payee.to_hex()]).unwrap(), relays];
        let raw = EventBuilder::new(Kind::ZapRequest, "").tags(tags).finalize(&self.payer).unwrap().as_json();
        let encoded: String = byte_serialize(raw.as_bytes()).collect();
        let (_, offer) = self.ask(&format!("/.well-known/lnurlp/{}", self.local()));
        let callback = offer["callback"].as_str().unwrap().to_owned();
        let path = callback.strip_prefix(&format!("http://{}", self.web)).unwrap();
        let (status, made) = self.ask(&format!("{path}?amount=21000&nostr={encoded}"));
        assert_eq!(status, 200, "{made}");
        (raw, made["pr"].as_str().unwrap().to_owned())
    }

    async fn client(&self, running: &Running, keys: &Keys) -> NwcClient {
        let pool = Pool::connect([format!("ws://{}", self.home)]).await.unwrap();
        assert!(pool.wait_connected(DEADLINE).await);
        let service = PublicKey::from_hex(&running.service()).unwrap();
        NwcClient::for_one(pool, service, keys, Arc::new(SystemClock)).await.unwrap().0
    }

    async fn pay(&self, running: &Running, invoice: &str) {
        let client = self.client(running, &self.payer).await;
        client.call(&self.payer, &PayInvoice::of(invoice), DEADLINE).await.unwrap();
    }
}

/// The receipt of this payee's zap on a relay, waited for.
async fn receipt(relay: SocketAddr, payee: PublicKey) -> CheckedEvent {
    let pool = Pool::connect([format!("ws://{relay}")]).await.unwrap();
    let filter = Filter::new().kind(Kind::ZapReceipt).pubkey(payee);
    let mut events = pool.subscribe(filter).await.unwrap();
    tokio::time::timeout(DEADLINE, events.next()).await.expect("no receipt in time").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn zap_over_http_ends_in_a_receipt_on_every_relay_that_it_names() {
    let stage = Stage::new("127.0.0.1/32").await;
    let other = relay("127.0.0.1:0").await;
    let running = stage.start();
    let (raw, invoice) = stage.zap(&[format!("ws://{}", stage.home), format!("ws://{other}")]);
    stage.pay(&running, &invoice).await;
    let receipts = [receipt(stage.home, stage.payee).await, receipt(other, stage.payee).await];
    // The same event; each relay may be sent it by itself, with a signature of its own.
    assert_eq!(receipts[0].id, receipts[1].id);
    let [receipt, _] = receipts;
    // Signed by the key that was advertised, with the request word for word.
    assert_eq!(receipt.pubkey.to_hex(), running.service());
    let (_, offer) = stage.ask(&format!("/.well-known/lnurlp/{}", stage.local()));
    assert_eq!(offer["nostrPubkey"], running.service());
    assert_eq!(tag_value(&receipt, "description"), Some(raw.as_str()));
    assert_eq!(tag_value(&receipt, "bolt11"), Some(invoice.as_str()));
    assert_eq!(tag_value(&receipt, "P"), Some(stage.payer.public_key().to_hex().as_str()));
    assert!(receipt.content.is_empty());
    // The client is told its address.
    let client = stage.client(&running, &stage.payer).await;
    let info = client.call(&stage.payer, &GetInfo {}, DEADLINE).await.unwrap();
    let npub = stage.payer.public_key().to_bech32().unwrap();
    assert_eq!(info.lud16, Some(format!("{npub}@{}", stage.web)));
}

#[tokio::test(flavor = "multi_thread")]
async fn receipt_is_published_after_a_crash_to_a_relay_that_was_away() {
    let stage = Stage::new("127.0.0.1/32").await;
    let away = free_address();
    let running = stage.start();
    let (_, invoice) = stage.zap(&[format!("ws://{away}")]);
    // The payment does not wait for the relay.
    stage.pay(&running, &invoice).await;
    let paid_by = units::Clock::now(&SystemClock);
    running.kill();
    let back = relay(&away.to_string()).await;
    let running = stage.start();
    let receipt = receipt(back, stage.payee).await;
    assert!(receipt.created_at() <= paid_by, "created_at is the time of the payment");
    assert_eq!(receipt.pubkey.to_hex(), running.service());
}

#[tokio::test(flavor = "multi_thread")]
async fn private_relay_of_a_zap_is_never_connected_to() {
    // Only one address of the loopback network is let through.
    let stage = Stage::new("127.0.0.1/32").await;
    let private = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = private.local_addr().unwrap();
    let mut running = stage.start();
    let (_, invoice) = stage.zap(&[format!("ws://{address}"), format!("ws://{}", stage.home)]);
    stage.pay(&running, &invoice).await;
    // The other relay of the same zap has its receipt; the private one had not even a connection.
    receipt(stage.home, stage.payee).await;
    running.wait_for("`127.0.0.2` is at an address that is not public (loopback");
    drop(running);
    let connected = tokio::time::timeout(Duration::ZERO, private.accept()).await;
    assert!(connected.is_err(), "it was connected to");
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_said_as_lnurl_says_them() {
    let stage = Stage::new("127.0.0.1/32").await;
    let _running = stage.start();
    let local = stage.local();
    for (path, status, says) in [
        ("/.well-known/lnurlp/nobody".to_owned(), 404, "nobody of that name"),
        (format!("/lnurlp/{local}/callback"), 200, "amount is missing"),
        (format!("/lnurlp/{local}/callback?amount=1"), 200, "1000 to"),
        (format!("/lnurlp/{local}/callback?amount=1000&nostr=%7B%7D"), 200, "zap request"),
        (format!("/lnurlp/{local}/callback?amount=1000&comment={}", "x".repeat(40_000)), 414, "too long"),
        ("/lnurlp/verify/00/00".to_owned(), 404, "no such invoice"),
    ] {
        let (code, answer) = stage.ask(&path);
        assert_eq!((code, &answer["status"]), (status, &Value::from("ERROR")), "{path}");
        assert!(answer["reason"].as_str().unwrap().contains(says), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_more_than_is_configured_is_told_to_stop() {
    let stage = Stage::new("127.0.0.1/32").await;
    let asked = |running: Running| {
        let statuses: Vec<u16> = (0..12).map(|_| stage.ask("/.well-known/lnurlp/nobody").0).collect();
        drop(running);
        statuses
    };
    let statuses = asked(stage.start_with(&[("NWC_LNURL_RATE_PER_SEC", "1"), ("NWC_LNURL_RATE_BURST", "3")]));
    assert_eq!(statuses[..3], [404; 3]);
    assert!(statuses.contains(&429), "{statuses:?}");
    // As many as the default lets through.
    assert_eq!(asked(stage.start()), [404; 12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn profile_of_the_wallet_itself_names_an_address_that_can_be_paid() {
    let stage = Stage::new("127.0.0.1/32").await;
    let running = stage.start();
    let service = PublicKey::from_hex(&running.service()).unwrap();
    let pool = Pool::connect([format!("ws://{}", stage.home)]).await.unwrap();
    let mut profiles = pool.subscribe(Filter::new().kind(Kind::Metadata).author(service)).await.unwrap();
    let profile = tokio::time::timeout(DEADLINE, profiles.next()).await.expect("no profile").unwrap();
    let told: Value = serde_json::from_str(&profile.content).unwrap();
    let local = service.to_bech32().unwrap();
    assert_eq!(told["lud16"], format!("{local}@{}", stage.web));
    let (status, offer) = stage.ask(&format!("/.well-known/lnurlp/{local}"));
    assert_eq!((status, &offer["tag"]), (200, &Value::from("payRequest")), "{offer}");
    let callback = offer["callback"].as_str().unwrap().to_owned();
    let path = callback.strip_prefix(&format!("http://{}", stage.web)).unwrap();
    let (_, made) = stage.ask(&format!("{path}?amount=5000"));
    stage.pay(&running, made["pr"].as_str().unwrap()).await;
}
