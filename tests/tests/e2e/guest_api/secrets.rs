//! Secrets: the container reads them, and nobody else finds them anywhere.

use anyhow::Result;
use bollard::query_parameters::InspectContainerOptions;
use devnet::world::World;
use protocol::manifest::Salt;
use protocol::rpc::enclaved::LaunchReply;
use protocol::secrets::Secrets;
use serde_json::json;

use super::socket;
use crate::in_world::{calm, in_world};
use crate::netns::{engine_name, exec};
use crate::stranger::{Stranger, get};

const VALUE: &str = "hunter2-is-the-secret";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_container_and_nobody_else() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 100).await?);
        let secrets: Secrets = serde_json::from_value(json!({
            "env": {"TOKEN": VALUE},
            "files": {"raw.bin": "aHVudGVyMi1pcy10aGUtc2VjcmV0"},
        }))?;
        let sealed = secrets.seal(alice.keys.secret_key(), &world.service()?)?;
        let salt = Salt::new([9; 32]);
        let params = json!({"ports": [8080], "secrets": sealed, "salt": salt});
        let launched: LaunchReply = alice.launch(&image, params).await?;
        assert_eq!(launched.manifest.secrets, secrets.hmacs(&salt));
        let pubkey = launched.pubkey;
        alice.pay(&launched.invoice.invoice).await?;
        alice.wait_for(&pubkey, "deployed").await?;
        get(&alice.url(&pubkey).await?).await?;

        let script =
            "cat $TOKEN_FILE; echo; cat /run/enclaved/secrets/raw.bin; echo; env; ls /run/enclaved/secrets";
        let read = exec(world, &pubkey, script).await?;
        let lines: Vec<_> = read.text.lines().collect();
        assert_eq!(lines[..2], [VALUE, VALUE], "{read:?}");
        assert!(lines.contains(&"TOKEN_FILE=/run/enclaved/secrets/TOKEN"), "{read:?}");
        assert!(!lines.iter().any(|line| line.starts_with("TOKEN=")), "{read:?}");
        // As any other user of the container, too.
        let mounts = exec(world, &pubkey, "cat /proc/mounts").await?.text;
        assert!(mounts.lines().any(|line| line.contains("/run/enclaved tmpfs ro")), "{mounts}");

        // Not at the engine, not in the daemon's log, not in its files, not in the public event.
        let engine = world.engine().client();
        let found = engine.inspect_container(&engine_name(&pubkey), None::<InspectContainerOptions>).await?;
        assert!(!serde_json::to_string(&found)?.contains(VALUE));
        assert!(!world.daemon_log()?.contains(VALUE));
        for file in ["state.db", "state.db-wal", "requests.db", "requests.db-wal"] {
            let bytes = std::fs::read(world.state_dir().join(file)).unwrap_or_default();
            let shown = bytes.windows(VALUE.len()).any(|part| part == VALUE.as_bytes());
            assert!(!shown, "{file} holds the secret in clear");
        }
        let status = alice.status(&pubkey).await?;
        assert!(!serde_json::to_string(&status)?.contains(VALUE));
        assert!(!serde_json::to_string(&socket(world, &pubkey).manifest().await?)?.contains(VALUE));

        refused(world, &bob, &image, &alice).await?;
        // A neighbour finds nothing of it.
        let other = bob.settled(&image).await?;
        let read = exec(world, &other, "cat /run/enclaved/secrets/*; ls /run/enclaved/secrets").await?;
        assert!(!read.text.contains(VALUE) && !read.text.contains("TOKEN"), "{read:?}");

        // A daemon that restarts, and a container that does, still have them; a wiped one leaves none.
        world.stop_daemon().await?;
        world.start_daemon().await?;
        get(&alice.url(&pubkey).await?).await?;
        assert!(exec(world, &pubkey, "cat $TOKEN_FILE").await?.text.contains(VALUE));
        let folder = super::socket_path(world, &pubkey);
        assert!(folder.exists());
        alice.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
        assert!(!folder.parent().unwrap().exists(), "the folder of secrets is still there");
        Ok(())
    })
    .await
}

/// What cannot be opened, or is against the rules, launches nothing.
async fn refused(world: &World, bob: &Stranger, image: &str, alice: &Stranger) -> Result<()> {
    let one = |name: &str| -> Result<Secrets> { Ok(serde_json::from_value(json!({"env": {name: VALUE}}))?) };
    let service = world.service()?;
    // Sealed by alice: in bob's launch it is not his to give.
    let alices = one("TOKEN")?.seal(alice.keys.secret_key(), &service)?;
    let to_else = one("TOKEN")?.seal(bob.keys.secret_key(), &alice.keys.public_key())?;
    let good = one("TOKEN")?.seal(bob.keys.secret_key(), &service)?;
    for (params, code) in [
        (json!({"secrets": alices}), "secrets_invalid"),
        (json!({"secrets": to_else}), "secrets_invalid"),
        (json!({"secrets": "bm90IHNlYWxlZA=="}), "secrets_invalid"),
        (json!({"secrets": {"env": {"TOKEN": VALUE}}}), "params_invalid"),
        (json!({"secrets": good, "env": {"TOKEN": "x"}}), "env_invalid"),
        (json!({"secrets": good, "env": {"TOKEN_FILE": "x"}}), "env_invalid"),
    ] {
        let mut asked = json!({"docker": image, "units": 1});
        asked.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
        assert_eq!(bob.refused("launch", asked).await, code, "{params}");
    }
    Ok(())
}
