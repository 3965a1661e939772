//! Kinds 63797 and 23797.

use anyhow::Result;
use devnet::world::{REPO, World};
use nostr::key::{Keys, PublicKey};
use protocol::event::{CheckedEvent, expiration, marked_value, sign, tag_value};
use protocol::kinds::{CERTIFICATE, CONTAINER};
use protocol::nec::{VerifiedChain, VerifiedContainer};
use protocol::rpc::enclaved::{ContainerStatus, LaunchReply};
use serde_json::json;
use units::Stopwatch;

use super::{embedded, maintainers, tags_of, under_aws};
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

pub(super) async fn life(world: &World, owner: &Stranger) -> Result<()> {
    let image = world.push_echo().await?;
    let launched = owner.launch(&image, json!({"ports": [8080], "name": "answers"})).await?;
    let pubkey = launched.pubkey;
    owner.pay(&launched.invoice.invoice).await?;
    owner.wait_for(&pubkey, "deployed").await?;
    owner.wait_settled(&pubkey).await?;
    get(&owner.url(&pubkey).await?).await?;
    let event = told(world, &pubkey, "balance", "0").await?;
    certified(world, owner, &launched, &event).await?;
    forgeries(world, &event)?;
    for (method, state) in [("pause", "paused"), ("resume", "deployed"), ("terminate", "terminated")] {
        owner.call::<ContainerStatus>(method, json!({"pubkey": pubkey})).await?;
        let event = told(world, &pubkey, "state", state).await?;
        assert_eq!(VerifiedContainer::verify(&event, &world.policy()?)?.state(), Some(state));
    }
    Ok(())
}

/// The container's event once it has this tag.
async fn told(world: &World, pubkey: &PublicKey, name: &str, value: &str) -> Result<CheckedEvent> {
    let took = Stopwatch::start();
    loop {
        let event = world.container_event(pubkey).await?;
        if tag_value(&event, name) == Some(value) {
            return Ok(event);
        }
        assert!(took.elapsed() < SOON, "not told {name} {value}: {event:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The event verifies down to the image and the manifest that the launch was answered with.
async fn certified(
    world: &World,
    owner: &Stranger,
    launched: &LaunchReply,
    event: &CheckedEvent,
) -> Result<()> {
    let (pubkey, policy) = (launched.pubkey, world.policy()?);
    let verified = VerifiedContainer::verify(event, &policy)?;
    let certified = verified.certified();
    assert_eq!((certified.pubkey, &certified.image), (pubkey, &launched.image));
    assert_eq!(certified.manifest_sha256.as_ref(), Some(&launched.manifest_sha256));
    assert_eq!(launched.manifest.sha256()?, launched.manifest_sha256, "the hash is the manifest's");
    assert_eq!(verified.owner(), Some(owner.keys.public_key()));
    assert_eq!(verified.releasers(), &maintainers(world));
    let info = owner.status(&pubkey).await?.info;
    assert_eq!((verified.app(), verified.endpoints()), (info.app_pubkey, info.endpoints.as_slice()));
    let tags = [("units", "1"), ("upgrade", "none"), ("name", "answers"), ("t", "dev"), ("balance", "0")];
    for (name, value) in tags {
        assert_eq!(tag_value(event, name), Some(value), "{name}");
    }
    assert_eq!(marked_value(event, "r", "docker"), Some(launched.image.as_str()));
    assert_eq!(marked_value(event, "r", "enclaved"), Some(REPO));

    // The certificate alone, in the words of its tags.
    let (root, certificate) = (embedded(event, "tee_root")?, embedded(event, "tee_cert")?);
    assert_eq!((certificate.kind, certificate.pubkey), (CERTIFICATE, world.service()?));
    assert_eq!(marked_value(&certificate, "p", "container"), Some(pubkey.to_hex().as_str()));
    assert_eq!(tag_value(&certificate, "r"), Some(format!("docker://{}", launched.image).as_str()));
    assert_eq!(marked_value(&certificate, "x", "manifest"), Some(launched.manifest_sha256.as_str()));
    let leaf = verified.chain().root().document().leaf_not_after();
    for evidence in [event, &certificate, &root] {
        assert!(expiration(evidence).unwrap().unwrap() <= leaf);
    }

    let aws = under_aws(world)?;
    assert_eq!(VerifiedContainer::verify(event, &aws).unwrap_err().code(), "chain_untrusted");
    let chain = VerifiedChain::verify(&root, &[certificate], &pubkey, &aws);
    assert_eq!(chain.unwrap_err().code(), "chain_untrusted");
    Ok(())
}

/// The evidence is worth nothing under another key, for another image, or beyond its time.
fn forgeries(world: &World, event: &CheckedEvent) -> Result<()> {
    let thief = Keys::generate();
    let stolen = sign(&thief, CONTAINER, event.created_at(), tags_of(event), String::new())?;
    let policy = world.policy()?;
    assert_eq!(VerifiedContainer::verify(&stolen, &policy).unwrap_err().code(), "key_mismatch");
    let root = embedded(event, "tee_root")?;
    let chain = VerifiedChain::verify(&root, &[], &event.pubkey, &policy);
    assert_eq!(chain.unwrap_err().code(), "key_mismatch");
    // A certificate by the thief, for the container.
    let certificate = embedded(event, "tee_cert")?;
    let forged = sign(&thief, CERTIFICATE, event.created_at(), tags_of(&certificate), String::new())?;
    let chain = VerifiedChain::verify(&root, &[forged], &event.pubkey, &policy);
    assert_eq!(chain.unwrap_err().code(), "key_mismatch");
    Ok(())
}
