//! Secrets, looked for wherever bytes of a server lie or go. What is no secret is looked for in the same way and
//! found, so that a search that sees nothing is noticed.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder};
use devnet::world::{SealingOptions, World};
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{ContainerStatus, History, ReceiptPage};
use protocol::secrets::Secrets;
use serde_json::{Value, json};

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{SOON, Stranger, get};

/// In the launch, in `set_env`, and of the account at the registry.
const SECRETS: [&str; 3] = ["hunter2-of-the-launch", "hunter2-of-set-env", "hunter2-of-the-registry"];
/// A variable that is no secret.
const MARK: &str = "anybody-may-read-this-0815";
/// Far more events than one world has.
const EVENTS_MAX: usize = 2_000;

/// Named bytes.
type Places = BTreeMap<String, Vec<u8>>;

#[tokio::test(flavor = "multi_thread")]
async fn secret_lies_nowhere_in_clear_where_the_rest_does() -> Result<()> {
    // A snapshot at the start and one at the end: containers are held still for each.
    in_world(calm()?.sealed(SealingOptions::default()), async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 100).await?);
        let service = world.service()?;
        let sealed = |value: &str| -> Result<_> {
            let host = image.split('/').next().context("a registry")?;
            let registry = json!({"host": host, "username": "alice", "password": SECRETS[2]});
            let secrets: Secrets =
                serde_json::from_value(json!({"env": {"TOKEN": value}, "registry": registry}))?;
            Ok(secrets.seal(alice.keys.secret_key(), &service)?)
        };
        let extra = json!({
            "ports": [8080], "volumes": ["/data"], "upgrade": "owner", "exec": true,
            "env": {"MODE": MARK}, "secrets": sealed(SECRETS[0])?,
        });
        let pubkey = alice.run(&image, extra).await?;
        alice.wait_settled(&pubkey).await?;
        get(&alice.url(&pubkey).await?).await?;
        ensure!(exec(world, &pubkey, "cat $TOKEN_FILE").await?.text == SECRETS[0]);
        let params = json!({"pubkey": pubkey, "env": {"MODE": MARK}, "secrets": sealed(SECRETS[1])?});
        alice.call::<ContainerStatus>("set_env", params).await?;
        get(&alice.url(&pubkey).await?).await?;
        ensure!(exec(world, &pubkey, "cat $TOKEN_FILE").await?.text == SECRETS[1]);
        let neighbour = bob.settled(&image).await?;
        let own = exec(world, &pubkey, "cat /run/enclaved/secrets/*; env").await?.text;
        ensure!(!own.contains(SECRETS[2]), "the container sees the account at the registry");

        let mut places = told(world, &alice, &pubkey).await?;
        places.extend(engine(world).await?);
        places.insert(
            "neighbour".into(),
            exec(world, &neighbour, "cat /run/enclaved/secrets/* /proc/*/environ").await?.text.into(),
        );
        // A snapshot of all that is in it, too.
        let backups = world.backups().to_owned();
        world.stop_daemon().await?;
        places.extend(files("state", &world.data_dir())?);
        places.extend(files("backups", &backups)?);
        places.extend(files("parent's papers", world.operator().dir())?);
        for entry in world.dir().read_dir()? {
            let path = entry?.path();
            if path.extension().is_some_and(|it| it == "log") {
                places.insert(path.display().to_string(), std::fs::read(&path)?);
            }
        }
        println!("{} places were searched", places.len());
        for secret in SECRETS {
            let found = holding(&places, secret);
            ensure!(found.is_empty(), "{secret} is in clear in {found:?}");
        }
        // What is no secret is found: where the daemon keeps it, and where the engine shows it.
        let found = holding(&places, MARK);
        for place in ["state/state.db", "engine"] {
            ensure!(found.iter().any(|name| name.starts_with(place)), "{place} was not searched: {found:?}");
        }
        // And whatever holds the sealed bytes was searched, too.
        let sizes = |part: &str| -> usize {
            places.iter().filter(|(name, _)| name.starts_with(part)).map(|(_, bytes)| bytes.len()).sum()
        };
        for part in
            ["status", "backups", "events", "history", "receipts", "state/messages.db", "state/requests.db"]
        {
            ensure!(sizes(part) > 0, "there is nothing in {part}");
        }
        Ok(())
    })
    .await
}

/// What its owner and the world are told.
async fn told(world: &World, owner: &Stranger, pubkey: &PublicKey) -> Result<Places> {
    let of = json!({"pubkey": pubkey});
    let status: Value = owner.call("status", of.clone()).await?;
    let history: History = owner.call("events", of.clone()).await?;
    ensure!(history.events.iter().any(|event| event.code == "env_changed"), "{history:?}");
    let receipts: ReceiptPage = owner.call("receipts", of.clone()).await?;
    ensure!(!receipts.receipts.is_empty());
    let logs: Value = owner.call("logs", of).await?;
    let events = world.pool().await?.fetch_at_most(Filter::new(), SOON, EVENTS_MAX).await?;
    ensure!(events.iter().any(|event| event.pubkey == *pubkey), "the container's event is not among them");
    let events = events.iter().map(|event| event.as_json()).collect::<Vec<_>>().join("\n");
    let all = [
        ("status", status.to_string()),
        ("history", serde_json::to_string(&history)?),
        ("receipts", serde_json::to_string(&receipts)?),
        ("logs", logs.to_string()),
        ("events", events),
    ];
    Ok(all.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect())
}

/// Every container as the engine shows it, the neighbours' and the wallet's among them.
async fn engine(world: &World) -> Result<Places> {
    let docker = world.engine().client();
    let mut places = Places::new();
    let options = ListContainersOptionsBuilder::default().all(true).build();
    for one in docker.list_containers(Some(options)).await? {
        let id = one.id.context("an id")?;
        let shown = docker.inspect_container(&id, None::<InspectContainerOptions>).await?;
        places.insert(format!("engine {id}"), serde_json::to_vec(&shown)?);
    }
    ensure!(places.len() >= 3, "the wallet, alice's, bob's: {:?}", places.keys());
    Ok(places)
}

/// Every file below a folder.
fn files(name: &str, folder: &Path) -> Result<Places> {
    let mut places = Places::new();
    for entry in folder.read_dir().with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = format!("{name}/{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            places.extend(files(&name, &path)?);
        } else if path.is_file() {
            places.insert(name, std::fs::read(&path)?);
        }
    }
    Ok(places)
}

fn holding<'p>(places: &'p Places, text: &str) -> Vec<&'p String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    places.iter().filter(|(_, bytes)| has(bytes)).map(|(name, _)| name).collect()
}
