//! A container that changes hands: by the word of both keys, and with nothing of the former owner's going on
//! in it.

use anyhow::{Context, Result, bail, ensure};
use devnet::world::World;
use enclaved::store::Store;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::enclaved::ContainerStatus;
use protocol::secrets::Secrets;
use serde_json::{Value, json};
use units::Stopwatch;

use super::{app_wallet, socket};
use crate::facts::wallet_container;
use crate::in_world::{calm, in_world};
use crate::netns::{engine_name, exec};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};
use crate::upgrade::app::started_at;

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
        // The shell is gone before what it started in the background is what it is to be.
        let took = Stopwatch::start();
        while !processes(world, &pubkey).await?.contains(LEFT_BEHIND) {
            ensure!(took.elapsed() < SOON, "this proves nothing");
            tokio::time::sleep(LOOK_EVERY).await;
        }
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
        app_wallet(world, &next).await?;
        login_of_the_next(world, &bob, &pubkey, registry).await
    })
    .await
}

/// Nothing in it changes after its launch; the account at the registry is nothing in it.
async fn login_of_the_next(world: &World, bob: &Stranger, pubkey: &PublicKey, registry: &str) -> Result<()> {
    let (before, started) = (bob.status(pubkey).await?, started_at(world, pubkey).await?);
    let login = |host: &str| json!({"host": host, "username": "bob", "password": "hunter2"});
    let sealed = |secrets: Value| -> Result<Value> {
        let secrets: Secrets = serde_json::from_value(secrets)?;
        Ok(json!({"pubkey": pubkey, "secrets": secrets.seal(bob.keys.secret_key(), &world.service()?)?}))
    };
    let elsewhere = sealed(json!({"registry": login("evil.example")}))?;
    assert_eq!(bob.refused("set_env", elsewhere).await, "secrets_invalid");
    let more = sealed(json!({"registry": login(registry), "env": {"TOKEN": "mine"}}))?;
    assert_eq!(bob.refused("set_env", more).await, "secrets_invalid");
    assert_eq!(bob.refused("set_env", json!({"pubkey": pubkey, "env": {}})).await, "upgrade_forbidden");
    assert_eq!(bob.refused("set_env", json!({"pubkey": pubkey})).await, "params_invalid");
    ensure!(!login_on_record(world, pubkey)?);
    let mine = sealed(json!({"registry": login(registry)}))?;
    let after: ContainerStatus = bob.call("set_env", mine).await?;
    ensure!(login_on_record(world, pubkey)?, "he cannot have its image fetched any more");
    ensure!(after == before && started_at(world, pubkey).await? == started, "{after:?}");
    ensure!(exec(world, pubkey, "cat $TOKEN_FILE").await?.text == "kept");
    Ok(())
}

/// What was refused has changed nothing, and what the app was given is the app's still.
#[tokio::test(flavor = "multi_thread")]
async fn container_changes_no_hands_while_the_wallet_hears_nothing() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 0).await?);
        let (pubkey, docker) = (alice.settled(&image).await?, world.engine().client().clone());
        let app = socket(world, &pubkey).wallet().await?;
        app_wallet(world, &app).await?;
        let (to_bob, one) =
            (json!({"pubkey": pubkey, "owner": bob.keys.public_key()}), json!({"pubkey": pubkey}));
        let offered: ContainerStatus = alice.call("transfer", to_bob).await?;
        let (wallet, started) = (engine_name(&wallet_container(world)?), started_at(world, &pubkey).await?);
        docker.pause_container(&wallet).await?;
        let refused = bob.refused("accept_transfer", one.clone()).await;
        docker.unpause_container(&wallet).await?;
        assert_eq!(refused, "wallet_unavailable");
        ensure!(alice.status(&pubkey).await? == offered, "it changed something");
        ensure!(started_at(world, &pubkey).await? == started, "its process was ended for nothing");
        let still = socket(world, &pubkey).wallet().await?;
        ensure!(still.secret() == app.secret(), "its app was taken what it had");
        bob.call::<ContainerStatus>("accept_transfer", one).await?;
        ensure!(app_wallet(world, &app).await.is_err(), "her connection still works");
        Ok(())
    })
    .await
}

/// Whoever says that they accept what nobody offers them takes no place among its owner's commands.
#[tokio::test(flavor = "multi_thread")]
async fn stranger_who_accepts_waits_behind_no_owner() -> Result<()> {
    in_world(calm()?, async |world| {
        // It does not end when it is told to, and is killed after some seconds.
        let script = World::SERVE.replacen("trap 'exit 0' TERM", "trap '' TERM", 1);
        let image = world.push(&World::busybox(&script, "stubborn"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 0).await?);
        let pubkey = alice.settled(&image).await?;
        let one = json!({"pubkey": pubkey});
        let pausing = alice.call::<Value>("pause", one.clone());
        tokio::pin!(pausing);
        loop {
            tokio::select! {
                paused = &mut pausing => bail!("this proves nothing: {paused:?}"),
                status = alice.status(&pubkey) => if status?.info.state == "paused" { break },
            }
        }
        tokio::select! {
            biased;
            _ = &mut pausing => bail!("he was let wait until her command was carried out"),
            code = bob.refused("accept_transfer", one) => assert_eq!(code, "not_owner"),
        }
        // Both answers may come at once when it is done; until then its process is there.
        let runs = exec(world, &pubkey, "true").await.is_ok_and(|ran| ran.code == 0);
        ensure!(runs, "he was answered when her command was carried out");
        pausing.await?;
        Ok(())
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
