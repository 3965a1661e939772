//! Images that outgrow the units of their container: the old process never stops for them.

use anyhow::Result;
use devnet::image_build::Content;
use protocol::rpc::enclaved::UpgradeOutcome;
use serde_json::json;

use super::app::{App, check_runs, running, started_at, upgrade, upgrades, verdict};
use super::volume::at_rest;
use crate::in_world::{calm, in_world};
use crate::stranger::Stranger;

/// The disk that a unit has.
const UNIT_DISK_BYTES: u64 = 50_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn image_that_outgrows_its_units_is_not_begun() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 200).await?;
        let first = App::good(world, "1")?.push(world).await?;
        let (pubkey, note) = running(world, &owner, &first, "owner").await?;
        let (files, started) = (at_rest(world, &pubkey)?, started_at(world, &pubkey).await?);

        // As declared, before a layer is fetched.
        let declared = App::crashing("2").file(Content::Noise { bytes: UNIT_DISK_BYTES + 1 });
        let declared = declared.push(world).await?;
        let params = json!({"pubkey": pubkey, "docker": declared});
        assert_eq!(owner.refused("upgrade", params).await, "image_too_large");
        // As it unpacks, which shows while it is fetched.
        let packed = App::crashing("3").file(Content::Zeros { bytes: UNIT_DISK_BYTES + 1 });
        let packed = packed.push(world).await?;
        let record = upgrade(&owner, &pubkey, &packed).await?;
        assert_eq!(
            verdict(&record),
            (UpgradeOutcome::Refused, Some("image_unpacks_too_large")),
            "{record:?}"
        );
        // As another container has it that paid for more.
        let large = App::good(world, "4")?.file(Content::Zeros { bytes: UNIT_DISK_BYTES + 1 });
        let large = large.push(world).await?;
        let richer = json!({"ports": [8080], "volumes": ["/data"], "upgrade": "owner", "units": 2});
        owner.run(&large, richer).await?;
        let record = upgrade(&owner, &pubkey, &large).await?;
        assert_eq!(
            verdict(&record),
            (UpgradeOutcome::Refused, Some("image_unpacks_too_large")),
            "{record:?}"
        );

        check_runs(&owner, &pubkey, &first, &note).await?;
        assert_eq!(started_at(world, &pubkey).await?, started, "it was stopped");
        assert!(at_rest(world, &pubkey)? == files, "its volume was touched");
        assert_eq!(upgrades(&owner, &pubkey).await?.upgrades.len(), 2);
        Ok(())
    })
    .await
}
