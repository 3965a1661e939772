//! Launches whose parameters are wrong, and images that are not for this server.

use anyhow::Result;
use devnet::image_build::{Content, ImageSpec, Platform};
use devnet::world::World;
use protocol::rpc::enclaved::{ContainerList, Quote};
use serde_json::{Value, json};
use units::Stopwatch;

use super::check;
use crate::facts::{Facts, seen_in_box};
use crate::in_world::{calm, in_world};
use crate::stranger::{Stranger, get};

/// What is refused by its address is refused before anybody is asked.
const AT_ONCE_SECS: u64 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn refused_launch_has_its_code_and_changes_nothing() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let stranger = Stranger::with(world, 100).await?;
        let begin = Facts::of(world).await?;
        let free = units_free(&stranger, &image).await?;
        refused_parameters(world, &stranger, &image).await?;
        refused_images(world, &stranger).await?;
        refused_addresses(world, &stranger).await?;
        assert_eq!(Facts::of(world).await?, begin);
        assert_eq!(units_free(&stranger, &image).await?, free);
        let list: ContainerList = stranger.call("list", json!({})).await?;
        assert_eq!(list.containers, []);
        // And whoever was refused so often is let in all the same.
        let pubkey = stranger.run(&image, json!({"ports": [8080]})).await?;
        assert_eq!(get(&stranger.url(&pubkey).await?).await?.0, 200);
        Ok(())
    })
    .await
}

async fn units_free(who: &Stranger, image: &str) -> Result<u32> {
    let quote: Quote = who.call("quote", json!({"docker": image, "units": 1})).await?;
    Ok(quote.units_free)
}

async fn refused_parameters(world: &World, who: &Stranger, image: &str) -> Result<()> {
    let too_many: Vec<u16> = (1..=17).collect();
    let cases = [
        (json!({"units": 0}), "units_invalid"),
        (json!({"units": 51}), "units_invalid"),
        (json!({"units": "abc"}), "units_invalid"),
        (json!({"units": 1e9}), "units_invalid"),
        (json!({"units": 1_000_000_000}), "units_invalid"),
        (json!({"units": -1}), "units_invalid"),
        (json!({"units": 1.5}), "units_invalid"),
        (json!({"units": null}), "units_invalid"),
        (json!({"units": [1]}), "units_invalid"),
        (json!({"env": {"A\nprivileged": "1"}}), "env_invalid"),
        (json!({"env": {"A\0": "1"}}), "env_invalid"),
        (json!({"env": {"A": "1\nprivileged: true"}}), "env_invalid"),
        (json!({"env": {"A": "1\r"}}), "env_invalid"),
        (json!({"env": {"A": "1\0"}}), "env_invalid"),
        (json!({"env": {"": "1"}}), "env_invalid"),
        (json!({"env": {"A=B": "1"}}), "env_invalid"),
        (json!({"env": {"ENCLAVED_TOKEN": "mine"}}), "env_invalid"),
        (json!({"env": {"A": "x".repeat(33_000)}}), "params_invalid"),
        (json!({"args": ["a\0b"]}), "params_invalid"),
        (json!({"ports": too_many}), "params_invalid"),
        (json!({"ports": [0]}), "params_invalid"),
        (json!({"ports": [80, 80]}), "params_invalid"),
        (json!({"volumes": ["data"]}), "params_invalid"),
        (json!({"volumes": ["/a:/etc"]}), "params_invalid"),
        (json!({"volumes": ["/a/../../etc"]}), "params_invalid"),
        (json!({"volumes": ["/proc"]}), "params_invalid"),
        (json!({"name": "a\u{1b}[31m"}), "params_invalid"),
        (json!({"privileged": true}), "params_invalid"),
        (json!({"salt": "abc"}), "params_invalid"),
        (json!({"egress": "example.com"}), "egress_unsupported"),
        (json!({"egress": "signed"}), "egress_unsupported"),
        (json!({"upgrade": "sometimes"}), "upgrade_unsupported"),
        (json!({"upgrade": "Owner"}), "upgrade_unsupported"),
        (json!({"upgrade": "signed"}), "labels_invalid"),
        (json!({"exec": 1}), "params_invalid"),
        (json!({"docker": ""}), "image_reference_invalid"),
        (json!({"docker": "http://x/y"}), "image_reference_invalid"),
        (json!({"docker": "x/UPPER"}), "image_reference_invalid"),
        (json!({"docker": "x/y:tag:tag"}), "image_reference_invalid"),
        (json!({"docker": "x/y@sha256:00"}), "image_reference_invalid"),
        (json!({"docker": "x/y\nz"}), "image_reference_invalid"),
        (json!({"docker": format!("x/{}", "y".repeat(600))}), "image_reference_invalid"),
    ];
    for (extra, code) in cases {
        check(world, who, &["quote", "launch"], &with(image, &extra), code).await?;
    }
    Ok(())
}

fn with(image: &str, extra: &Value) -> Value {
    let mut params = json!({"docker": image, "units": 1});
    for (name, value) in extra.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

async fn refused_images(world: &World, who: &Stranger) -> Result<()> {
    let registry = world.registry();
    let small = || ImageSpec::default().file("/x", Content::Bytes(b"x".to_vec()), 0o755).entrypoint(&["/x"]);
    let arm = small().platform(Platform::linux("arm64"));
    let index = [arm.clone(), small().platform(Platform::linux("riscv64"))];
    // One unit holds 50 MB.
    let large = small().file("/noise", Content::Noise { bytes: 51_000_000 }, 0o644);
    let nothing = format!("sha256:{}", "0".repeat(64));
    let cases = [
        (registry.reference("nobody/nothing:1"), "image_not_found"),
        (registry.reference("echo:never"), "image_not_found"),
        (registry.reference(&format!("echo@{nothing}")), "image_not_found"),
        (world.push(&arm, "arm").await?, "image_platform"),
        (world.push_index(&index, "elsewhere").await?, "image_platform"),
        (world.push(&large, "large").await?, "image_too_large"),
    ];
    for (image, code) in &cases {
        check(world, who, &["quote", "launch"], &with(image, &json!({})), code).await?;
    }
    // Two units hold it, and an index with the right platform among others is one that runs.
    let (large, _) = &cases[5];
    who.call::<Quote>("quote", json!({"docker": large, "units": 2})).await?;
    let both = world.push_index(&[arm, small()], "both").await?;
    let quote: Quote = who.call("quote", json!({"docker": both, "units": 1})).await?;
    assert_ne!(quote.image, both, "what runs is the platform's own manifest");
    Ok(())
}

async fn refused_addresses(world: &World, who: &Stranger) -> Result<()> {
    // A name that somebody's DNS sends into the operator's network.
    let hosts = seen_in_box(world, "/etc/hosts".as_ref())?;
    let text = std::fs::read_to_string(&hosts)?;
    let allowed = world.enclave().host_address();
    std::fs::write(&hosts, format!("{text}\n10.0.0.1 registry.example.com\n{allowed} dev.example.com\n"))?;
    let cases = [
        "10.0.0.1:5000/x",
        "169.254.169.254/x",
        "127.0.0.1:5000/x",
        "127.0.0.1:9100/x",
        "[::1]:5000/x",
        "[::ffff:127.0.0.1]:5000/x",
        "[fe80::1]:5000/x",
        "[fd00::1]/x",
        "0.0.0.0:5000/x",
        "192.168.1.1/x",
        "172.16.0.1/x",
        "100.64.0.1/x",
        "localhost:5000/x",
        "registry.example.com/x",
        "10.232.0.1:2080/x",
    ];
    for docker in cases {
        let took = Stopwatch::start();
        check(world, who, &["quote", "launch"], &with(docker, &json!({})), "address_refused").await?;
        assert!(took.elapsed().as_secs() < AT_ONCE_SECS, "{docker} took {:?}", took.elapsed());
    }
    // The same name with an address that is allowed here: asked, and not answered as a registry would.
    let code = who.refused("quote", json!({"docker": "dev.example.com:1/x", "units": 1})).await;
    assert_eq!(code, "registry_unreachable");
    Ok(())
}
