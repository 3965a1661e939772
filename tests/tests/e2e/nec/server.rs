//! Kinds 13793, 0 and 10002.

use anyhow::Result;
use devnet::world::{REPO, World};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::Keys;
use protocol::event::{expiration, marked_value, sign, tag_value, tags_named};
use protocol::kinds::{ANNOUNCEMENT, TEE_ROOT};
use protocol::nec::{Env, Policy, VerifiedInstance, VerifiedRoot};
use serde_json::{Value, json};
use units::{Clock, Msat, SystemClock};

use super::{embedded, maintainers, newest_announcement, tags_of, under_aws};

/// A leaf certificate lives for three hours.
const LEAF_SECS: u64 = 3 * 3_600;

pub(super) async fn announcement(world: &World) -> Result<()> {
    // Once the wallet is announced, the server is open.
    let wallet = world.wallet_tag().await?;
    let event = newest_announcement(world).await?;
    let verified = VerifiedInstance::verify(&event, &world.policy()?)?;
    assert_eq!((verified.service(), verified.env()), (world.service()?, Env::Dev));
    assert_eq!(verified.builder(), Some(world.operator().builder().public_key()));
    assert_eq!(verified.launcher(), Some(world.operator().launcher().public_key()));
    assert_eq!(verified.releasers(), &maintainers(world));
    let announced = verified.announced();
    assert!(announced.open && verified.is_pinned());
    assert_eq!(announced.relays, [world.relay_url()]);
    assert_eq!((announced.units_free, announced.repo.as_deref()), (Some((98, 100)), Some(REPO)));
    assert_eq!(
        announced.price.map(|price| (price.unit_hour_msat, price.period_secs)),
        Some((Msat::new(5_000), 3_600))
    );
    assert_eq!(announced.wallet.as_ref(), Some(&wallet));

    // It ends with its evidence, and that with its certificate.
    let root = embedded(&event, "tee_root")?;
    assert_eq!((root.kind, root.pubkey), (TEE_ROOT, event.pubkey));
    assert!(tags_named(&root, "-").next().is_some(), "never to be published alone");
    let document = verified.root().document();
    let leaf = document.leaf_not_after();
    let until = expiration(&event).unwrap().unwrap();
    assert!(until <= leaf && expiration(&root).unwrap().unwrap() <= leaf, "{until} after {leaf}");
    let now = SystemClock.now();
    assert!(until > now && leaf <= now.plus_secs(LEAF_SECS), "{until} {leaf}");
    for index in [0_u8, 1, 2, 4, 8] {
        let attested = document.pcr(index).map(|pcr| pcr.to_string());
        assert_eq!(marked_value(&event, "x", &format!("PCR{index}")), attested.as_deref());
    }

    // Nobody may take it for an enclave of AWS, whatever else they are ready to believe.
    let lax = Policy { allow_debug: true, ..Policy::new(under_aws(world)?.root, now) };
    for policy in [under_aws(world)?, lax] {
        assert_eq!(VerifiedInstance::verify(&event, &policy).unwrap_err().code(), "chain_untrusted");
        assert_eq!(VerifiedRoot::verify(&root, &policy).unwrap_err().code(), "chain_untrusted");
    }
    // Nor for fresh when it is over.
    let later = Policy { at: leaf.plus_secs(1), ..world.policy()? };
    assert!(
        ["expired", "certificate_expired"]
            .contains(&VerifiedInstance::verify(&event, &later).unwrap_err().code())
    );
    Ok(())
}

/// What stands in an honest announcement is worth nothing under another key, or changed.
pub(super) async fn forgeries(world: &World) -> Result<()> {
    let (event, policy) = (newest_announcement(world).await?, world.policy()?);
    let code = |keys: &Keys, tags: Vec<Vec<String>>| -> Result<&'static str> {
        let forged = sign(keys, ANNOUNCEMENT, event.created_at(), tags, event.content.clone())?;
        Ok(VerifiedInstance::verify(&forged, &policy).unwrap_err().code())
    };
    assert_eq!(code(&Keys::generate(), tags_of(&event))?, "key_mismatch");
    // The service itself may not stretch its evidence, nor name another repository or build.
    let service = std::fs::read_to_string(world.state_dir().join("service.key"))?;
    let service = Keys::parse(service.trim())?;
    let with = |name: &str, value: &str| {
        let mut tags = tags_of(&event);
        for tag in tags.iter_mut().filter(|tag| tag[0] == name) {
            value.clone_into(&mut tag[1]);
        }
        tags
    };
    let until = expiration(&event).unwrap().unwrap().plus_secs(3_600).to_string();
    assert_eq!(code(&service, with("expiration", &until))?, "event_invalid");
    assert_eq!(code(&service, with("r", "https://example.com/other"))?, "ref_mismatch");
    assert_eq!(code(&service, with("x", &"0".repeat(96)))?, "event_invalid");
    Ok(())
}

/// Kinds 0 and 10002, by the service key.
pub(super) async fn profile(world: &World) -> Result<()> {
    let by_us = |kind| world.service().map(|service| Filter::new().kind(kind).author(service));
    let profile = world.newest(by_us(Kind::Metadata)?).await?;
    let content: Value = serde_json::from_str(&profile.content)?;
    assert_eq!((&content["name"], &content["bot"]), (&json!("enclaved"), &json!(true)));
    assert!(content["about"].as_str().unwrap().contains(REPO));
    assert_eq!(tag_value(&profile, "r"), Some(REPO));
    let relays = world.newest(by_us(Kind::RelayList)?).await?;
    let relays: Vec<_> = tags_named(&relays, "r").map(|tag| tag[1].clone()).collect();
    assert_eq!(relays, [world.relay_url()]);
    Ok(())
}
