//! Key stores, as the program sees them: announced by the real builders, answering what a test says.

use std::sync::Arc;

use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::kinds::{GENESIS, KEYCRUX_RPC};
use protocol::nec::{Env, approval, genesis, release};
use protocol::rpc::keycrux::{CheckParams, Policy};
use protocol::rpc::{Code, Failure};
use relay::request_log::{RequestKey, RequestLog};
use relay::rpc::{Caller, Effect, Handler, Method, RateLimit, RpcServer, ServerOptions};
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use crate::relays::World;
use crate::stage::{INSTANCE_ID, REPO};
use crate::support::{Home, Run};

/// What a key store answers to `check`.
#[derive(Clone)]
enum Verdict {
    Allowed(u8),
    Refused(&'static str),
    /// With an error, as one that knows no such record.
    Unknown(Code),
    Silent,
}

/// Three verdicts, and how many allow it, or the code and the exit of the refusal.
type Case = (&'static [Verdict], Result<usize, (&'static str, i32)>);

struct KeyStore {
    verdict: Verdict,
}

impl Handler for KeyStore {
    fn method(&self, name: &str) -> Option<Method> {
        let name = ["ping", "has", "status", "check"].into_iter().find(|known| *known == name)?;
        Some(Method { name, effect: Effect::None })
    }

    async fn handle(
        &self,
        _caller: Caller,
        _key: RequestKey,
        method: &str,
        params: Value,
    ) -> Result<Value, Failure> {
        match method {
            "ping" => Ok(json!("pong")),
            "has" => match &self.verdict {
                Verdict::Unknown(code) => Err(Failure::new(*code, "it has not joined")),
                Verdict::Allowed(_) | Verdict::Refused(_) | Verdict::Silent => {
                    Ok(json!({"count": 2, "countDebug": 0}))
                }
            },
            "status" => {
                Ok(json!({"version": "1.2.3", "env": "dev", "serving": true, "members": 3, "writes": 2,
                "records": 7, "records_max": 10_000, "data_bytes_max": 1_024, "ttl_secs": 2_592_000}))
            }
            "check" => {
                let params: CheckParams = serde_json::from_value(params).unwrap();
                assert!(params.attestation.is_none() && params.build.is_some());
                assert_eq!(params.input.repo.as_deref(), Some(REPO));
                self.check(params.input.release_signatures.len())
            }
            other => panic!("{other}"),
        }
    }
}

impl KeyStore {
    fn check(&self, signatures: usize) -> Result<Value, Failure> {
        let record = |byte: u8| hex::encode([byte; 32]);
        match &self.verdict {
            Verdict::Allowed(of) => {
                let reason = format!("{signatures} signed");
                Ok(json!({"allowed": true, "code": "ok", "reason": reason, "version": "2.0.0",
                    "record": record(*of)}))
            }
            Verdict::Refused(code) => Ok(json!({"allowed": false, "code": code, "reason": "the rule",
                "record": record(1), "not_before": 1_750_000_000})),
            Verdict::Unknown(code) => Err(Failure::new(*code, "nothing is here")),
            Verdict::Silent => unreachable!("it does not run"),
        }
    }
}

/// Announces and runs these key stores, each of another launcher; returns their launchers.
async fn start(world: &mut World, verdicts: &[Verdict]) -> Vec<String> {
    let mut launchers = Vec::new();
    for verdict in verdicts {
        world.stage.service = Keys::generate();
        world.stage.launcher = Keys::generate();
        world.publish(&world.stage.announcement(|parts| parts.name = "keycrux".into())).await;
        launchers.push(world.stage.launcher.public_key().to_bech32().unwrap());
        if let Verdict::Silent = verdict {
            continue;
        }
        let options = ServerOptions {
            keys: world.stage.service.clone(),
            kind: KEYCRUX_RPC,
            pool: world.pool.clone(),
            log: RequestLog::open(":memory:".as_ref()).unwrap(),
            clock: Arc::new(SystemClock),
            rate: RateLimit::default(),
            recovered_at: None,
        };
        let server = RpcServer::new(options, KeyStore { verdict: verdict.clone() });
        let requests = server.subscribe().await.unwrap();
        tokio::spawn(server.run(requests));
    }
    launchers
}

/// Signatures of the next build by both maintainers.
fn write_releases(world: &World) -> [String; 2] {
    let pcrs = [b"a", b"b", b"c"].map(|part| attestation::pcr_digest(part));
    let sign = |i: usize| {
        let by = &world.stage.maintainers[i];
        let event = release::build(by, REPO, "2.0.0", &pcrs, Env::Dev, SystemClock.now()).unwrap();
        world.stage.home.write(&format!("release/{i}.json"), event.as_json())
    };
    [sign(0), sign(1)]
}

async fn check(world: &World, releases: &[String; 2], more: &[&str]) -> Run {
    let [one, two] = releases;
    let line =
        ["keycrux", "check", "--release", one, "--release", two, "--machine", INSTANCE_ID, "--ref", REPO];
    let maintainer = world.stage.maintainer(0);
    world.run(&[&line[..], &["--maintainer", &maintainer, "--timeout", "3"], more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn key_stores_are_listed_if_they_verify() {
    let mut world = World::start().await;
    let launchers = start(&mut world, &[Verdict::Silent, Verdict::Silent]).await;
    let stranger = crate::stage::Stage::at(world.stage.now);
    world.publish(&stranger.announcement(|_| {})).await;
    world.run(&["keycrux", "ls"]).await.refused("ref_missing", 64);
    let listed = world.run(&["keycrux", "ls", "--ref", REPO]).await.done();
    assert_eq!((listed["key_stores"].as_array().unwrap().len(), &listed["unverified"]), (2, &json!(1)));
    let row = &listed["key_stores"][0];
    assert_eq!((&row["verified"], &row["pinned"], &row["env"]), (&json!(true), &json!(false), &json!("dev")));
    // Who has no vote does not count, and is told so if all are to be shown.
    let line = ["keycrux", "ls", "--ref", REPO, "--launcher", &launchers[0], "--all"];
    let all = world.run(&line).await.done();
    let rows = all["key_stores"].as_array().unwrap();
    let mut codes: Vec<_> = rows.iter().map(|row| row["code"].as_str().unwrap_or("verified")).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["chain_untrusted", "not_member", "verified"]);
    assert!(rows[0]["verified"] == true && rows[1].get("launcher").is_none(), "{all}");
    let root = world.stage.home.path("root.der").display().to_string();
    let line = ["keycrux", "ls", "--ref", REPO, "--all", "--relay", &world.url, "--trust-root", &root];
    let shown = world.stage.home.run_async(&line).await;
    assert!(shown.stdout.contains("UNVERIFIED: chain_untrusted"), "{shown:?}");
    assert!(shown.stdout.contains("Not pinned"), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn key_stores_say_how_they_do() {
    let mut world = World::start().await;
    let empty = world.run(&["keycrux", "status", "--ref", REPO]).await;
    assert!(empty.refused("not_found", 1).contains("--all"));
    start(&mut world, &[Verdict::Silent]).await;
    world.run(&["keycrux", "ping", "--ref", REPO, "--timeout", "2"]).await.refused("no_answer", 69);
    start(&mut world, &[Verdict::Allowed(1)]).await;
    let npub = world.stage.service.public_key().to_bech32().unwrap();
    let one = world.run(&["keycrux", "ping", &npub, "--ref", REPO]).await.done();
    assert_eq!(one["key_stores"][0]["result"], "pong");
    let both = world.run(&["keycrux", "status", "--ref", REPO, "--timeout", "2"]).await.done();
    let mut said: Vec<_> = both["key_stores"].as_array().unwrap().iter().collect();
    said.sort_by_key(|answer| answer.get("error").is_some());
    assert_eq!((&said[0]["result"]["records"], &said[1]["error"]["code"]), (&json!(7), &json!("no_answer")));
    let launcher =
        protocol::nec::launcher::build(&Keys::generate(), INSTANCE_ID, Env::Dev, SystemClock.now());
    let file = world.stage.home.write("instance.json", launcher.unwrap().as_json());
    let pcr4 = attestation::pcr_digest(INSTANCE_ID.as_bytes()).to_string();
    for machine in [INSTANCE_ID, &file, &pcr4] {
        let line = ["keycrux", "has", "--machine", machine, &npub, "--ref", REPO];
        world.run(&line).await.refused("usage", 64);
        let line = ["keycrux", "has", "--machine", machine, "--ref", REPO, "--timeout", "2"];
        let has = world.run(&line).await.done();
        assert_eq!(has["pcr4"], pcr4);
        assert!(has["key_stores"].as_array().unwrap().iter().any(|it| it["result"]["count"] == 2), "{has}");
    }
    let mut joining = World::start().await;
    start(&mut joining, &[Verdict::Unknown(Code::NotJoined), Verdict::Silent]).await;
    let line = ["keycrux", "has", "--machine", INSTANCE_ID, "--ref", REPO, "--timeout", "2"];
    let refused = joining.run(&line).await.refused("not_joined", 1);
    assert!(refused.contains("encli keycrux ls"), "{refused}");
    let stranger = Keys::generate().public_key().to_bech32().unwrap();
    world.run(&["keycrux", "ping", &stranger, "--ref", REPO]).await.refused("not_found", 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quorum_decides_whether_the_next_build_gets_its_key() {
    use Verdict::{Allowed, Refused, Silent, Unknown};
    let cases: [Case; 8] = [
        (&[Allowed(1), Allowed(1), Allowed(1)], Ok(3)),
        (&[Allowed(1), Allowed(1), Silent], Ok(2)),
        (&[Allowed(1), Allowed(1), Refused("release_missing")], Ok(2)),
        (&[Allowed(1), Refused("release_missing"), Refused("release_missing")], Err(("release_missing", 1))),
        // What a rule says counts before what somebody does not know.
        (&[Unknown(Code::NotJoined), Unknown(Code::NotJoined), Refused("revoked")], Err(("revoked", 1))),
        (&[Unknown(Code::NotFound), Unknown(Code::NotFound), Unknown(Code::NotFound)], Err(("not_found", 1))),
        (&[Allowed(1), Silent, Unknown(Code::NotJoined)], Err(("no_quorum", 69))),
        // One record each: none of them has a quorum.
        (&[Allowed(1), Allowed(2), Silent], Err(("no_quorum", 69))),
    ];
    for (verdicts, expected) in cases {
        let mut world = World::start().await;
        start(&mut world, verdicts).await;
        let releases = write_releases(&world);
        let run = check(&world, &releases, &[]).await;
        match expected {
            Ok(allowed) => {
                let done = run.done();
                assert_eq!(
                    (&done["ok"], &done["allowed"], &done["needed"]),
                    (&json!(true), &json!(allowed), &json!(2))
                );
                assert_eq!((&done["members"], &done["version"]), (&json!(3), &json!("2.0.0")));
                let first = done["key_stores"].as_array().unwrap().iter().find(|row| row["allowed"] == true);
                assert_eq!(first.unwrap()["reason"], "2 signed", "{done}");
            }
            Err((code, exit)) => {
                let value: Value = serde_json::from_str(&run.stdout).unwrap();
                assert_eq!((&value["error"]["code"], run.code), (&json!(code), exit), "{run:?}");
                assert_eq!(value["key_stores"].as_array().unwrap().len(), 3, "{value}");
                assert_eq!((&value["ok"], &value["needed"]), (&json!(false), &json!(2)));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusal_is_shown_to_people_with_its_rule() {
    let mut world = World::start().await;
    start(&mut world, &vec![Verdict::Refused("delay_pending"); 3]).await;
    let [one, two] = write_releases(&world);
    let root = world.stage.home.write("root.der", world.stage.root.der());
    let line = [
        "keycrux",
        "check",
        "--release",
        &one,
        "--release",
        &two,
        "--machine",
        INSTANCE_ID,
        "--ref",
        REPO,
        "--relay",
        &world.url,
        "--trust-root",
        &root,
    ];
    let run = world.stage.home.run_async(&line).await;
    assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
    for part in ["will NOT get its key", "delay_pending", "2025-06-15", "[delay_pending]", "0 of the 2"] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reads_its_files_before_it_asks() {
    let world = World::start().await;
    let releases = write_releases(&world);
    let home = &world.stage.home;
    check(&world, &releases, &[]).await.refused("not_found", 1);
    let other = release::build(
        &world.stage.maintainers[0],
        REPO,
        "2.0.0",
        &[b"x", b"y", b"z"].map(|part| attestation::pcr_digest(part)),
        Env::Dev,
        SystemClock.now(),
    )
    .unwrap();
    let other = home.write("other.json", other.as_json());
    check(&world, &[releases[0].clone(), other], &[]).await.refused("release_invalid", 1);
    let none = home.write("none.json", "{}");
    check(&world, &[releases[0].clone(), none.clone()], &[]).await.refused("release_invalid", 1);
    check(&world, &releases, &["--genesis", &none]).await.refused("event_invalid", 1);
    check(&world, &releases, &["--genesis", &releases[0]]).await.refused("genesis_invalid", 1);
    let line = ["keycrux", "has", "--ref", REPO, "--machine", &releases[0]];
    world.run(&line).await.refused("launcher_invalid", 1);
}

#[test]
fn expectations_of_key_stores_have_a_section_of_their_own() {
    let home = Home::new();
    let check = |text: &str, code: &str| {
        let file = home.write("c.toml", text);
        home.run(&["keycrux", "ls", "--json", "--config", &file]).refused(code, 64)
    };
    check("ref = \"https://example.com/enclaved\"\n", "ref_missing");
    check("[keycrux]\nref = \"https://example.com/keycrux\"\n", "relay_missing");
    assert!(check("[keycrux]\nrelay = []\n", "config_invalid").contains("relay"));
    assert!(check("[keycrux]\nlauncher = \"x\"\n", "config_invalid").contains("keycrux.launcher"));
    assert!(check("[keycrux]\nthreshold = 2\n", "config_invalid").contains("keycrux.threshold"));
}

#[test]
fn launcher_permits_a_fresh_start() {
    let home = Home::new();
    let launcher = Keys::generate();
    home.write("launcher", launcher.secret_key().to_secret_hex());
    let (boot, pcr4) = (Keys::generate().public_key().to_hex(), "ab".repeat(48));
    let line = [
        "instance",
        "genesis",
        "--boot-key",
        &boot,
        "--pcr4",
        &pcr4,
        "--t",
        "prod",
        "--expires",
        "600",
        "--key",
        "file:launcher",
        "--out",
        "genesis.json",
        "--json",
    ];
    let event = home.run(&line).done();
    let created = event["created_at"].as_u64().unwrap();
    assert_eq!(event["kind"], GENESIS.as_u16());
    assert_eq!(event["pubkey"], launcher.public_key().to_hex());
    let tags = json!([
        ["-"],
        ["t", "prod"],
        ["PCR4", pcr4],
        ["p", boot],
        ["expiration", (created + 600).to_string()]
    ]);
    assert_eq!(event["tags"], tags);
    let written = std::fs::read_to_string(home.path("genesis.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), event);
    home.run(&line).refused("file_exists", 1);
    // An hour, if nothing else is said.
    let line =
        ["instance", "genesis", "--boot-key", &boot, "--pcr4", &pcr4, "--key", "file:launcher", "--json"];
    let event = home.run(&line).done();
    let until = event["created_at"].as_u64().unwrap() + genesis::LIFE_SECS;
    assert_eq!(event["tags"][4], json!(["expiration", until.to_string()]));
    for bad in [
        &["--boot-key", "x", "--pcr4", &pcr4][..],
        &["--boot-key", &boot, "--pcr4", &"00".repeat(48)],
        &["--boot-key", &boot, "--pcr4", "ab"],
        &["--boot-key", &boot],
        &["--boot-key", &boot, "--pcr4", &pcr4, "--expires", "0"],
    ] {
        home.run(&[&["instance", "genesis", "--key", "file:launcher", "--json"], bad].concat())
            .refused("usage", 64);
    }
}

#[test]
fn maintainer_approves_another_policy_and_nobody_else_can() {
    let home = Home::new();
    let (alice, bob) = (Keys::generate(), Keys::generate());
    home.write("alice", alice.secret_key().to_secret_hex());
    home.write("stranger", Keys::generate().secret_key().to_secret_hex());
    let config = |delay: u64| {
        json!({"repo": REPO, "relays": ["wss://x"], "release": {
        "maintainers": [alice.public_key(), bob.public_key()], "threshold": 2, "min_delay_secs": delay}})
    };
    let (from, to) =
        (home.write("a.json", config(60).to_string()), home.write("b.json", config(0).to_string()));
    let approve = |from: &str, to: &str, key: &str| {
        home.run(&["keycrux", "approve", "--from", from, "--to", to, "--env", "prod", "--key", key, "--json"])
    };
    let run = approve(&from, &to, "file:alice");
    run.done();
    let event = protocol::event::CheckedEvent::parse(run.stdout.trim()).unwrap();
    let read = approval::PolicyApproval::read(&event).unwrap();
    let policy = |delay| Policy {
        repo: Some(REPO.into()),
        release_pubkeys: [alice.public_key(), bob.public_key()].into(),
        env: Some(Env::Prod),
        threshold: Some(2),
        min_delay_secs: delay,
        ..Policy::default()
    };
    let change =
        approval::PolicyChange { from: policy(60).digest().unwrap(), to: policy(0).digest().unwrap() };
    assert_eq!((read.signer, read.env, read.change), (alice.public_key(), Env::Prod, change));
    approve(&from, &to, "file:stranger").refused("not_maintainer", 1);
    approve(&from, &from, "file:alice").refused("policy_unchanged", 1);
    let bare = home.write("c.json", json!({"repo": REPO}).to_string());
    approve(&bare, &to, "file:alice").refused("policy_invalid", 1);
}
