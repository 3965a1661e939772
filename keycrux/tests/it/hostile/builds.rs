//! Builds that the record's maintainers did not sign, or did not sign for this.

use std::time::Duration;

use nostr::event::Event;
use nostr::key::Keys;
use protocol::nec::Env;
use protocol::rpc::keycrux::{CheckParams, HypotheticalBuild, Input, Revoked};
use units::{Clock, SystemClock};

use super::Stage;
use crate::enclave::{Enclave, REPO, input, signed, signed_at};

/// A stage, and the build `v3` that wants the record.
async fn next() -> (Stage, Enclave) {
    let stage = Stage::new(|_| {}).await;
    let next = Enclave::start(&stage.world.root, "v3");
    (stage, next)
}

fn by(maintainer: &Keys, image_seed: &str) -> Event {
    signed(maintainer, REPO, "1.3.0", image_seed, Env::Dev)
}

#[tokio::test]
async fn unsigned_build_is_refused() {
    let (stage, next) = next().await;
    stage.check(&next, input(vec![]), "release_missing").await;
    stage.check(&next, Input::default(), "release_missing").await;
}

#[tokio::test]
async fn signature_by_a_non_maintainer_is_refused() {
    let (stage, next) = next().await;
    let strangers =
        || vec![by(&Keys::generate(), "v3"), by(&Keys::generate(), "v3"), by(&Keys::generate(), "v3")];
    stage.check(&next, input(strangers()), "release_missing").await;
}

#[tokio::test]
async fn one_signature_less_than_the_threshold_is_refused() {
    let (stage, next) = next().await;
    let one = &stage.maintainers[0];
    stage.check(&next, input(vec![by(one, "v3")]), "release_missing").await;
    // Nobody counts twice, and strangers do not fill up.
    let same = signed_at(one, REPO, "1.3.0", "v3", Env::Dev, SystemClock.now().minus_secs(9));
    stage.check(&next, input(vec![by(one, "v3"), same]), "release_missing").await;
    stage.check(&next, input(vec![by(one, "v3"), by(&Keys::generate(), "v3")]), "release_missing").await;
    // With the second it is enough.
    let both = input(stage.maintainers[..2].iter().map(|maintainer| by(maintainer, "v3")).collect());
    assert_eq!(stage.get(&next, both).await.unwrap().expose(), "the secret");
}

#[tokio::test]
async fn signatures_of_another_build_are_refused() {
    let (stage, next) = next().await;
    let [one, two, _] = &stage.maintainers;
    stage.check(&next, input(vec![by(one, "v4"), by(two, "v4")]), "release_missing").await;
    stage.check(&next, input(vec![by(one, "v3"), by(two, "v4")]), "release_missing").await;
    // The signature of one event under the registers of another.
    let mut altered = by(two, "v4");
    altered.tags = by(two, "v3").tags;
    stage.check(&next, input(vec![by(one, "v3"), altered]), "release_missing").await;
}

#[tokio::test]
async fn release_for_another_repository_is_refused() {
    let (stage, next) = next().await;
    let other = "https://example.com/other";
    let release = |repo: &str| {
        stage.maintainers[..2].iter().map(|by| signed(by, repo, "1.3.0", "v3", Env::Dev)).collect::<Vec<_>>()
    };
    stage.check(&next, input(release(other)), "ref_mismatch").await;
    let claimed = Input { repo: Some(other.into()), release_signatures: release(REPO) };
    stage.check(&next, claimed, "ref_mismatch").await;
}

#[tokio::test]
async fn release_for_another_use_is_refused() {
    let (stage, next) = next().await;
    let prod = stage.maintainers[..2].iter().map(|by| signed(by, REPO, "1.3.0", "v3", Env::Prod));
    stage.check(&next, input(prod.collect()), "release_invalid").await;
}

#[tokio::test]
async fn old_signed_release_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let other = Enclave::start(&stage.world.root, "other");
    stage.check(&other, stage.released("other", "1.1.0"), "version_too_old").await;
    // As is one that is not older than what ran, but than what the policy asks for.
    let stage = Stage::new(|policy| policy.min_version = "1.2.0".parse().ok()).await;
    let other = Enclave::start(&stage.world.root, "other");
    stage.check(&other, stage.released("other", "1.1.9"), "version_too_old").await;
}

#[tokio::test]
async fn revoked_release_is_refused_and_the_next_is_not() {
    let stage = Stage::new(|policy| {
        let image = attestation_sim::image_pcrs("revoked image")[0];
        policy.revoked = vec![Revoked::Version("1.3.0".parse().unwrap()), Revoked::Pcr0(image)];
    })
    .await;
    let other = Enclave::start(&stage.world.root, "other");
    stage.check(&other, stage.released("other", "1.3.0"), "revoked").await;
    let image = Enclave::start(&stage.world.root, "revoked image");
    stage.check(&image, stage.released("revoked image", "1.4.0"), "revoked").await;
    let got = stage.get(&other, stage.released("other", "1.4.0")).await.unwrap();
    assert_eq!(got.expose(), "the secret");
}

/// However old its signatures are: the delay runs from when it was first shown.
#[tokio::test]
async fn release_before_its_delay_is_refused() {
    let delay_secs = 4;
    let stage = Stage::new(|policy| policy.min_delay_secs = delay_secs).await;
    let next = Enclave::start(&stage.world.root, "v3");
    let long_ago = SystemClock.now().minus_secs(1_000_000);
    let back_dated = input(
        stage.maintainers[..2]
            .iter()
            .map(|by| signed_at(by, REPO, "1.3.0", "v3", Env::Dev, long_ago))
            .collect(),
    );
    // Whoever has the release may ask before it runs; from then on it is known.
    let client = stage.world.client(&stage.keycrux, &Keys::generate()).await;
    let build = Some(HypotheticalBuild { pcrs: next.pcrs, pcr4: next.pcr4 });
    let params =
        CheckParams { attestation: None, build, identity: None, genesis: None, input: back_dated.clone() };
    let asked = client.check(&params).await.unwrap();
    assert_eq!((asked.allowed, asked.code.as_str()), (false, "delay_pending"));
    let not_before = asked.not_before.unwrap();
    assert!(not_before >= SystemClock.now().plus_secs(delay_secs - 1), "{not_before}");
    stage.check(&next, back_dated.clone(), "delay_pending").await;
    while SystemClock.now() < not_before {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(client.check(&params).await.unwrap().allowed);
    assert_eq!(stage.get(&next, back_dated.clone()).await.unwrap().expose(), "the secret");
    stage.open(&next, back_dated).await.unwrap();
}
