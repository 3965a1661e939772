//! A wallet on relays, and clients of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use guard::AddressGuard;
use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::nips::{nip04, nip44};
use nwc::app::App;
use nwc::config::Config;
use nwc::service::Wallet;
use nwc::transport::{Host, Parts, Transport};
use protocol::event::{CheckedEvent, sign, tag_value};
use protocol::kinds::{NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04, NWC_REPLY, NWC_REQUEST};
use protocol::nwc::*;
use protocol::tag;
use relay::{LocalRelayLimits, LocalRelayServer, Pool, Subscription};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use transport::GuestClient;
use units::{Clock, Msat, SystemClock};

/// Longest wait for anything on loopback.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// How long nothing must come where nothing may.
const QUIET: Duration = Duration::from_millis(400);

/// A relay with threads of its own, so that stopping it cuts every connection.
pub(super) struct TestRelay {
    pub(super) address: SocketAddr,
    threads: Option<Runtime>,
}

impl TestRelay {
    pub(super) fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    pub(super) fn start_at(address: SocketAddr) -> Self {
        let threads =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        threads.spawn(async move {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.set_reuseaddr(true).unwrap();
            socket.bind(address).unwrap();
            let listener = socket.listen(256).unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            LocalRelayServer::new(LocalRelayLimits::default()).listen(listener).await;
        });
        Self { address: told.recv().unwrap(), threads: Some(threads) }
    }

    pub(super) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            // On a thread of its own, because that waits; when it is done, the address is free.
            std::thread::spawn(move || threads.shutdown_timeout(SOON)).join().unwrap();
        }
    }
}

/// A wallet that serves, with its file and the faucet's owner.
pub(super) struct Served {
    pub(super) wallet: Arc<Wallet>,
    pub(super) keys: Keys,
    pub(super) rich: Keys,
    pub(super) relays: Vec<String>,
    dir: Arc<TempDir>,
    settings: Vec<(String, String)>,
    serving: tokio::task::JoinHandle<()>,
    app: Option<App>,
}

impl Served {
    pub(super) async fn start(relays: &[&TestRelay], settings: &[(&str, &str)]) -> Self {
        Self::start_on(relays.iter().map(|relay| relay.url()).collect(), settings).await
    }

    pub(super) async fn start_on(relays: Vec<String>, settings: &[(&str, &str)]) -> Self {
        let rich = Keys::generate();
        let mut all = vec![
            ("NWC_RELAYS".to_owned(), relays.join(",")),
            ("NWC_NETWORK".to_owned(), "regtest".to_owned()),
            ("NWC_BACKEND".to_owned(), "internal".to_owned()),
            ("NWC_FAUCET_PUBKEY".to_owned(), rich.public_key().to_hex()),
            ("NWC_FAUCET_MSAT".to_owned(), "1000000000".to_owned()),
            ("NWC_MIN_FIRST_MSAT".to_owned(), "1".to_owned()),
        ];
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        Self::open(Arc::new(TempDir::new().unwrap()), rich, relays, all).await
    }

    async fn open(
        dir: Arc<TempDir>,
        rich: Keys,
        relays: Vec<String>,
        settings: Vec<(String, String)>,
    ) -> Self {
        let data = ("NWC_DATA_DIR".to_owned(), dir.path().to_str().unwrap().to_owned());
        let variables = settings.iter().chain([&data]).map(|(name, value)| (name.into(), value.into()));
        let config = Config::from_variables(variables).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let app = App::open(&config, clock.now()).unwrap();
        let keys = Keys::new(SecretKey::from_slice(app.keys.service().as_slice()).unwrap());
        let wallet = Arc::clone(&app.wallet);
        let parts = Parts {
            wallet: Arc::clone(&wallet),
            keys: keys.clone(),
            relays: config.relays.clone(),
            host: config.host.as_ref().map(|host| Host {
                guest: GuestClient::new(host.endpoint.clone(), host.token.to_string()),
                internal_relay: host.internal_relay.to_string(),
            }),
            // Relays of zap requests are on loopback, too.
            guard: AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]),
            clock,
        };
        let transport = Transport::new(parts).await.unwrap();
        let serving = tokio::spawn(async move { transport.run().await.unwrap() });
        Self { wallet, keys, rich, relays, dir, settings, serving, app: Some(app) }
    }

    /// Ends it as a crash does, and starts another on the same files.
    pub(super) async fn restart(mut self) -> Self {
        self.serving.abort();
        drop((&mut self.serving).await);
        drop(self.app.take());
        let Self { wallet, rich, relays, dir, settings, .. } = self;
        // Requests under way hold the wallet a little longer.
        while Arc::strong_count(&wallet) > 1 {
            tokio::task::yield_now().await;
        }
        drop(wallet);
        Self::open(dir, rich, relays, settings).await
    }

    pub(super) fn service(&self) -> PublicKey {
        self.keys.public_key()
    }

    /// The file, read beside the wallet.
    pub(super) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.dir.path().join("wallet.db")).unwrap()
    }

    pub(super) async fn client(&self) -> Client {
        Client::new(&self.relays, Keys::generate(), self.service()).await
    }

    pub(super) async fn rich_client(&self) -> Client {
        Client::new(&self.relays, self.rich.clone(), self.service()).await
    }

    /// Moves money from the faucet to somebody.
    pub(super) async fn give(&self, to: &Client, msat: i64) {
        let mut rich = self.rich_client().await;
        let terms =
            MakeInvoiceFor { pubkey: to.key(), invoice: MakeInvoice::of(Msat::new(msat)), zap_request: None };
        let invoice = rich.call(&terms).await.unwrap().invoice.unwrap();
        rich.call(&PayInvoice::of(invoice)).await.unwrap();
    }

    pub(super) fn balance(&self, of: PublicKey) -> i64 {
        self.wallet.store().balance(ledger::Account::User(of.to_bytes())).unwrap().msat()
    }
}

/// How a client encrypts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Speaks {
    Nip44,
    Nip04,
}

/// A client of one service key.
pub(super) struct Client {
    pub(super) pool: Pool,
    pub(super) keys: Keys,
    pub(super) service: PublicKey,
    pub(super) speaks: Speaks,
    incoming: Subscription,
    /// What came before it was waited for.
    seen: Vec<CheckedEvent>,
}

impl Client {
    pub(super) async fn new(relays: &[String], keys: Keys, service: PublicKey) -> Self {
        let pool = Pool::connect(relays.to_vec()).await.unwrap();
        assert!(pool.wait_connected(SOON).await);
        let kinds = [NWC_REPLY, NWC_NOTIFICATION, NWC_NOTIFICATION_NIP04];
        let filter = Filter::new().kinds(kinds).author(service).pubkey(keys.public_key());
        let incoming = pool.subscribe(filter).await.unwrap();
        Self { pool, keys, service, speaks: Speaks::Nip44, incoming, seen: Vec::new() }
    }

    pub(super) fn key(&self) -> PublicKey {
        self.keys.public_key()
    }

    pub(super) fn event(&self, text: &str, more_tags: Vec<Vec<String>>) -> CheckedEvent {
        let (secret, to) = (self.keys.secret_key(), &self.service);
        let mut tags = vec![tag!["p", self.service.to_hex()]];
        let content = match self.speaks {
            Speaks::Nip44 => {
                tags.push(tag!["encryption", "nip44_v2"]);
                nip44::encrypt(secret, to, text, nip44::Version::V2).unwrap()
            }
            Speaks::Nip04 => nip04::encrypt(secret, to, text).unwrap(),
        };
        tags.extend(more_tags);
        sign(&self.keys, NWC_REQUEST, SystemClock.now(), tags, content).unwrap()
    }

    /// A request in an encryption that nobody knows.
    pub(super) fn unknown_encryption(&self) -> CheckedEvent {
        let tags = vec![
            tag!["p", self.service.to_hex()],
            tag!["encryption", "rot13"],
            tag!["nonce", Keys::generate().public_key().to_hex()],
        ];
        sign(&self.keys, NWC_REQUEST, SystemClock.now(), tags, "abc".to_owned()).unwrap()
    }

    /// How many replies come until nothing comes for a while.
    pub(super) async fn count_replies(&mut self) -> usize {
        let mut count = 0;
        while let Ok(Some(_)) = tokio::time::timeout(QUIET, self.incoming.next()).await {
            count += 1;
        }
        count
    }

    pub(super) async fn send(&self, event: &CheckedEvent) {
        let report = self.pool.publish(event).await;
        assert!(report.is_published(), "{report:?}");
    }

    /// Sends a request again and again until it is answered, as clients do: the wallet may just be
    /// starting to listen.
    pub(super) async fn ask_event(&mut self, event: &CheckedEvent) -> String {
        for _ in 0..20 {
            self.send(event).await;
            let answer = tokio::time::timeout(Duration::from_secs(2), self.reply_to(event.id)).await;
            if let Ok(text) = answer {
                return text;
            }
        }
        panic!("no answer")
    }

    pub(super) async fn ask(&mut self, text: &str) -> String {
        let event = self.event(text, Vec::new());
        self.ask_event(&event).await
    }

    pub(super) async fn call<C: Call>(&mut self, call: &C) -> Result<C::Reply, WalletError> {
        match C::parse_reply(&self.ask(&call.request_json()).await) {
            Ok(reply) => Ok(reply),
            Err(CallError::Wallet(error)) => Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }

    /// The text of the reply to this event, whose form is checked.
    pub(super) async fn reply_to(&mut self, id: EventId) -> String {
        let hex = id.to_hex();
        let is_it = |event: &CheckedEvent| event.kind == NWC_REPLY && tag_value(event, "e") == Some(&hex);
        let reply = self.find(is_it).await;
        assert_eq!(
            (reply.pubkey, tag_value(&reply, "p")),
            (self.service, Some(self.key().to_hex().as_str()))
        );
        self.open(self.speaks, &reply)
    }

    /// The next notification of this kind.
    pub(super) async fn notification(&mut self, kind: Kind) -> Notification {
        let speaks = if kind == NWC_NOTIFICATION { Speaks::Nip44 } else { Speaks::Nip04 };
        let event = self.find(|event| event.kind == kind).await;
        Notification::from_json(&self.open(speaks, &event)).unwrap()
    }

    async fn find(&mut self, is_it: impl Fn(&CheckedEvent) -> bool) -> CheckedEvent {
        let waiting = async {
            loop {
                if let Some(index) = self.seen.iter().position(&is_it) {
                    return self.seen.remove(index);
                }
                let event = self.incoming.next().await.unwrap();
                self.seen.push(event);
            }
        };
        tokio::time::timeout(SOON, waiting).await.expect("nothing came")
    }

    /// Nothing more comes.
    pub(super) async fn assert_quiet(&mut self) {
        assert_eq!(self.seen.iter().map(|event| event.kind).collect::<Vec<_>>(), []);
        let more = tokio::time::timeout(QUIET, self.incoming.next()).await;
        assert!(more.is_err(), "{:?}", more.unwrap().map(|event| event.kind));
    }

    fn open(&self, speaks: Speaks, event: &CheckedEvent) -> String {
        let secret = self.keys.secret_key();
        match speaks {
            Speaks::Nip44 => nip44::decrypt(secret, &event.pubkey, &event.content).unwrap(),
            Speaks::Nip04 => nip04::decrypt(secret, &event.pubkey, &event.content).unwrap(),
        }
    }
}

/// The newest event of this kind and author that one relay has, once it has one.
pub(super) async fn stored(url: &str, kind: Kind, author: PublicKey) -> CheckedEvent {
    let pool = Pool::connect([url.to_owned()]).await.unwrap();
    assert!(pool.wait_connected(SOON).await);
    let looking = async {
        loop {
            let found =
                pool.fetch(Filter::new().kind(kind).author(author), Duration::from_secs(2)).await.unwrap();
            if let Some(event) = found.into_iter().next() {
                return event;
            }
        }
    };
    tokio::time::timeout(SOON, looking).await.expect("the relay has no such event")
}
