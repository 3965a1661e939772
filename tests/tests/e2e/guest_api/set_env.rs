//! Changing environment and secrets of a running container.

use anyhow::Result;
use devnet::world::World;
use protocol::rpc::enclaved::ContainerStatus;
use protocol::secrets::Secrets;
use serde_json::json;

use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};

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
