//! Changing environment and secrets of a running container.

use anyhow::Result;
use devnet::world::World;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::ContainerStatus;
use protocol::secrets::Secrets;
use serde_json::json;

use super::socket;
use crate::in_world::{calm, in_world};
use crate::netns::{engine_name, exec};
use crate::stranger::{LOOK_EVERY, Stranger, get};
use crate::upgrade::app::started_at;

#[tokio::test(flavor = "multi_thread")]
async fn environment_changes_with_the_manifest_where_the_launch_lets_it() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let alice = Stranger::with(world, 100).await?;
        let sealed = |value: &str| -> Result<_> {
            let secrets: Secrets = serde_json::from_value(json!({"env": {"TOKEN": value}}))?;
            Ok(secrets.seal(alice.keys.secret_key(), &world.service()?)?)
        };
        let params = json!({"ports": [8080], "upgrade": "owner", "env": {"MODE": "slow", "OLD": "1"}, "secrets": sealed("first")?});
        let pubkey = alice.run(&image, params).await?;
        let url = alice.url(&pubkey).await?;
        get(&url).await?;
        let before = alice.status(&pubkey).await?;

        // Variables alone: secrets stay.
        let after: ContainerStatus =
            alice.call("set_env", json!({"pubkey": pubkey, "env": {"MODE": "fast"}})).await?;
        assert_ne!(after.info.manifest_sha256, before.info.manifest_sha256);
        assert_eq!(after.manifest.sha256()?, after.info.manifest_sha256);
        assert_eq!(after.manifest.secrets, before.manifest.secrets);
        get(&url).await?;
        let seen = exec(world, &pubkey, "env; cat $TOKEN_FILE").await?.text;
        assert!(seen.contains("MODE=fast") && !seen.contains("OLD=") && seen.ends_with("first"), "{seen}");

        // Secrets, too; what is on record is what runs after a crash.
        let params = json!({"pubkey": pubkey, "env": {"MODE": "fast"}, "secrets": sealed("second")?});
        let last: ContainerStatus = alice.call("set_env", params).await?;
        assert_ne!(last.info.manifest_sha256, after.info.manifest_sha256);
        world.kill_daemon().await?;
        world.start_daemon().await?;
        get(&url).await?;
        assert!(exec(world, &pubkey, "cat $TOKEN_FILE").await?.text.ends_with("second"));
        assert_eq!(alice.status(&pubkey).await?.info.manifest_sha256, last.info.manifest_sha256);

        // Not by another, not against the rules, and not where the launch says that nothing changes.
        let bob = Stranger::with(world, 100).await?;
        let wanted = json!({"pubkey": pubkey, "env": {"MODE": "x"}});
        assert_eq!(bob.refused("set_env", wanted).await, "not_owner");
        let clash = json!({"pubkey": pubkey, "env": {"TOKEN_FILE": "x"}});
        assert_eq!(alice.refused("set_env", clash).await, "env_invalid");
        let fixed = bob.settled(&image).await?;
        let refused = json!({"pubkey": fixed, "env": {"MODE": "x"}});
        assert_eq!(bob.refused("set_env", refused).await, "upgrade_forbidden");
        assert_eq!(alice.status(&pubkey).await?.info.manifest_sha256, last.info.manifest_sha256);
        Ok(())
    })
    .await
}

/// What a process asks its server to prove is answered from what is on record: a process of before must never
/// find the environment of after there.
#[tokio::test(flavor = "multi_thread")]
async fn process_of_before_never_sees_the_manifest_of_after() -> Result<()> {
    in_world(calm()?, async |world| {
        // It does not end when it is told to, and is killed after some seconds.
        let script = World::SERVE.replacen("trap 'exit 0' TERM", "trap '' TERM", 1);
        let image = world.push(&World::busybox(&script, "stubborn"), "guest").await?;
        let alice = Stranger::with(world, 100).await?;
        let pubkey =
            alice.run(&image, json!({"ports": [8080], "upgrade": "owner", "env": {"MODE": "slow"}})).await?;
        get(&alice.url(&pubkey).await?).await?;
        let (guest, before) = (socket(world, &pubkey), started_at(world, &pubkey).await?);
        let old = guest.manifest().await?.manifest_sha256;
        let change =
            alice.call::<ContainerStatus>("set_env", json!({"pubkey": pubkey, "env": {"MODE": "fast"}}));
        tokio::pin!(change);
        let mut looks = 0;
        let after = loop {
            tokio::select! {
                changed = &mut change => break changed?,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            // In this order: a process that is gone by the second look proves nothing.
            let shown = guest.manifest().await;
            let runs = is_running(world, &pubkey).await?
                && started_at(world, &pubkey).await.ok().as_ref() == Some(&before);
            if runs && let Ok(shown) = shown {
                assert_eq!(shown.manifest_sha256, old, "the old process runs under the new manifest");
                looks += 1;
            }
        };
        assert!(looks > 3, "it was looked {looks} times only");
        assert_ne!(after.info.manifest_sha256, old);
        assert_eq!(guest.manifest().await?.manifest_sha256, after.info.manifest_sha256);
        Ok(())
    })
    .await
}

async fn is_running(world: &World, pubkey: &PublicKey) -> Result<bool> {
    let options = None::<bollard::query_parameters::InspectContainerOptions>;
    let found = world.engine().client().inspect_container(&engine_name(pubkey), options).await;
    Ok(found.ok().and_then(|found| found.state?.running).unwrap_or(false))
}
