//! The file system in memory that all containers' sockets and secrets share, filled to the end.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use protocol::secrets::Secrets;
use relay::rpc::RpcError;
use serde_json::{Value, json};

use super::{socket, socket_path};
use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};
use devnet::world::World;

/// What a container would do to it.
const ATTACK: &str = "cd /run/enclaved; mount -o remount,rw /run/enclaved; dd if=/dev/zero of=x bs=1M; \
                      touch secrets/y; rm -f guest.sock; ls -A . secrets";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_without_room_are_said_to_have_none_and_harm_nobody_else() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 100).await?);
        let sealed = |value: &str| -> Result<_> {
            let secrets: Secrets = serde_json::from_value(json!({"env": {"TOKEN": value}}))?;
            Ok(secrets.seal(alice.keys.secret_key(), &world.service()?)?)
        };
        let params = json!({"ports": [8080], "upgrade": "owner", "secrets": sealed("first")?});
        let pubkey = alice.run(&image, params).await?;
        let url = alice.url(&pubkey).await?;
        get(&url).await?;
        let neighbour = bob.settled(&image).await?;

        // A container cannot fill it: it reads only.
        let seen = exec(world, &pubkey, ATTACK).await?.text;
        let listed: Vec<_> =
            seen.lines().filter(|line| !line.contains(": ") && !line.contains(" records ")).collect();
        assert_eq!(listed, [".:", "guest.sock", "secrets", "", "secrets:", "TOKEN"], "{seen}");

        // Whatever else does, those that run go on, and one that has no secrets starts.
        let before = alice.status(&pubkey).await?;
        let folder = socket_path(world, &pubkey);
        let filler = folder.parent().and_then(Path::parent).context("no folder of all")?.join("filler");
        fill(&filler)?;
        get(&bob.url(&neighbour).await?).await?;
        bob.call::<Value>("pause", json!({"pubkey": neighbour})).await?;
        bob.call::<Value>("resume", json!({"pubkey": neighbour})).await?;
        get(&bob.url(&neighbour).await?).await?;
        socket(world, &neighbour).manifest().await?;

        // What fails, and how it stands, is said.
        let wanted = json!({"pubkey": pubkey, "env": {}, "secrets": sealed("second")?});
        let refusal = match alice.call::<Value>("set_env", wanted).await {
            Err(RpcError::Refused(refusal)) => refusal,
            other => anyhow::bail!("set_env says {other:?}"),
        };
        assert_eq!(refusal.code, "server_full", "{refusal:?}");
        for part in ["on record", "no room", "secrets", "tried again"] {
            assert!(refusal.message.contains(part), "{refusal:?}");
        }
        assert_ne!(alice.status(&pubkey).await?.info.manifest_sha256, before.info.manifest_sha256);
        let events: Value = alice.call("events", json!({"pubkey": pubkey})).await?;
        assert!(events.to_string().contains("not_started"), "{events}");

        std::fs::remove_file(&filler)?;
        get(&url).await?;
        let seen = exec(world, &pubkey, "cat $TOKEN_FILE; ls -A /run/enclaved/secrets").await?.text;
        assert!(seen.starts_with("second"), "{seen}");
        assert!(!seen.contains(".new"), "what was half written is left: {seen}");
        Ok(())
    })
    .await
}

/// Writes until there is no room for another byte.
fn fill(path: &Path) -> Result<()> {
    let mut file = std::fs::File::create(path)?;
    for size in [1 << 20, 1 << 12] {
        let part = vec![0; size];
        loop {
            match file.write_all(&part) {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => break,
                Err(e) => return Err(e.into()),
            }
        }
    }
    let length = file.metadata()?.len();
    ensure!(length > 1 << 20, "only {length} bytes fit");
    Ok(())
}
