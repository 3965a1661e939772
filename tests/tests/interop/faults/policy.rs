//! What a client wants beyond soundness: maintainers, repository, registers, age.

use attestation::pcr_digest;
use protocol::nec::Env;

use super::{ACCEPTED, Family, Form};
use crate::recipe::Recipe;
use crate::stage::{NOW, REPO, Stage};

pub(super) fn family() -> Family {
    let mut faults = Family::new(Form::Announcement, "policy");
    faults.add("both maintainers", ACCEPTED, both_maintainers);
    faults.add("both maintainers, one signed", "release_missing", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.releases.truncate(1);
        drop_one_release(recipe);
    });
    faults.add("both maintainers, one signed twice", "release_missing", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.releases[1] = recipe.releases[0].clone();
        // Another event, so that only the signer tells.
        recipe.releases[1].content = "again".to_owned();
    });
    faults.add("both maintainers, a stranger in place of one", "release_missing", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.releases[1].keys = stage.stranger.clone();
    });
    faults.add("both maintainers, a stranger besides", ACCEPTED, |recipe, stage| {
        both_maintainers(recipe, stage);
        let mut third = recipe.releases[0].clone();
        third.keys = stage.stranger.clone();
        recipe.releases.push(third);
        recipe.event.add(&["release", "@release"]);
    });
    faults.add("both maintainers, none signed", "release_missing", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.event.drop("release");
    });
    faults.add("of another repository", "ref_mismatch", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.policy.repo = Some("https://example.com/other".to_owned());
    });
    faults.add("PCR0", ACCEPTED, |recipe, _| {
        let pcr0 = recipe.event.get_marked("x", "PCR0").parse().unwrap();
        recipe.policy.pcrs = vec![(0, pcr0)];
    });
    for index in [0, 1, 2, 3, 4, 8, 31] {
        faults.add(&format!("another PCR{index}"), "pcr_mismatch", move |recipe, _| {
            recipe.policy.pcrs = vec![(index, pcr_digest(b"other"))];
        });
    }
    faults
}

/// What no other validator can be asked for, or asks in another way.
pub(crate) fn of_our_own() -> Family {
    let mut faults = Family::new(Form::Announcement, "policy of ours");
    faults.add("either maintainer, one signed", ACCEPTED, |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.policy.threshold = 1;
        drop_one_release(recipe);
    });
    faults.add("three of two maintainers", "release_missing", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.policy.threshold = 3;
    });
    faults.add("two of nobody", "release_missing", |recipe, _| recipe.policy.threshold = 2);
    faults.add("repository without maintainers", "ref_mismatch", |recipe, _| {
        recipe.policy.repo = Some("https://example.com/other".to_owned());
    });
    faults.add("dev", ACCEPTED, |recipe, _| recipe.policy.env = Some(Env::Dev));
    faults.add("prod", "event_invalid", |recipe, _| recipe.policy.env = Some(Env::Prod));
    for (oldest, code) in [("1.2.3", ACCEPTED), ("1.2.3-rc.9", ACCEPTED), ("1.2.4", "release_invalid")] {
        faults.add(&format!("version {oldest} or later"), code, move |recipe, stage| {
            both_maintainers(recipe, stage);
            recipe.policy.min_version = Some(oldest.parse().unwrap());
        });
    }
    faults.add("version, and nobody named", "release_missing", |recipe, _| {
        recipe.policy.min_version = Some("1.0.0".parse().unwrap());
    });
    faults.add("version, and a release says none", "release_invalid", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.policy.min_version = Some("1.0.0".parse().unwrap());
        recipe.releases[1].drop("v");
    });
    faults.add("version, and a release's is none", "release_invalid", |recipe, stage| {
        both_maintainers(recipe, stage);
        recipe.policy.min_version = Some("1.0.0".parse().unwrap());
        recipe.event.drop("v");
        recipe.build.drop("v");
        recipe.releases.iter_mut().for_each(|release| release.set("v", "latest"));
    });
    faults.add("of ten seconds ago at most, made then", ACCEPTED, |recipe, _| {
        recipe.policy.max_age_secs = Some(10);
        recipe.judge_at(NOW.plus_secs(10));
    });
    faults.add("of ten seconds ago at most, made before", "too_old", |recipe, _| {
        recipe.policy.max_age_secs = Some(10);
        recipe.judge_at(NOW.plus_secs(11));
    });
    faults
}

fn both_maintainers(recipe: &mut Recipe, stage: &Stage) {
    recipe.policy.repo = Some(REPO.to_owned());
    recipe.policy.maintainers = stage.maintainers.iter().map(nostr::key::Keys::public_key).collect();
    recipe.policy.threshold = 2;
}

fn drop_one_release(recipe: &mut Recipe) {
    let at = recipe.event.tags.iter().position(|tag| tag[0] == "release").unwrap();
    recipe.event.tags.remove(at);
}
