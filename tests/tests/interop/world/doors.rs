//! Three ways to one container, from clients that we did not write: direct messages by `nostr-tools`,
//! HTTP by `curl`; and our own RPC beside them.

pub(super) mod client;
mod openapi;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use protocol::rpc::enclaved::{ContainerInfo, ContainerList, ContainerStatus};
use serde_json::{Value, json};
use units::Stopwatch;

use client::{Curl, Talker, status_of};

const HELLO: &str = "hello from inside";
const SOON: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[tokio::test(flavor = "multi_thread")]
async fn messages_http_and_rpc_command_one_container() -> Result<()> {
    let options = WorldOptions { free_quotes_per_key: 10, ..WorldOptions::new(HelperBinary::find()?) };
    let world = World::start(options, |step| println!("{step}")).await?;
    let outcome = one_container(&world).await;
    if outcome.is_err() {
        println!("{}", world.daemon_log()?);
    }
    outcome.and(world.stop().await)
}

async fn one_container(world: &World) -> Result<()> {
    let script = format!("echo {HELLO}; {}", World::SERVE);
    let image = world.push(&World::busybox(&script, "page"), "app").await?;
    let owner = Keys::generate();
    let mut talker = Talker::start(world, &owner).await?;
    let help = talker.say("nip17", "help").await?;
    ensure!(help.contains("deploy IMAGE") && help.contains("topup N"), "{help}");
    let price = talker.say("nip04", "price").await?;
    ensure!(price.contains("5 sat an hour") && price.contains("98 of 100 units"), "{price}");

    // Launched by a message, paid from a wallet, seen by RPC.
    let launched =
        talker.say("nip17", &format!("deploy {image} name blog port 8080 exec on upgrade owner")).await?;
    let invoice = launched.lines().find_map(|line| line.strip_prefix("lightning:")).context("no link")?;
    ensure!(launched.contains(&image) && launched.matches(invoice).count() == 2, "{launched}");
    world.pay_from_faucet(invoice).await?;
    let list: ContainerList = status_of(world, &owner, "list", json!({})).await?;
    let [one] = list.containers.as_slice() else { anyhow::bail!("{list:?}") };
    let pubkey = one.info.pubkey;
    client::wait_for(world, &owner, &pubkey, "deployed").await?;
    let said = talker.say("nip04", "status blog").await?;
    ensure!(said.starts_with("blog is deployed.") && said.contains(&image), "{said}");
    ensure!(talker.say("nip17_ephemeral", "logs 5").await?.contains(HELLO));

    http(world, &owner, &pubkey.to_hex(), &mut talker).await?;
    money_and_images(world, &owner, &pubkey, &image, &mut talker).await?;
    let mut stranger = Talker::start(world, &Keys::generate()).await?;
    openapi::check(&Curl::new(world), &mut talker, &mut stranger, &pubkey.to_hex()).await?;
    strangers(world, &pubkey.to_bech32()?, &mut talker).await?;
    in_public(world, &image, &mut talker).await?;
    quotas(world).await?;

    let over = talker.say("nip17", "terminate").await?;
    ensure!(over.starts_with("blog is terminated."), "{over}");
    let status: ContainerStatus = status_of(world, &owner, "status", json!({"pubkey": pubkey})).await?;
    ensure!(status.info.state == "terminated");
    Ok(())
}

/// The same container over HTTP.
async fn http(world: &World, owner: &Keys, pubkey: &str, talker: &mut Talker) -> Result<()> {
    let curl = Curl::new(world);
    let (status, document) = curl.get("/v1/openapi.json", None).await?;
    ensure!(status == 200 && document["paths"]["/v1/containers"]["post"].is_object(), "{document}");
    let (status, terms) = curl.get("/v1/price", None).await?;
    ensure!(status == 200 && terms["unit_hour_msat"] == 5_000, "{terms}");
    let (status, refused) = curl.get("/v1/containers", None).await?;
    ensure!((status, &refused["error"]["code"]) == (401, &json!("auth_invalid")), "{refused}");

    let token = talker.token(&curl.url("/v1/containers"), "GET", None).await?;
    let (status, list) = curl.get("/v1/containers", Some(&token)).await?;
    ensure!(status == 200 && list["containers"][0]["pubkey"] == pubkey, "{list}");
    let (status, again) = curl.get("/v1/containers", Some(&token)).await?;
    ensure!((status, &again["error"]["code"]) == (401, &json!("auth_used")), "{again}");
    let (status, other) = curl.get(&format!("/v1/containers/{pubkey}"), Some(&token)).await?;
    ensure!((status, &other["error"]["code"]) == (401, &json!("auth_invalid")), "{other}");

    let paused = curl.post(talker, &format!("/v1/containers/{pubkey}/pause"), None, 200).await?;
    ensure!(paused["state"] == "paused" && paused["owner_paused"] == true, "{paused}");
    let seen: ContainerStatus = status_of(world, owner, "status", json!({"pubkey": pubkey})).await?;
    ensure!(seen.owner_paused);
    ensure!(talker.say("nip17", "status").await?.starts_with("blog is paused, as you asked."));
    // What a page watches while somebody else commands by message.
    let watch = format!("/v1/containers/{pubkey}/watch");
    let token = talker.token(&curl.url(&watch), "GET", None).await?;
    let mut stream = curl.stream(&watch, &token)?;
    stream.wait_for("\"state\":\"paused\"").await?;
    ensure!(talker.say("nip17_ephemeral", "resume on blog").await?.starts_with("blog is deployed."));
    stream.wait_for("\"state\":\"deployed\"").await?;
    drop(stream);
    let follow = format!("/v1/containers/{pubkey}/logs/follow");
    let token = talker.token(&curl.url(&follow), "GET", None).await?;
    curl.stream(&follow, &token)?.wait_for(HELLO).await?;

    let body = json!({"command": ["/bin/sh", "-c", "echo $ENCLAVED_ENDPOINT"]});
    let done = curl.post(talker, &format!("/v1/containers/{pubkey}/exec"), Some(&body), 200).await?;
    ensure!(
        done["exit_code"] == 0 && done["stdout"].as_str().is_some_and(|out| out.starts_with("ws://")),
        "{done}"
    );
    let body = json!({"command": ["cat"], "timeout_secs": 0});
    let refused = curl.post(talker, &format!("/v1/containers/{pubkey}/exec"), Some(&body), 400).await?;
    ensure!(refused["error"]["code"] == "params_invalid", "{refused}");
    let token = talker.token(&curl.url(&format!("/v1/containers/{pubkey}/stats")), "GET", None).await?;
    let (_, stats) = curl.get(&format!("/v1/containers/{pubkey}/stats"), Some(&token)).await?;
    ensure!(stats["running"] == true && stats["burn_msat_per_day"] == 120_000, "{stats}");
    ensure!(stats["memory_bytes"].as_u64().is_some_and(|used| used > 0 && used < 50_000_000), "{stats}");
    let history: Value = status_of(world, owner, "events", json!({"pubkey": pubkey})).await?;
    let codes: Vec<_> =
        history["events"].as_array().context("events")?.iter().map(|one| &one["code"]).collect();
    ensure!(codes.contains(&&json!("exec")) && codes.contains(&&json!("state")), "{history}");
    Ok(())
}

/// What is asked for by message happens: the balance rises, another image runs, and what is told of how to check it
/// is what checks it.
async fn money_and_images(
    world: &World,
    owner: &Keys,
    pubkey: &PublicKey,
    image: &str,
    talker: &mut Talker,
) -> Result<()> {
    let status = async || -> Result<ContainerStatus> {
        client::status_of(world, owner, "status", json!({"pubkey": pubkey})).await
    };
    let before = status().await?.balance_msat;
    let said = talker.say("nip17", "topup 21 blog").await?;
    let invoice = said.lines().find_map(|line| line.strip_prefix("lightning:")).context("no link")?;
    ensure!(said.starts_with("Pay 21 sat") && said.matches(invoice).count() == 2, "{said}");
    // Asked again, it is the same invoice; by another key, or for another amount, another one.
    ensure!(talker.say("nip04", "topup 21").await?.contains(invoice));
    ensure!(!talker.say("nip04", "topup 22").await?.contains(invoice));
    world.pay_from_faucet(invoice).await?;
    let took = Stopwatch::start();
    while status().await?.balance_msat.msat() != before.msat() + 21_000 {
        ensure!(took.elapsed() < SOON, "{:?}", status().await?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    ensure!(!talker.say("nip17", "topup 21").await?.contains(invoice), "a paid invoice is given again");

    let script = format!("echo {HELLO} again; {}", World::SERVE);
    let next = world.push_tagged(&World::busybox(&script, "next page"), "app", "next").await?;
    let said = talker.say("nip17_ephemeral", &format!("upgrade {next} on blog")).await?;
    ensure!(said.starts_with("blog takes the other image"), "{said}");
    let took = Stopwatch::start();
    loop {
        let now = status().await?;
        if now.info.image == next && now.info.state == "deployed" {
            break;
        }
        ensure!(took.elapsed() < SOON, "{now:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let said = talker.say("nip04", "status").await?;
    ensure!(said.contains(&next) && !said.contains(image), "{said}");

    let said = talker.say("nip17", "verify blog").await?;
    let manifest = status().await?.info.manifest_sha256;
    ensure!(said.contains(&next) && said.contains(&manifest), "{said}");
    let command =
        said.lines().find(|line| line.starts_with("encli container verify ")).context("no command")?;
    let npub = command.split(' ').nth(3).context("no key")?;
    ensure!(npub == pubkey.to_bech32()?, "{command}");
    ensure!(command.contains(&format!("--relay {}", world.relay_url())), "{command}");
    Ok(())
}

/// A key that is not the owner's gets nowhere by any way.
async fn strangers(world: &World, npub: &str, owner: &mut Talker) -> Result<()> {
    let eve = Keys::generate();
    let mut talker = Talker::start(world, &eve).await?;
    for text in ["status", "logs", "pause", "terminate", "upgrade x:1"] {
        let said = talker.say("nip17", &format!("{text} {npub}")).await?;
        ensure!(said.ends_with("[not_owner]"), "{text}: {said}");
    }
    ensure!(talker.say("nip04", "list").await?.starts_with("You have no container here."));
    let curl = Curl::new(world);
    for path in ["", "/logs", "/stats", "/events", "/watch", "/logs/follow"] {
        let path = format!("/v1/containers/{npub}{path}");
        let token = talker.token(&curl.url(&path), "GET", None).await?;
        let (status, refused) = curl.get(&path, Some(&token)).await?;
        ensure!((status, &refused["error"]["code"]) == (403, &json!("not_owner")), "{path}: {refused}");
    }
    // A message comes once, however many copies of its wrap come.
    let answers = owner.ask(json!({"do": "say", "channel": "nip17", "text": "list", "copies": 3})).await?;
    ensure!(answers["answers"].as_array().context("answers")?.len() == 1, "{answers}");
    Ok(())
}

/// Who never paid has so many quotes a day, and more with proof of work.
async fn quotas(world: &World) -> Result<()> {
    let mut talker = Talker::start(world, &Keys::generate()).await?;
    // The registry is asked each time, and does not have it.
    for _ in 0..10 {
        let said = talker.say("nip04", &format!("deploy {}", world.registry().reference("none:1"))).await?;
        ensure!(said.ends_with("[image_not_found]"), "{said}");
    }
    let text = format!("deploy {}", world.registry().reference("none:1"));
    let said = talker.say("nip04", &text).await?;
    ensure!(said.ends_with("[quota_used]") && said.contains("12 bits"), "{said}");
    let mut with_work =
        json!({"do": "say", "channel": "nip04", "text": text, "work_bits": 11, "quiet_ms": 300});
    let too_little = talker.ask(with_work.clone()).await?;
    with_work["work_bits"] = json!(12);
    let enough = talker.ask(with_work).await?;
    let text = |came: &Value| came["answers"][0]["text"].as_str().unwrap_or_default().to_owned();
    ensure!(text(&too_little).ends_with("[quota_used]"), "{too_little}");
    ensure!(text(&enough).ends_with("[image_not_found]"), "{enough}");
    Ok(())
}

/// In public there is a price and nothing else; the rest comes in private.
async fn in_public(world: &World, image: &str, talker: &mut Talker) -> Result<()> {
    let service = world.service()?.to_bech32()?;
    let before: ContainerInfo = first(world, talker).await?;
    let note = format!("nostr:{service} deploy {image} units 2 env TOKEN=hunter2");
    let came = talker.ask(json!({"do": "say", "channel": "note", "text": note})).await?;
    let answers = came["answers"].as_array().context("answers")?;
    let of = |channel: &str| {
        answers.iter().find(|one| one["channel"] == channel).and_then(|one| one["text"].as_str())
    };
    let (public, private) = (of("note").context("no note")?, of("nip17").context("no message")?);
    ensure!(public.contains("10 sat an hour"), "{public}");
    ensure!(!public.contains("lnbc") && !public.contains("hunter2") && !public.contains(image), "{public}");
    ensure!(
        private.lines().any(|line| line.starts_with(&format!("deploy {image} ")) && line.contains("units 2"))
            && private.contains("put others in place of what is secret"),
        "{private}"
    );
    ensure!(answers.len() == 2, "{came}");
    ensure!(first(world, talker).await? == before, "a note launches nothing");
    // What is no launch is no matter of ours.
    let silence =
        json!({"do": "say", "channel": "note", "text": format!("nostr:{service} list"), "first_ms": 1_500});
    ensure!(talker.ask(silence).await? == json!({"answers": []}));
    Ok(())
}

async fn first(world: &World, talker: &Talker) -> Result<ContainerInfo> {
    let list: ContainerList = status_of(world, talker.keys(), "list", json!({})).await?;
    ensure!(list.containers.len() == 1, "{list:?}");
    list.containers.into_iter().next().map(|one| one.info).context("no container")
}
