//! A container that changes hands: by the word of both keys, and with nothing of the former owner's going on
//! in it.

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use enclaved::store::Store;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::enclaved::ContainerStatus;
use protocol::secrets::Secrets;
use serde_json::{Value, json};
use units::Stopwatch;

use super::{app_wallet, socket};
use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

/// What the former owner runs, as the list of processes shows it.
const LEFT_BEHIND: &str = "sleep 4711";

#[tokio::test(flavor = "multi_thread")]
async fn container_changes_hands_by_the_word_of_both() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 0).await?);
        let registry = image.split('/').next().context("a registry")?;
        let secrets: Secrets = serde_json::from_value(json!({
            "env": {"TOKEN": "kept"},
            "registry": {"host": registry, "username": "alice", "password": "hunter2"},
        }))?;
        let sealed = secrets.seal(alice.keys.secret_key(), &world.service()?)?;
        let params = json!({"ports": [8080], "exec": true, "secrets": sealed, "env": {"MODE": "x"}});
        let pubkey = alice.run(&image, params).await?;
        alice.wait_settled(&pubkey).await?;
        elsewhere_is_refused(world, &bob, &image).await?;
        let (url, before) = (alice.url(&pubkey).await?, alice.status(&pubkey).await?);
        ensure!(login_on_record(world, &pubkey)?, "this proves nothing");
        let app = socket(world, &pubkey).wallet().await?;
        app_wallet(world, &app).await?;

        offered_and_not_taken(&alice, &bob, &pubkey).await?;
        ensure!(alice.status(&pubkey).await? == before, "an offer that is taken back changes nothing");
        let offered: ContainerStatus =
            alice.call("transfer", json!({"pubkey": pubkey, "owner": bob.keys.public_key()})).await?;
        ensure!(offered.offer.is_some_and(|offer| offer.to == bob.keys.public_key()), "{offered:?}");
        // What she left running, and what still runs for her when he accepts.
        let script = format!("{LEFT_BEHIND} >/dev/null 2>&1 &");
        alice.call::<Value>("exec", json!({"pubkey": pubkey, "command": ["/bin/sh", "-c", script]})).await?;
        ensure!(processes(world, &pubkey).await?.contains(LEFT_BEHIND), "this proves nothing");
        let long = json!({"pubkey": pubkey, "command": ["/bin/sh", "-c", "sleep 55"], "timeout_secs": 60});
        let running = async {
            let took = Stopwatch::start();
            (alice.rpc.call::<Value>("exec", &long, 2 * SOON).await, took.elapsed())
        };
        let accepting = async {
            while !processes(world, &pubkey).await?.contains("sleep 55") {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Ok::<_, anyhow::Error>(
                bob.call::<ContainerStatus>("accept_transfer", json!({"pubkey": pubkey})).await?,
            )
        };
        let ((_, took), accepted) = tokio::join!(running, accepting);
        ensure!(took.as_secs() < 30, "her command ran on for {took:?}");
        taken_over(world, &alice, &bob, &before, &accepted?).await?;

        get(&url).await?;
        let now = processes(world, &pubkey).await?;
        ensure!(!now.contains("sleep 55") && !now.contains(LEFT_BEHIND), "{now}");
        ensure!(exec(world, &pubkey, "cat $TOKEN_FILE; echo $MODE").await?.text.contains("keptx"));
        ensure!(!login_on_record(world, &pubkey)?, "her account at the registry is still there");
        // What her app was given opens nothing any more; another is given, which does.
        ensure!(app_wallet(world, &app).await.is_err(), "her connection still works");
        let next = socket(world, &pubkey).wallet().await?;
        ensure!(next.secret() != app.secret() && next.wallet() != app.wallet());
        app_wallet(world, &next).await
    })
    .await
}

/// A login for one registry does not go into a launch of an image at another.
async fn elsewhere_is_refused(world: &World, bob: &Stranger, image: &str) -> Result<()> {
    let registry = json!({"host": "evil.example", "username": "bob", "password": "hunter2"});
    let secrets: Secrets = serde_json::from_value(json!({"registry": registry}))?;
    let sealed = secrets.seal(bob.keys.secret_key(), &world.service()?)?;
    let refused = bob.refused("launch", json!({"docker": image, "units": 1, "secrets": sealed})).await;
    assert_eq!(refused, "secrets_invalid");
    Ok(())
}

async fn offered_and_not_taken(alice: &Stranger, bob: &Stranger, pubkey: &PublicKey) -> Result<()> {
    let one = json!({"pubkey": pubkey});
    assert_eq!(bob.refused("accept_transfer", one.clone()).await, "not_owner", "nobody offers it");
    assert_eq!(alice.refused("cancel_transfer", one.clone()).await, "state_refused");
    let to = |key: PublicKey| json!({"pubkey": pubkey, "owner": key});
    assert_eq!(bob.refused("transfer", to(bob.keys.public_key())).await, "not_owner");
    assert_eq!(alice.refused("transfer", to(alice.keys.public_key())).await, "params_invalid");
    // Not his without his word, and not another's with it.
    alice.call::<Value>("transfer", to(Keys::generate().public_key())).await?;
    assert_eq!(bob.refused("accept_transfer", one.clone()).await, "not_owner", "it is offered to another");
    alice.call::<Value>("transfer", to(bob.keys.public_key())).await?;
    assert_eq!(bob.refused("status", one.clone()).await, "not_owner");
    assert_eq!(bob.refused("cancel_transfer", one.clone()).await, "not_owner");
    let taken_back: ContainerStatus = alice.call("cancel_transfer", one.clone()).await?;
    assert_eq!(taken_back.offer, None);
    assert_eq!(bob.refused("accept_transfer", one).await, "not_owner", "the offer was taken back");
    Ok(())
}

async fn taken_over(
    world: &World,
    alice: &Stranger,
    bob: &Stranger,
    before: &ContainerStatus,
    accepted: &ContainerStatus,
) -> Result<()> {
    let pubkey = before.info.pubkey;
    let one = json!({"pubkey": pubkey});
    assert_eq!(accepted.manifest.owner, bob.keys.public_key());
    assert_eq!(accepted.manifest.sha256()?, accepted.info.manifest_sha256);
    assert_ne!(accepted.info.manifest_sha256, before.info.manifest_sha256);
    assert!(accepted.salt != before.salt && accepted.offer.is_none());
    for method in ["status", "logs", "pause", "accept_transfer", "cancel_transfer"] {
        assert_eq!(alice.refused(method, one.clone()).await, "not_owner", "{method}");
    }
    // The same word again, as after an answer that was lost.
    let again: ContainerStatus = bob.call("accept_transfer", one).await?;
    assert_eq!(again.info.manifest_sha256, accepted.info.manifest_sha256);
    let log = world.daemon_log()?;
    assert!(!log.contains("hunter2"), "the log shows the password");
    Ok(())
}

/// What the daemon would show a registry.
fn login_on_record(world: &World, pubkey: &PublicKey) -> Result<bool> {
    let keys = enclaved::identity::load_or_create(&world.state_dir().join("service.key"))?;
    let store = Store::open(&world.state_dir().join("state.db"))?;
    let container = store.container(pubkey)?.context("a container")?;
    let sealed = container.spec.secrets.context("secrets")?;
    let opened = sealed.open(keys.secret_key(), &keys.public_key()).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(opened.registry.is_some())
}

async fn processes(world: &World, pubkey: &PublicKey) -> Result<String> {
    Ok(exec(world, pubkey, "ps").await?.text)
}
