//! Images that turn out otherwise than quoted. What runs is what was quoted; or nothing runs, and the
//! money comes back.

use anyhow::{Context, Result};
use devnet::image_build::{Content, ImageSpec};
use devnet::world::World;
use protocol::rpc::enclaved::Quote;
use serde_json::json;

use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::liar::Liar;
use crate::reconfigure::reconfigure;
use crate::stranger::{Stranger, get};

/// What a unit costs for a period.
const PRICE_MSAT: i64 = 5_000;
/// The disk that a unit has.
const UNIT_DISK_BYTES: u64 = 50_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn quoted_image_runs_or_the_money_comes_back() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        moved_tag(world, &owner).await?;
        vanished_image(world, &owner).await?;
        bomb(world, &owner).await?;
        let liar = Liar::start(world).await?;
        reconfigure(world, |config| {
            config["development"]["plain_http_registries"]
                .as_array_mut()
                .unwrap()
                .push(json!(liar.authority()));
        })
        .await?;
        lies(world, &owner, &liar).await
    })
    .await
}

/// A tag is resolved once: what runs is what it meant when it was quoted.
async fn moved_tag(world: &World, owner: &Stranger) -> Result<()> {
    let quoted = world.push_tagged(&World::busybox(World::SERVE, "quoted"), "moving", "1").await?;
    let tag = world.registry().reference("moving:1");
    let quote: Quote = owner.call("quote", json!({"docker": tag, "units": 1})).await?;
    let launched = owner.launch(&tag, json!({"ports": [8080]})).await?;
    assert_eq!((&quote.image, &launched.image, &launched.manifest.image), (&quoted, &quoted, &quoted));
    let moved = world.push_tagged(&World::busybox(World::SERVE, "moved"), "moving", "1").await?;
    owner.pay(&launched.invoice.invoice).await?;
    let status = owner.wait_for(&launched.pubkey, "deployed").await?;
    assert_eq!(status.info.image, quoted);
    assert_eq!(get(&owner.url(&launched.pubkey).await?).await?, (200, "quoted".to_owned()));
    // The tag did move.
    let quote: Quote = owner.call("quote", json!({"docker": tag, "units": 1})).await?;
    assert_eq!(quote.image, moved);
    Ok(())
}

/// The quoted image is gone when it is paid for.
async fn vanished_image(world: &World, owner: &Stranger) -> Result<()> {
    let image = world.push_tagged(&World::busybox(World::SERVE, "gone"), "gone", "1").await?;
    fails(world, owner, &image, "image_not_found", async || {
        let (name, digest) = image.split_once('@').context("a digest")?;
        assert!(name.ends_with("/gone"));
        let url = format!("http://{}/v2/gone/manifests/{digest}", world.registry().address());
        let answer = reqwest::Client::builder().no_proxy().build()?.delete(url).send().await?;
        assert_eq!(answer.status().as_u16(), 202);
        Ok(())
    })
    .await
}

/// A layer that unpacks to more than a hundred times its size, which is only seen while it streams.
async fn bomb(world: &World, owner: &Stranger) -> Result<()> {
    let unpacked = UNIT_DISK_BYTES + 1_000_000;
    let spec = ImageSpec::default()
        .file("/zeros", Content::Zeros { bytes: unpacked }, 0o644)
        .entrypoint(&["/zeros"]);
    let image = world.push(&spec, "bomb").await?;
    let quote: Quote = owner.call("quote", json!({"docker": image, "units": 1})).await?;
    assert!(quote.image_bytes * 100 < unpacked, "{} bytes", quote.image_bytes);
    fails(world, owner, &image, "image_unpacks_too_large", async || Ok(())).await
}

/// A registry that declares other sizes than it sends.
async fn lies(world: &World, owner: &Stranger, liar: &Liar) -> Result<()> {
    let layer = vec![0_u8; 10_240];
    let length = u64::try_from(layer.len())?;
    for declared in [UNIT_DISK_BYTES + 1, 1 << 62] {
        let image = liar.serve(layer.clone(), declared);
        super::check(
            world,
            owner,
            &["quote", "launch"],
            &json!({"docker": image, "units": 1}),
            "image_too_large",
        )
        .await?;
    }
    // More than declared, whether by a little or without end, and less.
    for declared in [length - 1, 1, length + 1] {
        let image = liar.serve(layer.clone(), declared);
        fails(world, owner, &image, "digest_mismatch", async || Ok(())).await?;
    }
    Ok(())
}

/// Launches `image` and pays once `meanwhile` has happened; checks that the launch fails with `code`,
/// that nothing is left of it, and that the owner gets back what was paid.
async fn fails(
    world: &World,
    owner: &Stranger,
    image: &str,
    code: &str,
    meanwhile: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let before = Facts::of(world).await?;
    let launched = owner.launch(image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
    let pubkey = launched.pubkey;
    meanwhile().await?;
    owner.pay(&launched.invoice.invoice).await?;
    let failed = owner.wait_for(&pubkey, "failed").await?;
    let reason = failed.reason.context("a reason")?;
    assert_eq!(reason.code, code, "{}", reason.message);
    assert!(reason.message.len() > 10 && failed.paid_until.is_none(), "{reason:?}");

    // Told first, then cleared away.
    let after = Facts::once(world, |facts| facts.ports == before.ports).await?;
    assert_eq!(
        (after.units_held(), after.ports, after.charges),
        (before.units_held(), before.ports, before.charges)
    );
    assert_eq!((&after.engine, &after.volumes), (&before.engine, &before.volumes));
    assert_eq!(after.balance_msat(&pubkey), PRICE_MSAT);
    super::expiry::credit_comes_back(world, owner, &pubkey, PRICE_MSAT).await
}
