//! What a server tells the world of its containers and of itself, read from the relay: profiles, notes, the end
//! of data, the limits that hold; and how soon a zap counts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::process::ProcessSpec;
use devnet::world::{World, WorldOptions};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use protocol::event::{CheckedEvent, sign, tag_value, tags_named};
use protocol::kinds::ANNOUNCEMENT;
use protocol::nwc::PayInvoice;
use protocol::tag;
use serde_json::{Value, json};
use units::{Clock, Stopwatch, SystemClock};

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

/// How soon a zap must count.
const CREDITED_WITHIN: Duration = Duration::from_secs(1);
const RETENTION_SECS: u64 = 12;

/// The newest event of this kind and author that is as wanted, waited for.
async fn wait_for(
    world: &World,
    (kind, author): (Kind, PublicKey),
    wanted: impl Fn(&CheckedEvent) -> bool,
) -> Result<CheckedEvent> {
    let (pool, took) = (world.pool().await?, Stopwatch::start());
    loop {
        let found = pool.fetch(Filter::new().kind(kind).author(author), SOON).await?;
        if let Some(event) = found.iter().find(|event| wanted(event)) {
            return Ok(event.clone());
        }
        ensure!(took.elapsed() < SOON, "no such event of kind {kind}: {found:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zap_is_credited_within_a_second() -> Result<()> {
    let options = WorldOptions { lightning_addresses: true, ..calm()? };
    in_world(options, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&world.push_echo().await?).await?;
        let zapper = Stranger::with(world, 1_000).await?;
        let mut slowest = Duration::ZERO;
        for round in 1..=5_i64 {
            let invoice = zap_invoice(world, &pubkey, &zapper.keys, 21_000).await?;
            zapper.wallet.call(&zapper.keys, &PayInvoice::of(invoice), SOON).await?;
            let paid = Stopwatch::start();
            while owner.status(&pubkey).await?.balance_msat.msat() != 21_000 * round {
                ensure!(paid.elapsed() < SOON, "zap {round} is not credited");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            slowest = slowest.max(paid.elapsed());
        }
        println!("the slowest of five zaps was credited after {slowest:?}");
        ensure!(slowest <= CREDITED_WITHIN, "{slowest:?}");
        // And told, in its profile.
        wait_for(world, (Kind::Metadata, pubkey), |event| event.content.contains("105 sat")).await?;
        Ok(())
    })
    .await
}

/// Asks the container's address for an invoice, with a signed request for a zap (NIP-57).
async fn zap_invoice(world: &World, pubkey: &PublicKey, zapper: &Keys, msat: i64) -> Result<String> {
    let base = format!("http://{}/.well-known/lnurlp/{}", world.lightning_host(), pubkey.to_bech32()?);
    let offer: Value = serde_json::from_str(&get(&base).await?.1)?;
    let callback = offer["callback"].as_str().with_context(|| offer.to_string())?;
    let tags = vec![tag!["relays", world.relay_url()], tag!["amount", msat], tag!["p", pubkey.to_hex()]];
    let request = sign(zapper, Kind::ZapRequest, SystemClock.now(), tags, String::new())?;
    let mut url = reqwest::Url::parse(callback)?;
    url.query_pairs_mut().append_pair("amount", &msat.to_string()).append_pair("nostr", &request.as_json());
    let made: Value = serde_json::from_str(&get(url.as_str()).await?.1)?;
    Ok(made["pr"].as_str().with_context(|| made.to_string())?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn container_that_stops_says_so_and_its_data_goes_when_it_was_said() -> Result<()> {
    let options =
        WorldOptions { retention_secs: RETENTION_SECS, ..WorldOptions::hasty(HelperBinary::find()?, 6) };
    in_world(options, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let extra = json!({"name": "blog", "ports": [8080], "volumes": ["/data"]});
        let pubkey = owner.run(&world.push_echo().await?, extra).await?;
        let volume = world.state_dir().join("volumes").join(format!("{pubkey}.img"));
        ensure!(volume.is_file());
        wait_for(world, (Kind::Metadata, pubkey), |it| it.content.contains("State: deployed")).await?;

        let paused = owner.wait_for(&pubkey, "paused").await?;
        let until = paused.data_kept_until.context("no end is said")?;
        let is_paused =
            |event: &CheckedEvent| tag_value(event, "data_kept_until") == Some(&until.0.to_string());
        let event = wait_for(world, (protocol::kinds::CONTAINER, pubkey), is_paused).await?;
        ensure!(tags_named(&event, "data_kept_until").count() == 1, "{event:?}");
        let note =
            wait_for(world, (Kind::TextNote, pubkey), |it| it.content.starts_with("blog stopped")).await?;
        ensure!(
            note.content.contains("Its data is kept until") && note.content.contains("topup"),
            "{note:?}"
        );
        wait_for(world, (Kind::Metadata, pubkey), |it| it.content.contains("State: paused")).await?;

        // Kept until then, and not a day longer.
        while SystemClock.now() < until {
            ensure!(volume.is_file(), "its data is gone before {until:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        owner.wait_for(&pubkey, "terminated").await?;
        let took = Stopwatch::start();
        while volume.exists() {
            ensure!(took.elapsed() < SOON, "its data is still there");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let last = world.container_event(&pubkey).await?;
        let ended = tag_value(&last, "state");
        ensure!(matches!(ended, Some("terminated" | "paused")), "{ended:?}");
        Ok(())
    })
    .await
}

/// What the announcement says of a limit is what a container finds that tries it.
#[tokio::test(flavor = "multi_thread")]
async fn limits_that_are_announced_as_missing_are_the_ones_that_are() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&image).await?;
        let event = world.newest(Filter::new().kind(ANNOUNCEMENT).author(world.service()?)).await?;
        let missing: Vec<String> =
            tags_named(&event, "limits_not_enforced").flat_map(|tag| tag[1..].to_vec()).collect();
        // A unit has 50 MB beside its volume.
        let fill = "dd if=/dev/zero of=/fill bs=1000000 count=70 2>/dev/null; wc -c < /fill; rm /fill";
        let written: u64 = exec(world, &pubkey, fill).await?.text.trim().parse()?;
        let is_limited = written < 60_000_000;
        println!("announced as missing: {missing:?}; {written} bytes were written");
        ensure!(missing.contains(&"disk".to_owned()) != is_limited, "{missing:?} and {written} bytes");
        ensure!(owner.status(&pubkey).await?.limits_not_enforced == missing);
        let terms: Value = owner.call("price", json!({})).await?;
        ensure!(terms["limits_not_enforced"] == json!(missing), "{terms}");
        refuses_production(world, &missing).await
    })
    .await
}

/// The program itself, on this very engine, under AWS's root.
async fn refuses_production(world: &mut World, missing: &[String]) -> Result<()> {
    world.stop_daemon().await?;
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(world.daemon_config())?)?;
    let key = || Keys::generate().public_key();
    let fields = config.as_object_mut().context("an object")?;
    fields.remove("development");
    fields.remove("http");
    fields.remove("metrics");
    fields.insert("trust_root".into(), json!("aws"));
    let stores = json!({
        "repo": "https://example.com/keycrux", "maintainers": [key()], "launchers": [key(), key(), key()], "writes": 2,
    });
    fields.insert("keycrux".into(), stores);
    fields.insert(
        "backup".into(),
        json!({"address": format!("unix:{}", world.dir().join("b.sock").display())}),
    );
    let state = world.dir().join("production");
    fields.insert("state_dir".into(), json!(state));
    config["builtin"][0]["env"] = json!({"NWC_NETWORK": "bitcoin"});
    let file = world.dir().join("production.json");
    std::fs::write(&file, config.to_string())?;
    let spec = ProcessSpec::new(world.options().program("enclaved")?).arg("--config").arg(file);
    let log = world.dir().join("production.log");
    let status = world.enclave().spawn(&spec, &log)?.wait_exit(SOON).await?;
    let said = std::fs::read_to_string(log)?;
    // On a machine whose kernel enforces all of them there is nothing to refuse here.
    ensure!(!missing.is_empty() && !status.success(), "{status}: {said}");
    ensure!(missing.iter().all(|limit| said.contains(limit)) && said.contains("enforce"), "{said}");
    Ok(())
}
