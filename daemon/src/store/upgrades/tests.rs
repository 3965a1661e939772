use lifecycle::State;

use super::super::tests::{Fixture, key};
use super::*;
use crate::store::Container;

pub(in crate::store) const NOW: UnixSecs = UnixSecs(500);

pub(in crate::store) fn part(seed: &str) -> ImagePart {
    ImagePart {
        image: format!("r/x@sha256:{seed}"),
        config_digest: format!("sha256:config-{seed}"),
        image_volumes: vec!["/db".into()],
    }
}

pub(in crate::store) fn container(fixture: &Fixture) -> Container {
    fixture.signed(State::waiting(UnixSecs(100)))
}

pub(in crate::store) fn intent(container: &Container, to: &str) -> UpgradeIntent {
    let from = container.spec.image_part();
    UpgradeIntent { stage: Stage::Fetching, from, to: part(to), probe: None, had_volume: false, why: None }
}

pub(in crate::store) fn release(version: &str, digest: &str) -> ReleaseRef {
    ReleaseRef { version: version.into(), id: format!("id-{version}-{digest}"), digest: digest.into() }
}

pub(in crate::store) fn why(code: &str) -> StateReason {
    StateReason { code: code.into(), message: "because".into() }
}

#[test]
fn one_upgrade_is_open_at_a_time_and_outlives_a_restart() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let release = release("1.2.0", "d");
    let id = fixture.store.begin_upgrade(&pubkey, Some(&release), None, &intent, NOW).unwrap().unwrap();
    assert_eq!(fixture.store.begin_upgrade(&pubkey, None, Some("key"), &intent, NOW).unwrap(), None);
    assert!(!fixture.store.upgraded_by("key").unwrap());
    let fixture = fixture.reopen();
    let open = fixture.store.open_upgrade(&pubkey).unwrap().unwrap();
    assert_eq!(open, OpenUpgrade { id, pubkey, at: NOW, release: Some(release), intent });
    assert_eq!(fixture.store.open_upgrade(&key()).unwrap(), None);
    assert_eq!(fixture.store.open_upgrades().unwrap(), [(pubkey, id)]);
    let shown = fixture.store.upgrades(&pubkey).unwrap();
    assert_eq!((shown.len(), shown[0].outcome, shown[0].ended_at), (1, UpgradeOutcome::Open, None));
    // A container goes with its upgrades.
    fixture.store.forget_launch(&pubkey).unwrap();
    assert_eq!(fixture.store.open_upgrade(&pubkey).unwrap(), None);
}

#[test]
fn image_and_stage_change_in_one_step_and_nothing_else_does() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, mut intent) = (container.pubkey(), intent(&container, "2"));
    fixture.store.begin_upgrade(&pubkey, None, Some("key"), &intent, NOW).unwrap().unwrap();
    assert!(fixture.store.upgraded_by("key").unwrap() && !fixture.store.upgraded_by("other").unwrap());
    let open = fixture.store.open_upgrade(&pubkey).unwrap().unwrap();
    intent.stage = Stage::Trying { tries: 0 };
    intent.probe = Some(Probe::Page { port: 80, path: "/healthz".into() });
    intent.had_volume = true;
    let spec = fixture.store.switch_image(&open, &intent, &intent.to).unwrap();
    let read = fixture.store.container(&pubkey).unwrap().unwrap();
    assert_eq!(read.spec, spec);
    assert_eq!(spec.image_part(), part("2"));
    let manifest = spec.manifest.clone().unwrap();
    assert_eq!(manifest.image, part("2").image);
    assert_eq!(spec.manifest_sha256, Some(manifest.sha256().unwrap()));
    assert_ne!(spec.manifest_sha256, container.spec.manifest_sha256);
    let back = spec.with_image(&container.spec.image_part()).unwrap();
    assert_eq!(
        (back.env, back.units, back.manifest),
        (container.spec.env, spec.units, container.spec.manifest)
    );
    let open = fixture.store.open_upgrade(&pubkey).unwrap().unwrap();
    assert_eq!(open.intent, intent);

    let end = |outcome| fixture.store.end_upgrade(&open, outcome, None, Some(&open.intent.from), NOW);
    end(UpgradeOutcome::RolledBack).unwrap();
    let read = fixture.store.container(&pubkey).unwrap().unwrap();
    assert_eq!(read.spec.image, container.spec.image);
    // Over is over.
    assert!(matches!(end(UpgradeOutcome::Done), Err(StoreError::Missing)));
    assert!(matches!(fixture.store.save_upgrade(open.id, &intent), Err(StoreError::Missing)));
    assert!(matches!(fixture.store.switch_image(&open, &intent, &part("2")), Err(StoreError::Missing)));
    assert_eq!(fixture.store.container(&pubkey).unwrap().unwrap().spec.image, container.spec.image);
}

#[test]
fn pin_is_kept() {
    let fixture = Fixture::new();
    let pubkey = container(&fixture).pubkey();
    assert!(!fixture.store.is_pinned(&pubkey).unwrap());
    fixture.store.save_pinned(&pubkey, true).unwrap();
    let fixture = fixture.reopen();
    assert!(fixture.store.is_pinned(&pubkey).unwrap());
    assert!(matches!(fixture.store.is_pinned(&key()), Err(StoreError::Missing)));
    assert!(matches!(fixture.store.save_pinned(&key(), true), Err(StoreError::Missing)));
}

#[test]
fn images_are_needed_by_who_lives_and_by_upgrades_under_way() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let (one, other) = (container(&fixture), container(&fixture));
    let (pubkey, to_second) = (one.pubkey(), intent(&one, "2"));
    let needed = |digests: &[&str]| {
        let wanted = digests.iter().map(ToString::to_string).collect();
        assert_eq!(store.needed_images().unwrap(), wanted);
    };
    needed(&["sha256:cd"]);
    store.begin_upgrade(&pubkey, None, None, &to_second, NOW).unwrap().unwrap();
    needed(&["sha256:cd", "sha256:config-2"]);
    let open = store.open_upgrade(&pubkey).unwrap().unwrap();
    store.end_upgrade(&open, UpgradeOutcome::Done, None, Some(&part("2")), NOW).unwrap();
    needed(&["sha256:cd", "sha256:config-2"]);
    let over = lifecycle::State { phase: lifecycle::Phase::Terminated, ..other.state };
    store.save_state(&other.pubkey(), &over, None).unwrap();
    needed(&["sha256:config-2"]);
}
