//! Signatures by a remote signer (NIP-46), a task of these tests over a real relay, in all its manners.

use std::time::Duration;

use nostr::event::{Event, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, sign};
use protocol::nec::builder;
use relay::rpc::Envelope;
use serde_json::{Value, json};
use units::{Clock, Stopwatch, SystemClock, UnixSecs};

use crate::relays::World;
use crate::stage::{INSTANCE_ID, REPO, other_pcr};
use crate::support::Run;

const SECRET: &str = "once+only";
/// What a signer that says nothing is given, and what such a run may take in all.
const SILENCE: &str = "2";
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// How a signer behaves once it is asked to sign.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Manner {
    Honest,
    AsksItsOwner,
    Refuses,
    SignsWithAnotherKey,
    SignsAnotherKind,
    SignsOtherContent,
    DropsATag,
    SignsALaterTime,
    Forges,
    Babbles,
    Empty,
    SaysNothing,
    EchoesTheSecret,
    GreetsOddly,
    NamesNoKey,
}

/// A remote signer, and the relay that it uses.
struct Bunker {
    world: World,
    signer: Keys,
    user: Keys,
}

impl Bunker {
    async fn start(manner: Manner) -> Self {
        let world = World::start().await;
        let bunker = Self { signer: Keys::generate(), user: Keys::generate(), world };
        let filter = Filter::new().kind(Kind::NostrConnect).pubkey(bunker.signer.public_key());
        let mut requests = bunker.world.pool.subscribe(filter).await.unwrap();
        let (pool, user) = (bunker.world.pool.clone(), bunker.user.clone());
        let envelope = Envelope::new(bunker.signer.clone());
        tokio::spawn(async move {
            let mut client = None;
            while let Some(request) = requests.next().await {
                let asked: Value = serde_json::from_str(&envelope.open(&request).unwrap()).unwrap();
                for reply in answers(&asked, &request, &mut client, &envelope, &user, manner) {
                    let text = reply.to_string();
                    let sealed = envelope.seal(Kind::NostrConnect, &request.pubkey, &text, SystemClock.now());
                    assert!(pool.publish(&sealed.unwrap()).await.is_published());
                }
            }
        });
        bunker
    }

    fn url(&self, secret: &str) -> String {
        let key = self.signer.public_key().to_hex();
        let secret = secret.replace('+', "%2B");
        format!("bunker://{key}?relay={}&secret={secret}", self.world.url)
    }

    /// Runs the program with the URL in its environment.
    async fn run_with(&self, url: &str, line: &[&str]) -> Run {
        let mut command = tokio::process::Command::from(self.world.stage.home.encli());
        command.args(line).args(["--json", "--key", "bunker:env:BUNKER"]).env("BUNKER", url);
        Run::from(command.output().await.unwrap())
    }

    async fn run(&self, line: &[&str]) -> Run {
        self.run_with(&self.url(SECRET), line).await
    }
}

/// What the signer says to a request.
fn answers(
    asked: &Value,
    request: &CheckedEvent,
    client: &mut Option<PublicKey>,
    envelope: &Envelope,
    user: &Keys,
    manner: Manner,
) -> Vec<Value> {
    let (id, params) = (&asked["id"], &asked["params"]);
    let known = *client == Some(request.pubkey);
    match asked["method"].as_str().unwrap() {
        "connect" => {
            assert_eq!(params[0], envelope.keys().public_key().to_hex());
            assert!(params[2].as_str().unwrap().starts_with("sign_event:"), "{asked}");
            // A secret is good once; whoever gave it is known from then on.
            if params[1] != SECRET || !(known || client.is_none()) {
                return vec![json!({"id": id, "result": "", "error": "invalid secret"})];
            }
            *client = Some(request.pubkey);
            let odd = [(Manner::EchoesTheSecret, SECRET), (Manner::GreetsOddly, "welcome")];
            let greeting = odd.iter().find(|(of, _)| *of == manner).map_or("ack", |(_, greeting)| greeting);
            vec![json!({"id": id, "result": greeting})]
        }
        "get_public_key" if manner == Manner::NamesNoKey => {
            vec![json!({"id": id, "result": "ff".repeat(32)})]
        }
        "get_public_key" if known => vec![json!({"id": id, "result": user.public_key().to_hex()})],
        "sign_event" if known => sign_event(id, params[0].as_str().unwrap(), user, manner),
        _ => vec![json!({"id": id, "result": null, "error": "who are you?"})],
    }
}

fn sign_event(id: &Value, unsigned: &str, user: &Keys, manner: Manner) -> Vec<Value> {
    let mut event: Value = serde_json::from_str(unsigned).unwrap();
    let mut key = user.clone();
    match manner {
        Manner::Honest
        | Manner::AsksItsOwner
        | Manner::Forges
        | Manner::EchoesTheSecret
        | Manner::GreetsOddly
        | Manner::NamesNoKey => {}
        Manner::Refuses => return vec![json!({"id": id, "error": "my owner said no to nsec1hunter2"})],
        Manner::Babbles => return vec![json!({"id": id, "result": "signed!"})],
        Manner::Empty => return vec![json!({"id": id})],
        Manner::SaysNothing => return Vec::new(),
        Manner::SignsWithAnotherKey => key = Keys::generate(),
        Manner::SignsAnotherKind => event["kind"] = json!(1),
        Manner::SignsOtherContent => event["content"] = json!("pay me"),
        Manner::DropsATag => drop(event["tags"].as_array_mut().unwrap().pop()),
        Manner::SignsALaterTime => event["created_at"] = json!(event["created_at"].as_u64().unwrap() + 1),
    }
    let mut signed = signed(&event, &key);
    if manner == Manner::Forges {
        signed.content.push('!');
    }
    let answer = json!({"id": id, "result": signed.as_json(), "error": null});
    let asks = json!({"id": id, "result": "auth_url", "error": "https://bunker.example/confirm"});
    // An answer to somebody else's request comes first.
    let stale = json!({"id": "0", "result": "ack"});
    if manner == Manner::AsksItsOwner { vec![stale, asks, answer] } else { vec![stale, answer] }
}

fn signed(event: &Value, key: &Keys) -> Event {
    let kind = Kind::Custom(event["kind"].as_u64().unwrap().try_into().unwrap());
    let at = UnixSecs(event["created_at"].as_u64().unwrap());
    let tags = serde_json::from_value(event["tags"].clone()).unwrap();
    sign(key, kind, at, tags, event["content"].as_str().unwrap().to_owned()).unwrap().into_event()
}

const MACHINE: [&str; 3] = ["instance", "sign", INSTANCE_ID];

#[track_caller]
fn event(run: &Run) -> CheckedEvent {
    run.done();
    CheckedEvent::parse(run.stdout.trim()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bunker_signs_whatever_people_sign() {
    let bunker = Bunker::start(Manner::Honest).await;
    let user = bunker.user.public_key();
    let machine = event(&bunker.run(&MACHINE).await);
    assert_eq!((machine.kind.as_u16(), machine.pubkey), (23_795, user));
    // The secret was good once, and still we are let in.
    let pcrs: Vec<_> = (0..3).map(|index| format!("{index}={}", other_pcr())).collect();
    let line = ["release", "sign", "--ref", REPO, "--version", "1.0.0"];
    let line = [&line[..], &["--pcr", &pcrs[0], "--pcr", &pcrs[1], "--pcr", &pcrs[2]]].concat();
    let release = event(&bunker.run(&line).await);
    assert_eq!((release.kind.as_u16(), release.pubkey), (63_794, user));
    // The certificate names the key that signs, not the one that talks.
    let home = &bunker.world.stage.home;
    let line = ["build", "sign", "--ref", REPO, "--version", "1.0.0", "--certificate", "cert.pem"];
    let mut command = tokio::process::Command::from(home.encli());
    command.args(line).args(["--json", "--key", "bunker:env:BUNKER", "--", "sh", "-c"]);
    command.arg("cat > /dev/null; test -z \"$BUNKER\"").env("BUNKER", bunker.url(SECRET));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let build = event(&Run::from(command.output().await.unwrap()));
    assert_eq!((build.kind.as_u16(), build.pubkey), (23_794, user));
    let pem = std::fs::read_to_string(home.path("cert.pem")).unwrap();
    builder::signing_certificate(&pem, &user, SystemClock.now()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_in_place_of_a_greeting_is_one() {
    let bunker = Bunker::start(Manner::EchoesTheSecret).await;
    assert_eq!(event(&bunker.run(&MACHINE).await).pubkey, bunker.user.public_key());
}

#[tokio::test(flavor = "multi_thread")]
async fn bunker_that_asks_its_owner_is_waited_for() {
    let bunker = Bunker::start(Manner::AsksItsOwner).await;
    let run = bunker.run(&MACHINE).await;
    assert_eq!(event(&run).pubkey, bunker.user.public_key());
    assert!(run.stderr.contains("https://bunker.example/confirm"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bunker_that_refuses_is_quoted_without_secrets() {
    let bunker = Bunker::start(Manner::Refuses).await;
    let message = bunker.run(&MACHINE).await.refused("bunker_refused", 1);
    assert!(message.contains("my owner said no") && !message.contains("hunter2"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_secret_is_refused_and_not_repeated() {
    let bunker = Bunker::start(Manner::Honest).await;
    for secret in ["hunter2", ""] {
        let run = bunker.run_with(&bunker.url(secret), &MACHINE).await;
        let message = run.refused("bunker_refused", 1);
        assert!(message.contains("invalid secret") && !message.contains("hunter2"), "{message}");
    }
    bunker.run(&MACHINE).await.done();
    // Nor does one that was refused spoil it for the one that was not.
    bunker.run_with(&bunker.url("hunter2"), &MACHINE).await.refused("bunker_refused", 1);
    bunker.run(&MACHINE).await.done();
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_that_was_signed_is_not_taken() {
    for (manner, part) in [
        (Manner::SignsWithAnotherKey, "it is signed by"),
        (Manner::SignsAnotherKind, "kind"),
        (Manner::SignsOtherContent, "content"),
        (Manner::DropsATag, "tags"),
        (Manner::SignsALaterTime, "time"),
        (Manner::Forges, "hash"),
        (Manner::Babbles, "not a Nostr event"),
        (Manner::Empty, "neither a result nor an error"),
        (Manner::GreetsOddly, "neither accepts nor refuses"),
        (Manner::NamesNoKey, "whose signatures"),
    ] {
        let bunker = Bunker::start(manner).await;
        let line = [&MACHINE[..], &["--out", "instance.json"]].concat();
        let message = bunker.run(&line).await.refused("bad_reply", 1);
        assert!(message.contains(part), "{manner:?}: {message}");
        assert!(!bunker.world.stage.home.path("instance.json").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bunker_that_says_nothing_is_69_in_time() {
    let bunker = Bunker::start(Manner::SaysNothing).await;
    let line = [&MACHINE[..], &["--timeout", SILENCE]].concat();
    let nobody = format!("bunker://{}?relay={}", Keys::generate().public_key().to_hex(), bunker.world.url);
    let nowhere = bunker.url(SECRET).replace(&bunker.world.url, "ws://127.0.0.1:1");
    for (url, code) in [
        (bunker.url(SECRET), "bunker_no_answer"),
        (nobody, "bunker_no_answer"),
        (nowhere, "relays_unreachable"),
    ] {
        let clock = Stopwatch::start();
        let run = bunker.run_with(&url, &line).await;
        let value: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!((value["error"]["code"].as_str(), run.code), (Some(code), 69), "{run:?}");
        assert!(clock.elapsed() < SILENCE_MAX, "{:?}", clock.elapsed());
        assert!(!run.stdout.contains(SECRET) && !run.stderr.contains(SECRET), "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn url_that_cannot_be_used_is_not_repeated() {
    let bunker = Bunker::start(Manner::Honest).await;
    for url in ["hunter2", "bunker://hunter2?relay=ws://x", "bunker://hunter2"] {
        let message = bunker.run_with(url, &MACHINE).await.refused("bunker_invalid", 64);
        assert!(!message.contains("hunter2"), "{message}");
    }
    let home = &bunker.world.stage.home;
    for key in ["bunker:env:NOT_THERE", "bunker:file:not-there"] {
        let line = [&MACHINE[..], &["--json", "--key", key]].concat();
        home.run_async(&line).await.refused("secret_unreadable", 64);
    }
    for key in [&bunker.url("hunter2"), "bunker:", "bunker:hunter2"] {
        let line = [&MACHINE[..], &["--json", "--key", key]].concat();
        let message = home.run_async(&line).await.refused("usage", 64);
        assert!(!message.contains("hunter2"), "{message}");
    }
    // Commands need a key at hand: what they say is encrypted with it.
    let line = ["container", "ls", "--relay", &bunker.world.url];
    bunker.run(&line).await.refused("bunker_unsupported", 1);
}
