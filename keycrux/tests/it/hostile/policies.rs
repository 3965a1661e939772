//! Writing over what is another's, and rules that get weaker.

use protocol::nec::Env;
use protocol::nec::PolicyChange;
use protocol::nec::approval;
use protocol::rpc::keycrux::{Input, Policy};
use units::{Clock, SystemClock};

use super::{Stage, refusal};
use crate::enclave::{Enclave, REPO, input};

#[tokio::test]
async fn set_over_an_existing_key_from_another_build_changes_nothing() {
    let stage = Stage::new(|_| {}).await;
    let rogue = Enclave::start(&stage.world.root, "rogue");
    let policy = || Some(stage.policy.clone());
    let set = stage.set(&rogue, "mine", policy(), input(vec![])).await;
    assert_eq!(refusal(set).code, "release_missing");
    let set = stage.set(&rogue, "mine", policy(), stage.released("rogue", "1.0.0")).await;
    assert_eq!(refusal(set).code, "version_too_old");
    stage.check_owner().await;
    // A record of its own is no way to the other's.
    stage.set(&rogue, "mine", None, Input::default()).await.unwrap();
    assert_eq!(stage.get(&rogue, Input::default()).await.unwrap().expose(), "mine");
    stage.check_owner().await;
}

#[tokio::test]
async fn policy_that_means_nothing_or_does_not_fit_its_author_is_refused() {
    let stage = Stage::new(|_| {}).await;
    let nonsense = Policy { threshold: Some(9), ..stage.policy.clone() };
    let set = stage.set(&stage.owner, "x", Some(nonsense), stage.released("v2", "1.2.0")).await;
    assert_eq!(refusal(set).code, "policy_invalid");
    let opened = stage.open(&stage.owner, Input::default()).await.unwrap();
    let nonsense = stage.body(Policy { threshold: Some(0), ..stage.policy.clone() });
    let written = stage.write(&stage.owner, stage.released("v2", "1.2.0"), &opened, nonsense).await;
    assert_eq!(refusal(written).code, "policy_invalid");
    stage.check_owner().await;
}

/// The owner itself, or whoever took it over, cannot ask fewer for the next time than were asked for this.
#[tokio::test]
async fn weaker_policy_is_refused_without_its_maintainers_and_taken_with_them() {
    let stage = Stage::new(|policy| policy.min_delay_secs = 60).await;
    let release = stage.released("v2", "1.2.0");
    let lax = Policy { min_delay_secs: 0, ..stage.policy.clone() };
    let set = stage.set(&stage.owner, "x", Some(lax.clone()), release.clone()).await;
    assert_eq!(refusal(set).code, "policy_weaker");
    let opened = stage.open(&stage.owner, release.clone()).await.unwrap();
    let fewer = Policy { threshold: Some(1), ..stage.policy.clone() };
    for policy in [&lax, &fewer] {
        let written = stage.write(&stage.owner, release.clone(), &opened, stage.body(policy.clone())).await;
        let refused = refusal(written);
        assert_eq!(refused.code, "policy_weaker");
        assert!(refused.message.contains("encli keycrux approve"), "{}", refused.message);
    }
    stage.check_owner().await;
    let opened = stage.open(&stage.owner, release.clone()).await.unwrap();
    let change = PolicyChange { from: stage.policy.digest().unwrap(), to: lax.digest().unwrap() };
    let approve = |by: &nostr::key::Keys| {
        approval::draft(REPO, Env::Dev, &change, SystemClock.now()).sign(by).unwrap().into_event()
    };
    let [one, two, _] = &stage.maintainers;
    let mut approved = release.clone();
    approved.release_signatures.push(approve(one));
    let written = stage.write(&stage.owner, approved.clone(), &opened, stage.body(lax.clone())).await;
    assert_eq!(refusal(written).code, "policy_weaker");
    approved.release_signatures.push(approve(two));
    stage.write(&stage.owner, approved, &opened, stage.body(lax)).await.unwrap();
}
