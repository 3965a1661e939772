//! `encli` against a real server: everything that an owner does with a container, and releases of images that a
//! server takes.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use protocol::nec::VerifiedContainer;
use protocol::rpc::enclaved::UpgradeOutcome;
use serde_json::{Value, json};
use units::{Msat, Stopwatch};

use crate::in_world::{calm, in_world};
use crate::person::Person;
use crate::stranger::{LOOK_EVERY, SOON, Stranger};
use crate::upgrade::app::{App, check_runs, ended, running};

const REPO: &str = "https://example.com/app";

#[tokio::test(flavor = "multi_thread")]
async fn owner_does_everything_with_encli_and_a_stranger_nothing() -> Result<()> {
    in_world(calm()?, async |world| {
        let script = format!("echo hello from inside; {}", World::SERVE);
        let first = world.push_tagged(&World::busybox(&script, "first"), "app", "t1").await?;
        let next = world.push_tagged(&World::busybox(&script, "next"), "app", "t2").await?;
        let owner = Person::new(world, "owner", Keys::generate()).await?;
        world.fund(&owner.keys, Msat::new(500_000)).await?;
        let service = world.service()?.to_bech32()?;
        let deployed = owner
            .ask(&[
                "deploy",
                &first,
                "--instance",
                &service,
                "--name",
                "blog",
                "--port",
                "8080",
                "--volume",
                "/data",
                "--upgrade",
                "owner",
                "--exec",
                "--env",
                "MODE=slow",
                "--pay",
                "file:wallet",
                "--wait",
            ])
            .await?;
        let pubkey = PublicKey::parse(deployed["pubkey"].as_str().context("pubkey")?)?;
        let npub = pubkey.to_bech32()?;
        ensure!(deployed["state"] == "deployed" && deployed["image"] == first, "{deployed}");
        // That commands may be run in it is certified: who uses it may know.
        let event = world.container_event(&pubkey).await?;
        ensure!(VerifiedContainer::verify(&event, &world.policy()?)?.certified().exec);
        let shown = owner.ask(&["container", "verify", &npub]).await?;
        ensure!(shown["exec"] == true && shown["pinned"] == true, "{shown}");

        sees(&owner, &npub).await?;
        changes(&owner, &npub, &first, &next).await?;
        pays(world, &owner, &npub).await?;
        let stranger = Person::new(world, "stranger", Keys::generate()).await?;
        for verb in [
            "status",
            "logs",
            "stats",
            "events",
            "upgrades",
            "pin",
            "unpin",
            "pause",
            "receipts",
            "terminate",
        ] {
            ensure!(stranger.refused(&["container", verb, &npub]).await? == "not_owner", "{verb}");
        }
        ensure!(stranger.refused(&["container", "exec", &npub, "--", "id"]).await? == "not_owner");
        ensure!(stranger.refused(&["container", "set-env", &npub, "--env", "A=b"]).await? == "not_owner");
        ensure!(stranger.refused(&["container", "upgrade", &npub, &first]).await? == "not_owner");
        let over = owner.ask(&["container", "terminate", &npub]).await?;
        ensure!(over["state"] == "terminated", "{over}");
        Ok(())
    })
    .await
}

async fn sees(owner: &Person, npub: &str) -> Result<()> {
    let logs = owner.ask(&["container", "logs", npub]).await?;
    let lines = logs["lines"].as_array().context("lines")?;
    ensure!(lines.iter().any(|line| line["text"] == "hello from inside"), "{logs}");
    let stats = owner.ask(&["container", "stats", npub]).await?;
    ensure!(stats["running"] == true && stats["burn_msat_per_day"] == 120_000, "{stats}");
    ensure!(stats["memory_bytes"].as_u64().is_some_and(|used| used > 0), "{stats}");
    let ran = owner.ask(&["container", "exec", npub, "--", "/bin/sh", "-c", "echo $MODE; exit 3"]).await?;
    ensure!((&ran["exit_code"], &ran["stdout"]) == (&json!(3), &json!("slow\n")), "{ran}");
    let events = owner.ask(&["container", "events", npub]).await?;
    let codes: Vec<_> =
        events["events"].as_array().context("events")?.iter().map(|one| &one["code"]).collect();
    ensure!(codes.contains(&&json!("exec")) && codes.contains(&&json!("state")), "{events}");
    let list = owner.ask(&["container", "ls"]).await?;
    ensure!(list.to_string().contains("blog"), "{list}");
    Ok(())
}

async fn changes(owner: &Person, npub: &str, first: &str, next: &str) -> Result<()> {
    let changed = owner.ask(&["container", "set-env", npub, "--env", "MODE=fast"]).await?;
    ensure!(changed["manifest"]["env"]["MODE"].is_string(), "{changed}");
    let ran = owner.ask(&["container", "exec", npub, "--", "/bin/sh", "-c", "echo $MODE"]).await?;
    ensure!(ran["stdout"] == "fast\n", "{ran}");

    let pinned = owner.ask(&["container", "pin", npub]).await?;
    ensure!((&pinned["pinned"], &pinned["image"]) == (&json!(true), &json!(first)), "{pinned}");
    ensure!(owner.refused(&["container", "upgrade", npub, next]).await? == "pinned");
    let unpinned = owner.ask(&["container", "unpin", npub]).await?;
    ensure!(unpinned["pinned"] == false, "{unpinned}");
    let upgraded = owner.ask(&["container", "upgrade", npub, next, "--wait"]).await?;
    ensure!(upgraded["image"] == next, "{upgraded}");
    let decided = owner.ask(&["container", "upgrades", npub]).await?;
    ensure!(
        decided["upgrades"][0]["image"] == next && decided["upgrades"][0]["outcome"] == "done",
        "{decided}"
    );
    let paused = owner.ask(&["container", "pause", npub]).await?;
    ensure!(paused["owner_paused"] == true, "{paused}");
    let resumed = owner.ask(&["container", "resume", npub]).await?;
    ensure!(resumed["state"] == "deployed" && resumed["owner_paused"] == false, "{resumed}");
    Ok(())
}

async fn pays(world: &World, owner: &Person, npub: &str) -> Result<()> {
    let topup = owner.ask(&["container", "topup", "50", npub, "--pay", "file:wallet"]).await?;
    ensure!((&topup["paid"], &topup["amount_msat"]) == (&json!(true), &json!(50_000)), "{topup}");
    // One more is made for it than pays it: who has not paid gets the same one again.
    let open = owner.ask(&["container", "topup", "7", npub]).await?;
    let again = owner.ask(&["container", "topup", "7", npub]).await?;
    ensure!(open["invoice"] == again["invoice"] && open["invoice"] != topup["invoice"], "{open} {again}");
    let took = Stopwatch::start();
    while owner.ask(&["container", "status", npub]).await?["balance_msat"] != 50_000 {
        ensure!(took.elapsed() < SOON, "the balance does not rise");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let back = owner.ask(&["container", "withdraw", npub, "--wallet", "file:wallet", "--sats", "20"]).await?;
    ensure!(back["amount_msat"] == 20_000 && back["balance_msat"].as_i64() <= Some(30_000), "{back}");
    let receipts = owner.ask(&["container", "receipts", npub, "--verify", "--out", "receipts.json"]).await?;
    ensure!(receipts["verified"] == true && receipts["receipts"][0]["amount_msat"] == 5_000, "{receipts}");
    // From the file, by somebody who asks no server.
    world.pool().await?;
    let offline = owner.ask(&["container", "receipts", "receipts.json", "--verify"]).await?;
    ensure!(offline["receipts"] == receipts["receipts"], "{offline}");
    // One that was changed is none.
    let file = owner.dir().join("receipts.json");
    let forged = std::fs::read_to_string(&file)?.replacen("5000", "4000", 1);
    std::fs::write(owner.dir().join("forged.json"), forged)?;
    let refused = owner.refused(&["container", "receipts", "forged.json", "--verify"]).await?;
    ensure!(
        matches!(refused.as_str(), "receipt_invalid" | "statement_invalid" | "event_invalid"),
        "{refused}"
    );
    Ok(())
}

/// What two people sign and one publishes with `encli` is what a server takes.
#[tokio::test(flavor = "multi_thread")]
async fn release_that_encli_published_is_taken() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let (alice, bob) = (Keys::generate(), Keys::generate());
        let signers = [alice.public_key().to_hex(), bob.public_key().to_hex()].join(",");
        let labels = |version: &str| -> BTreeMap<String, String> {
            let pairs = [
                ("repo", REPO),
                ("version", version),
                ("signers", &signers),
                ("signer_relays", &world.relay_url()),
            ];
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        };
        let first = App::good(world, "1")?.labels(&labels("1.0.0")).push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "auto").await?;
        let second = App::good(world, "2")?.labels(&labels("1.1.0")).push(world).await?;

        let (alice, bob) = (Person::new(world, "alice", alice).await?, Person::new(world, "bob", bob).await?);
        let terms = ["--ref", REPO, "--version", "1.1.0", "--env", "dev"];
        let sign = async |person: &Person, file: &str| -> Result<Value> {
            person
                .ask(&[&["image", "sign-release", &second], terms.as_slice(), &["--out", file]].concat())
                .await
        };
        let (hers, his) = (alice.dir().join("alice.json"), alice.dir().join("bob.json"));
        let (hers, his) = (hers.display().to_string(), his.display().to_string());
        sign(&alice, &hers).await?;
        sign(&bob, &his).await?;
        let publish = ["image", "publish-release", &second, &hers, &his];
        alice.ask(&[publish.as_slice(), &terms].concat()).await?;
        let record = ended(&owner, &pubkey, &second).await?;
        ensure!(
            record.outcome == UpgradeOutcome::Done && record.version.as_deref() == Some("1.1.0"),
            "{record:?}"
        );
        check_runs(&owner, &pubkey, &second, &note).await
    })
    .await
}
