//! The reference's validator on what a real daemon publishes.

mod bucket;
mod doors;
mod guests;

use anyhow::{Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::filter::Filter;
use protocol::kinds::{ANNOUNCEMENT, CONTAINER};
use protocol::nec::{Policy, VerifiedContainer, VerifiedInstance};

use crate::npm::{self, Expected, ExpectedRelease, Question};

#[tokio::test(flavor = "multi_thread")]
async fn reference_accepts_what_the_daemon_publishes() -> Result<()> {
    let world = World::start(WorldOptions::new(HelperBinary::find()?), |step| println!("{step}")).await?;
    let outcome = judge_all(&world).await;
    if outcome.is_err() {
        println!("{}", world.daemon_log()?);
    }
    outcome.and(world.stop().await)
}

async fn judge_all(world: &World) -> Result<()> {
    let announcement = world.newest(Filter::new().kind(ANNOUNCEMENT).author(world.service()?)).await?;
    // The wallet is a container like any other, and is told of like any other.
    let container = world.newest(Filter::new().kind(CONTAINER)).await?;
    let policy = world.policy()?;
    let instance = VerifiedInstance::verify(&announcement, &policy)?;
    ensure!(instance.is_pinned() && instance.builder().is_some() && instance.launcher().is_some());
    ensure!(instance.releasers().len() == 2, "{:?}", instance.releasers());
    ensure!(VerifiedContainer::verify(&container, &policy)?.is_pinned());

    let unsigned = {
        let mut event = announcement.clone().into_event();
        event.content.push('x');
        serde_json::to_string(&event)?
    };
    let cases = [
        question("announcement", "validateInstance", announcement.as_json(), &policy),
        question("container", "validateEnclavedEvent", container.as_json(), &policy),
        question("forged announcement", "validateInstance", unsigned, &policy),
    ];
    let root = std::fs::read(world.trust_root())?;
    let verdicts: Vec<_> = npm::judge(&root, &cases)?.into_iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts, ["accept", "accept", "refuse: Invalid instance event"]);
    // The same under a root that is not the one above it.
    let other = attestation_sim::SimRoot::generate()?;
    let verdicts = npm::judge(other.der(), &cases[..2])?;
    assert!(verdicts.iter().all(|it| !it.accepts()), "{verdicts:?}");
    Ok(())
}

fn question(name: &str, method: &'static str, event: String, policy: &Policy) -> Question {
    let signer_pubkeys = policy.maintainers.iter().map(nostr::key::PublicKey::to_hex).collect();
    let release = policy.repo.clone().map(|repo| ExpectedRelease { repo, signer_pubkeys });
    let expected = Some(Expected { pcrs: None, release });
    Question { name: name.to_owned(), method, event, now_secs: policy.at.0, expected }
}
