//! The ways in besides RPC, by clients of our own: what HTTP has, what a message may, and that each ends
//! where RPC would.

mod forged;
pub(crate) mod http;
pub(crate) mod letters;
mod mention;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{StepWatch, World, WorldOptions};
use enclaved::checkpoint::Step;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use protocol::guest::CreateCertificate;
use protocol::rpc::enclaved::{ContainerStatus, ExecReply, ReceiptPage, Upgrades};
use protocol::statement::merkle::Hash;
use serde_json::{Value, json};
use units::Stopwatch;

use crate::guest_api::socket;
use crate::in_world::{calm, in_world};
use crate::person::Person;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};
use crate::upgrade::app::ended;
use http::Http;
use letters::Letters;

/// What is refused while this server may not act, by every way there is, and what is answered all the same.
pub(crate) async fn refused_while_put_aside(
    world: &World,
    owner: &Stranger,
    pubkey: &PublicKey,
    image: &str,
) -> Result<()> {
    let http = Http::new(world, owner);
    let launch = json!({"docker": image, "units": 1});
    for (path, body) in [
        ("/v1/quotes".to_owned(), launch.clone()),
        ("/v1/containers".to_owned(), launch),
        (of(pubkey, "topup"), json!({"amount_msat": 5_000})),
        (of(pubkey, "withdraw"), json!({"invoice": "lnbc1"})),
        (of(pubkey, "pause"), json!({})),
        (of(pubkey, "resume"), json!({})),
        (of(pubkey, "terminate"), json!({})),
        (of(pubkey, "exec"), json!({"command": ["true"], "timeout_secs": 1})),
        (of(pubkey, "transfer"), json!({"owner": world.service()?})),
        (of(pubkey, "upgrade"), json!({"docker": image})),
        (of(pubkey, "pin"), json!({})),
        (of(pubkey, "unpin"), json!({})),
        (of(pubkey, "env"), json!({"env": {}})),
    ] {
        let (status, refused) = http.post(&path, &body, None).await?;
        ensure!((status, &refused["error"]["code"]) == (503, &json!("not_holding")), "{path}: {refused}");
    }
    let (status, refused) = http.get(&of(pubkey, "receipts")).await?;
    ensure!((status, &refused["error"]["code"]) == (503, &json!("not_holding")), "{refused}");
    let (status, shown) = http.get(&of(pubkey, "")).await?;
    ensure!((status, &shown["state"]) == (200, &json!("deployed")), "{shown}");

    let mut letters = Letters::open(world, owner).await?;
    for text in [
        format!("deploy {image}"),
        "topup 5".to_owned(),
        "pause".to_owned(),
        "resume".to_owned(),
        format!("upgrade {image}"),
        "terminate".to_owned(),
    ] {
        let said = letters.say(&text).await?;
        ensure!(said.ends_with("[not_holding]"), "{text}: {said}");
    }
    ensure!(letters.say("status").await?.contains("is deployed."));

    let guest = socket(world, pubkey);
    let app = CreateCertificate { pubkey: owner.keys.public_key() };
    let certified = guest.call::<Value>("create_certificate", &app).await.unwrap_err();
    let stated = guest.attest(Hash([1; 32])).await.unwrap_err();
    // Asked of a host, it would be an act as well.
    let url = json!({"url": "https://example.com/"});
    let fetched = guest.call::<Value>("attested_fetch", &url).await.unwrap_err();
    for refused in [certified, stated, fetched] {
        ensure!(refused.to_string().contains("not_holding"), "{refused}");
    }
    guest.info().await.context("what a container knows of itself")?;
    Ok(())
}

fn of(pubkey: &PublicKey, what: &str) -> String {
    let slash = if what.is_empty() { "" } else { "/" };
    format!("/v1/containers/{pubkey}{slash}{what}")
}

#[tokio::test(flavor = "multi_thread")]
async fn http_does_what_rpc_does_and_once() -> Result<()> {
    let mut options = calm()?;
    options.watch_steps = true;
    in_world(options, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let first = world.push_tagged(&World::busybox(World::SERVE, "first"), "app", "t1").await?;
        let next = world.push_tagged(&World::busybox(World::SERVE, "next"), "app", "t2").await?;
        let extra = json!({"ports": [8080], "upgrade": "owner", "exec": true});
        let pubkey = owner.run(&first, extra).await?;
        owner.wait_settled(&pubkey).await?;
        get(&owner.url(&pubkey).await?).await?;
        let http = Http::new(world, &owner);
        images(&http, &owner, &pubkey, &first, &next).await?;
        environment(&http, &pubkey).await?;
        receipts(&http, &pubkey).await?;
        commands_that_hang(&http, &pubkey).await?;
        strangers(world, &pubkey, &next).await?;
        pages(&http, &pubkey).await?;
        commands_that_come_again(&http, &owner, &first).await?;
        client_that_goes_away(world, &first).await
    })
    .await
}

async fn images(http: &Http, owner: &Stranger, pubkey: &PublicKey, first: &str, next: &str) -> Result<()> {
    let pinned: Upgrades = http.done(&of(pubkey, "pin"), &json!({})).await?;
    ensure!(pinned.pinned && pinned.image == first, "{pinned:?}");
    let (status, refused) = http.post(&of(pubkey, "upgrade"), &json!({"docker": next}), None).await?;
    ensure!(refused["error"]["code"] == "pinned" && status >= 400, "{status} {refused}");
    let unpinned: Upgrades = http.done(&of(pubkey, "unpin"), &json!({})).await?;
    ensure!(!unpinned.pinned, "{unpinned:?}");
    let asked: ContainerStatus = http.done(&of(pubkey, "upgrade"), &json!({"docker": next})).await?;
    ensure!(asked.info.pubkey == *pubkey, "{asked:?}");
    let record = ended(owner, pubkey, next).await?;
    // It is on record a moment before the container is free for the next command.
    owner.wait_for(pubkey, "deployed").await?;
    let (status, listed) = http.get(&of(pubkey, "upgrades")).await?;
    let listed: Upgrades = serde_json::from_value(listed)?;
    ensure!(status == 200 && listed.image == next && listed.upgrades.first() == Some(&record), "{listed:?}");
    Ok(())
}

async fn environment(http: &Http, pubkey: &PublicKey) -> Result<()> {
    let changed: ContainerStatus = http.done(&of(pubkey, "env"), &json!({"env": {"MODE": "late"}})).await?;
    ensure!(changed.manifest.env.contains_key("MODE"), "{changed:?}");
    let exec = json!({"command": ["/bin/sh", "-c", "echo $MODE"], "timeout_secs": 5});
    let ran: ExecReply = http.done(&of(pubkey, "exec"), &exec).await?;
    ensure!((ran.exit_code, ran.stdout.trim()) == (0, "late"), "{ran:?}");
    let (status, refused) = http.post(&of(pubkey, "env"), &json!({"env": {"1": "x"}}), None).await?;
    ensure!((status, &refused["error"]["code"]) == (400, &json!("env_invalid")), "{refused}");
    Ok(())
}

async fn receipts(http: &Http, pubkey: &PublicKey) -> Result<()> {
    let (status, page) = http.get(&of(pubkey, "receipts?from=0")).await?;
    let page: ReceiptPage = serde_json::from_value(page)?;
    ensure!(status == 200 && page.receipts.len() == 1 && page.evidence.is_some(), "{page:?}");
    let (status, refused) = http.get(&of(pubkey, "receipts?from=9")).await?;
    ensure!((status, &refused["error"]["code"]) == (400, &json!("params_invalid")), "{refused}");
    Ok(())
}

/// A command that does not end is ended, and nothing of it is left.
async fn commands_that_hang(http: &Http, pubkey: &PublicKey) -> Result<()> {
    let (hangs, took) = (json!({"command": ["sleep", "4321"], "timeout_secs": 1}), Stopwatch::start());
    let (status, refused) = http.post(&of(pubkey, "exec"), &hangs, None).await?;
    ensure!((status, &refused["error"]["code"]) == (504, &json!("exec_timeout")), "{refused}");
    ensure!(took.elapsed() >= Duration::from_secs(1), "{:?}", took.elapsed());
    // Written so that who looks does not find itself.
    let look = "for it in /proc/[0-9]*; do cat $it/cmdline 2>/dev/null | tr '\\0' ' '; done | grep -c 43[2]1";
    let look = json!({"command": ["/bin/sh", "-c", look], "timeout_secs": 5});
    let found: ExecReply = http.done(&of(pubkey, "exec"), &look).await?;
    ensure!(found.stdout.trim() == "0", "it still runs: {found:?}");
    Ok(())
}

async fn strangers(world: &World, pubkey: &PublicKey, image: &str) -> Result<()> {
    let eve = Http::new(world, &Stranger::with(world, 0).await?);
    for (path, body) in [
        ("upgrade", json!({"docker": image})),
        ("pin", json!({})),
        ("unpin", json!({})),
        ("env", json!({"env": {}})),
    ] {
        let (status, refused) = eve.post(&of(pubkey, path), &body, None).await?;
        ensure!((status, &refused["error"]["code"]) == (403, &json!("not_owner")), "{path}: {refused}");
    }
    for path in ["upgrades", "receipts"] {
        let (status, refused) = eve.get(&of(pubkey, path)).await?;
        ensure!((status, &refused["error"]["code"]) == (403, &json!("not_owner")), "{path}: {refused}");
    }
    Ok(())
}

/// A launch that is sent again has one effect and one answer; one whose client went away goes on.
async fn commands_that_come_again(http: &Http, owner: &Stranger, image: &str) -> Result<()> {
    let launch = json!({"docker": image, "units": 1, "name": "again"});
    let (status, made) = http.post("/v1/containers", &launch, Some("one")).await?;
    ensure!(status == 200, "{status} {made}");
    let (status, again) = http.post("/v1/containers", &launch, Some("one")).await?;
    ensure!((status, &again) == (200, &made), "{again} is not {made}");
    let other = json!({"docker": image, "units": 2, "name": "again"});
    let (status, refused) = http.post("/v1/containers", &other, Some("one")).await?;
    ensure!((status, &refused["error"]["code"]) == (409, &json!("id_reused")), "{refused}");
    let long = "x".repeat(1_000);
    let (status, refused) = http.post("/v1/containers", &launch, Some(&long)).await?;
    ensure!((status, &refused["error"]["code"]) == (400, &json!("bad_request")), "{refused}");
    ensure!(names(owner).await?.iter().filter(|name| *name == "again").count() == 1);
    Ok(())
}

/// What was begun goes on to its end.
async fn client_that_goes_away(world: &World, image: &str) -> Result<()> {
    let owner = Stranger::with(world, 0).await?;
    let http = Http::new(world, &owner);
    let steps = StepWatch::new(world)?;
    let stream = http.send("/v1/containers", &json!({"docker": image, "units": 1, "name": "left"})).await?;
    let mut reached = steps.next(SOON).await?;
    while reached.name != Step::LaunchReserved.name() {
        reached.go_on().await?;
        reached = steps.next(SOON).await?;
    }
    drop(stream);
    // Once another was answered, the server has noticed.
    http.get("/v1/price").await?;
    reached.go_on().await.context("the launch was given up")?;
    let invoiced = steps.next(SOON).await.context("the launch was given up")?;
    ensure!(invoiced.name == Step::LaunchInvoiced.name(), "{invoiced:?}");
    invoiced.go_on().await?;
    drop(steps);
    let took = Stopwatch::start();
    while names(&owner).await? != ["left"] {
        ensure!(took.elapsed() < SOON, "the launch is not there");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn names(owner: &Stranger) -> Result<Vec<String>> {
    let list: Value = owner.call("list", json!({})).await?;
    let all = list["containers"].as_array().context("containers")?;
    Ok(all.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)).collect())
}

/// Behind the last of one's containers there is none.
async fn pages(http: &Http, pubkey: &PublicKey) -> Result<()> {
    let (status, list) = http.get("/v1/containers").await?;
    ensure!(status == 200 && list["next"].is_null(), "{list}");
    let (status, rest) = http.get(&format!("/v1/containers?after={pubkey}")).await?;
    ensure!(status == 200 && rest["containers"] == json!([]), "{rest}");
    let nobody = nostr::key::Keys::generate().public_key();
    let (status, refused) = http.get(&format!("/v1/containers?after={nobody}")).await?;
    ensure!((status, &refused["error"]["code"]) == (400, &json!("params_invalid")), "{refused}");
    Ok(())
}

/// Who has paid once may ask for as many quotes by message as they like; a restart gives nobody others.
#[tokio::test(flavor = "multi_thread")]
async fn free_quotes_last_a_day_and_a_payment_lifts_that() -> Result<()> {
    let options = WorldOptions { free_quotes_per_key: 10, ..calm()? };
    in_world(options, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let none = format!("deploy {}", world.registry().reference("none:1"));
        let mut letters = Letters::open(world, &owner).await?;
        for _ in 0..10 {
            let said = letters.say(&none).await?;
            ensure!(said.ends_with("[image_not_found]"), "{said}");
        }
        ensure!(letters.say(&none).await?.ends_with("[quota_used]"));
        world.kill_daemon().await?;
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let said = letters.say(&none).await?;
        ensure!(said.ends_with("[quota_used]"), "a restart gives free quotes away: {said}");
        // Nor is there one in any other way, but for proof of work, which encli does.
        let launch = json!({"docker": image, "units": 1});
        assert_eq!(owner.refused("launch", launch).await, "quota_used");
        let worker = Person::new(world, "worker", owner.keys.clone()).await?;
        let service = world.service()?.to_bech32()?;
        let deployed = worker.ask(&["deploy", &image, "--instance", &service]).await?;
        ensure!(deployed["state"] == "waiting", "{deployed}");
        // Who launched by another way, and paid.
        let customer = Stranger::with(world, 100).await?;
        let pubkey = customer.run(&image, json!({"ports": [8080]})).await?;
        customer.wait_settled(&pubkey).await?;
        let mut letters = Letters::open(world, &customer).await?;
        for _ in 0..11 {
            let said = letters.say(&none).await?;
            ensure!(said.ends_with("[image_not_found]"), "a payment lifts nothing: {said}");
        }
        let took = Stopwatch::start();
        while !letters.say("status").await?.contains("is deployed.") {
            ensure!(took.elapsed() < SOON);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    })
    .await
}
