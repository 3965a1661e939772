//! What is found on relays: a real one, served by this process.

use std::net::SocketAddr;
use std::time::Duration;

use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::event::CheckedEvent;
use protocol::nwc::ConnectionUri;
use relay::{LocalRelayLimits, LocalRelayServer, Pool};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use units::{Clock, Stopwatch, SystemClock};
use zeroize::Zeroizing;

use crate::stage::Stage;
use crate::support::{Run, keys};

/// The longest that anything on loopback may take.
const SOON: Duration = Duration::from_secs(10);
/// What silence is given, in seconds, and what a run that meets it may take in all.
const SILENCE: &str = "2";
const SILENCE_MAX: Duration = Duration::from_secs(6);

/// A relay, and a stage that uses it.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) url: String,
    pub(crate) pool: Pool,
}

impl World {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            LocalRelayServer::new(LocalRelayLimits::default()).listen(listener).await;
        });
        let pool = Pool::connect([url.clone()]).await.unwrap();
        assert!(pool.wait_connected(SOON).await);
        // Half a minute ago, so that what is shown in minutes does not change while the test runs.
        let stage = Stage { relays: vec![url.clone()], ..Stage::at(SystemClock.now().minus_secs(30)) };
        stage.home.write("key", stage.owner.secret_key().to_bech32().unwrap());
        Self { stage, url, pool }
    }

    pub(crate) async fn publish(&self, event: &CheckedEvent) {
        assert!(self.pool.publish(event).await.is_published());
    }

    pub(crate) async fn run(&self, line: &[&str]) -> Run {
        let line = line.iter().map(|word| (*word).to_owned()).collect();
        let relay = vec!["--relay".to_owned(), self.url.clone()];
        self.stage.home.run_async(&[line, relay, self.stage.trust()].concat()).await
    }

    /// The same without the stage's root, for what trusts none.
    pub(crate) async fn run_bare(&self, line: &[&str]) -> Run {
        self.stage.home.run_async(&[line, &["--relay", &self.url, "--json"]].concat()).await
    }

    /// What the relay holds.
    pub(crate) async fn fetch(&self, filter: Filter) -> Vec<CheckedEvent> {
        self.pool.fetch(filter, SOON).await.unwrap()
    }
}

fn npub(keys: &Keys) -> String {
    keys.public_key().to_bech32().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_listed_if_they_verify() {
    let world = World::start().await;
    let empty = world.run(&["instance", "ls"]).await.done();
    assert_eq!(empty, json!({"instances": [], "unverified": 0}));
    let stage = &world.stage;
    world.publish(&stage.announcement(|_| {})).await;
    let stranger = Stage::at(stage.now);
    world.publish(&stranger.announcement(|parts| parts.name = "\u{1b}[31mcheap".into())).await;

    let listed = world.run(&["instance", "ls"]).await.done();
    assert_eq!((listed["instances"].as_array().unwrap().len(), &listed["unverified"]), (1, &json!(1)));
    let row = &listed["instances"][0];
    assert_eq!(
        (&row["npub"], &row["verified"], &row["pinned"]),
        (&json!(npub(&stage.service)), &json!(true), &json!(false))
    );

    let maintainer = stage.maintainer(0);
    let all = world.run(&["instance", "ls", "--all", "--maintainer", &maintainer]).await.done();
    let rows = all["instances"].as_array().unwrap();
    assert_eq!((&rows[0]["pinned"], &rows[0]["verified"]), (&json!(true), &json!(true)));
    assert_eq!((&rows[1]["verified"], &rows[1]["code"]), (&json!(false), &json!("chain_untrusted")));
    assert_eq!(rows[1]["pubkey"], stranger.service.public_key().to_hex());
    assert!(rows[1].get("announced").is_none(), "what does not verify says nothing");

    let root = stage.home.path("root.der").display().to_string();
    let shown = stage
        .home
        .run_async(&["instance", "ls", "--all", "--relay", &world.url, "--trust-root", &root])
        .await;
    let lines: Vec<_> = shown.stdout.lines().collect();
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>()[..3], ["NPUB", "NAME", "ENV"]);
    for part in ["tests", "98/100", "5 sat/unit·h", "in 2 h 59 min", "NO", "verified"] {
        assert!(lines[1].contains(part), "{part}: {shown:?}");
    }
    assert!(lines[2].contains("UNVERIFIED: chain_untrusted"), "{shown:?}");
    assert!(shown.stdout.contains("Not pinned"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_announcement_counts() {
    let world = World::start().await;
    let mut older =
        Stage { relays: world.stage.relays.clone(), ..Stage::at(world.stage.now.minus_secs(100)) };
    world.publish(&older.announcement(|parts| parts.name = "old".into())).await;
    older.now = older.now.plus_secs(50);
    world.publish(&older.announcement(|parts| parts.name = "new".into())).await;
    let root = older.home.write("root.der", older.root.der());
    let line = ["instance", "ls", "--json", "--relay", &world.url, "--trust-root", &root];
    let listed = older.home.run_async(&line).await.done();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);
    assert_eq!(listed["instances"][0]["announced"]["name"], "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_is_shown_whole() {
    let world = World::start().await;
    let stage = &world.stage;
    let service = npub(&stage.service);
    world.run(&["instance", "inspect", &service]).await.refused("not_found", 1);
    world.publish(&stage.announcement(|_| {})).await;
    let value =
        world.run(&["instance", "inspect", &service, "--maintainer", &stage.maintainer(1)]).await.done();
    for name in
        ["ok", "npub", "pcrs", "builder", "launcher", "releasers", "announced", "age_secs", "attested_at"]
    {
        assert!(keys(&value).contains(&name), "{name}: {value}");
    }
    assert_eq!(value["announced"]["relays"], json!([world.url]));
    let wrong = ["instance", "inspect", &service, "--ref", "https://example.com/other"];
    world.run(&wrong).await.refused("ref_mismatch", 1);
    let shown = world.run(&[&wrong[..], &["--all"]].concat()).await.done();
    assert_eq!((&shown["ok"], &shown["verified"]), (&json!(false), &json!(false)));
    assert_eq!((&shown["code"], &shown["npub"]), (&json!("ref_mismatch"), &json!(service)));
    assert!(!keys(&shown).contains(&"announced"), "nothing unproved is told as if it were: {shown}");
    let good = ["instance", "inspect", &service, "--maintainer", &stage.maintainer(1), "--all"];
    assert_eq!(world.run(&good).await.done()["pcrs"], value["pcrs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn container_is_found_by_its_key() {
    let world = World::start().await;
    let stage = &world.stage;
    let (container, hex) = (npub(&stage.container), stage.container.public_key().to_hex());
    world.run(&["container", "verify", &container]).await.refused("not_found", 1);
    let certificate = stage.certificate(stage.now.plus_secs(600));
    world.publish(&stage.container_event(&certificate, &stage.image())).await;
    for named in [&container, &hex] {
        let value =
            world.run(&["container", "verify", named, "--maintainer", &stage.maintainer(0)]).await.done();
        assert_eq!((&value["container_pubkey"], &value["state"]), (&json!(hex), &json!("deployed")));
    }
    let stranger = npub(&Keys::generate());
    world
        .run(&["container", "verify", &container, "--maintainer", &stranger])
        .await
        .refused("release_missing", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn answer_is_pinned_by_the_announcement_on_the_relays() {
    let world = World::start().await;
    let stage = &world.stage;
    let answer = stage.home.write("answer.json", stage.answer("n", &stage.app_chain()).as_json());
    let maintainer = stage.maintainer(0);
    let line = ["container", "verify-answer", &answer, "--nonce", "n", "--maintainer", &maintainer];
    world.run(&line).await.refused("not_found", 1);
    world.publish(&stage.announcement(|_| {})).await;
    assert_eq!(world.run(&line).await.done()["pinned"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_refuses_what_is_not_proved() {
    let world = World::start().await;
    let stage = &world.stage;
    let (service, maintainer) = (npub(&stage.service), stage.maintainer(0));
    let deploy = |options: &[&str]| {
        let line =
            [&["deploy", "registry.example/app:1", "--key", "file:key", "--timeout", SILENCE], options]
                .concat();
        let line: Vec<String> = line.into_iter().map(ToOwned::to_owned).collect();
        let world = &world;
        async move { world.run(&line.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    deploy(&["--instance", &service, "--unpinned"]).await.refused("not_found", 1);
    world.publish(&stage.announcement(|_| {})).await;
    deploy(&["--instance", &service]).await.refused("unpinned", 1);
    deploy(&["--instance", &service, "--maintainer", &npub(&Keys::generate())])
        .await
        .refused("release_missing", 1);
    deploy(&["--maintainer", &maintainer, "--threshold", "3"]).await.refused("no_instance", 1);
    deploy(&["--maintainer", &maintainer, "--units", "50"]).await.refused("no_answer", 69);
}

#[tokio::test(flavor = "multi_thread")]
async fn deploy_passes_by_servers_without_room() {
    let world = World::start().await;
    let stage = &world.stage;
    world.publish(&stage.announcement(|parts| parts.open = false)).await;
    let maintainer = stage.maintainer(0);
    let line = ["deploy", "registry.example/app:1", "--key", "file:key", "--maintainer", &maintainer];
    let message = world.run(&line).await.refused("no_instance", 1);
    assert!(message.contains("of 1 servers on these relays 1 verify"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn server_cannot_send_us_into_our_own_network() {
    let mut world = World::start().await;
    // A host of ours that the server names as its relay, and that we did not name.
    let bait = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    bait.set_nonblocking(true).unwrap();
    world.stage.relays = vec![format!("ws://{}", bait.local_addr().unwrap())];
    world.publish(&world.stage.announcement(|_| {})).await;
    let service = npub(&world.stage.service);
    let maintainer = world.stage.maintainer(0);
    for line in [
        &["deploy", "registry.example/app:1", "--key", "file:key", "--maintainer", &maintainer][..],
        &["container", "ls", "--key", "file:key", "--instance", &service],
        &["wallet", "create", "--out", "new", "--unpinned"],
    ] {
        let run = world.run(&[line, &["--timeout", SILENCE]].concat()).await;
        run_silent(&run, "relays_unreachable");
    }
    assert_eq!(bait.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody came");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_in_time() {
    let world = World::start().await;
    let stage = &world.stage;
    world.publish(&stage.announcement(|_| {})).await;
    let service = npub(&stage.service);
    let container = npub(&stage.container);
    let silent = Zeroizing::new([7; 32]);
    let relay = nostr::types::RelayUrl::parse(&world.url).unwrap();
    let uri = ConnectionUri::new(stage.wallet.public_key(), vec![relay], silent, None).unwrap();
    stage.home.write("wallet", uri.reveal().as_bytes());
    let took = |line: Vec<&str>, code: &'static str| {
        let line: Vec<String> = line.into_iter().map(ToOwned::to_owned).collect();
        let world = &world;
        async move {
            let clock = Stopwatch::start();
            let line: Vec<_> = line.iter().map(String::as_str).chain(["--timeout", SILENCE]).collect();
            let run = world.run(&line).await;
            run_silent(&run, code);
            assert!(clock.elapsed() < SILENCE_MAX, "{line:?}: {:?}", clock.elapsed());
        }
    };
    took(vec!["container", "status", &container, "--instance", &service, "--key", "file:key"], "no_answer")
        .await;
    took(vec!["container", "ls", "--key", "file:key"], "no_answer").await;
    took(vec!["container", "topup", "5", &container, "--instance", &service], "no_answer").await;
    took(vec!["wallet", "balance", "--wallet", "file:wallet"], "wallet_no_answer").await;
    took(vec!["wallet", "create", "--unpinned", "--out", "new"], "wallet_no_answer").await;
    world.run(&["wallet", "create", "--out", "new"]).await.refused("unpinned", 1);
    assert!(!stage.home.path("new").exists(), "nothing is written for a wallet that does not answer");
}

/// Silence is 69. What took longer than two seconds may have been said on standard error.
#[track_caller]
fn run_silent(run: &Run, code: &str) {
    let value: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((value["error"]["code"].as_str(), run.code), (Some(code), 69), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_do_not_answer_are_69_in_time() {
    let stage = Stage::at(SystemClock.now());
    // Nobody listens; and somebody who accepts and says nothing.
    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("ws://{}", unused.local_addr().unwrap());
    drop(unused);
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("ws://{}", mute.local_addr().unwrap());
    for relay in [&closed, &silent] {
        let clock = Stopwatch::start();
        let line = ["instance", "ls", "--json", "--timeout", SILENCE, "--relay", relay];
        let run = stage.home.run_async(&line).await;
        run_silent(&run, "relays_unreachable");
        assert!(clock.elapsed() < SILENCE_MAX, "{:?}", clock.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_relay_beside_a_living_one_does_no_harm() {
    let world = World::start().await;
    world.publish(&world.stage.announcement(|_| {})).await;
    let line = ["instance", "ls", "--relay", "ws://127.0.0.1:1"];
    let listed = world.run(&line).await.done();
    assert_eq!(listed["instances"].as_array().unwrap().len(), 1);
}
