use protocol::rpc::enclaved::UpgradeOutcome;

use super::*;
use crate::store::tests::Fixture;
use crate::store::upgrades::tests::{NOW, container, intent, part, release, why};

/// Of a second, so that what passes has passed in the next.
const AGAIN_SECS: u64 = 1;

fn tried(fixture: &Fixture, pubkey: &PublicKey, at: UnixSecs) -> Tried {
    fixture.store.tried_releases(pubkey, AGAIN_SECS, at).unwrap()
}

/// Which ends keep a release, or its image, from being taken again, until its owner lets go.
#[test]
fn release_is_tried_again_only_if_it_was_not_to_blame() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let store = &fixture.store;
    for (outcome, code, is_image_tried, is_barred) in [
        (UpgradeOutcome::RolledBack, Some("unhealthy"), true, false),
        (UpgradeOutcome::Done, None, true, false),
        (UpgradeOutcome::Refused, Some("image_unpacks_too_large"), false, true),
        (UpgradeOutcome::Refused, Some("registry_unreachable"), false, false),
        (UpgradeOutcome::Cancelled, Some("cancelled"), false, false),
    ] {
        let release = release("1.2.0", "d");
        store.begin_upgrade(&pubkey, Some(&release), None, &intent, NOW).unwrap().unwrap();
        assert!(tried(&fixture, &pubkey, NOW).has(&release), "while it is under way");
        let open = store.open_upgrade(&pubkey).unwrap().unwrap();
        store.end_upgrade(&open, outcome, code.map(why).as_ref(), None, NOW).unwrap();
        let later = tried(&fixture, &pubkey, NOW.plus_secs(100));
        assert_eq!(
            (later.images.contains("d"), later.releases.contains(&release.id)),
            (is_image_tried, is_barred),
            "{outcome:?} {code:?}"
        );
        let shown = store.upgrades(&pubkey).unwrap().remove(0);
        assert_eq!((shown.outcome, shown.code.as_deref(), shown.ended_at), (outcome, code, Some(NOW)));
        assert_eq!((shown.version.as_deref(), shown.release.as_deref()), (Some("1.2.0"), Some("id-1.2.0-d")));
        store.save_pinned(&pubkey, false).unwrap();
        assert_eq!(tried(&fixture, &pubkey, NOW.plus_secs(100)), Tried::default());
    }
}

/// One that lies about an image says nothing of another that names the same image.
#[test]
fn refused_release_stands_in_no_others_way() {
    let fixture = Fixture::new();
    let (container, store) = (container(&fixture), &fixture.store);
    let pubkey = container.pubkey();
    let (bad, good) = (release("1.2.0", "d"), ReleaseRef { id: "good".into(), ..release("1.2.0", "d") });
    assert_eq!(bad.digest, good.digest);
    assert!(store.refuse_release(&container, &bad, "i", &why("image_elsewhere"), NOW).unwrap());
    let tried = tried(&fixture, &pubkey, NOW.plus_secs(1_000_000));
    assert!(tried.has(&bad) && !tried.has(&good), "{tried:?}");
}

#[test]
fn refused_release_is_told_once_for_each_reason_whatever_comes_between() {
    let fixture = Fixture::new();
    let (container, store) = (container(&fixture), &fixture.store);
    let pubkey = container.pubkey();
    let refuse = |digest, code| {
        store.refuse_release(&container, &release("1.2.0", digest), "i", &why(code), NOW).unwrap()
    };
    for round in 0..3 {
        let is_new = round == 0;
        assert_eq!(refuse("d", "release_missing"), is_new);
        assert!(!refuse("d", "release_missing"));
        assert_eq!(refuse("d", "image_mismatch"), is_new);
        assert_eq!(refuse("e", "release_missing"), is_new);
        assert_eq!(refuse("f", "registry_unreachable"), is_new);
        let barred = tried(&fixture, &pubkey, NOW.plus_secs(1_000_000)).releases;
        assert_eq!(barred, ["id-1.2.0-d", "id-1.2.0-e"].map(str::to_owned).into());
        assert_eq!(store.upgrades(&pubkey).unwrap().len(), 4, "round {round}");
        // Its owner lets go: all are looked at once more, and none is news.
        store.save_pinned(&pubkey, false).unwrap();
        assert_eq!(tried(&fixture, &pubkey, NOW.plus_secs(1_000_000)), Tried::default());
    }
}

#[test]
fn what_failed_for_a_passing_reason_is_tried_ever_more_rarely() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let (store, release) = (&fixture.store, release("1.2.0", "d"));
    let mut now = NOW;
    for number in 0..12_u32 {
        // By the registry that does not say what it is, and by the one that does not send it.
        if number % 2 == 0 {
            store.refuse_release(&container, &release, "i", &why("registry_unreachable"), now).unwrap();
        } else {
            store.begin_upgrade(&pubkey, Some(&release), None, &intent, now).unwrap().unwrap();
            let open = store.open_upgrade(&pubkey).unwrap().unwrap();
            let why = why("registry_unreachable");
            store.end_upgrade(&open, UpgradeOutcome::Refused, Some(&why), None, now).unwrap();
        }
        let wait = 1_u64 << number.min(DOUBLINGS_MAX);
        assert!(tried(&fixture, &pubkey, now.plus_secs(wait - 1)).has(&release), "{number}");
        assert!(!tried(&fixture, &pubkey, now.plus_secs(wait)).has(&release), "{number}");
        assert_eq!(store.upgrades(&pubkey).unwrap().len(), 1, "one row however often");
        now = now.plus_secs(wait);
    }
}

/// Each trial costs the app that it is stopped: not without end, and not as if the image had failed.
#[test]
fn trial_that_the_server_spoiled_is_made_again_ever_more_rarely_and_not_without_end() {
    for codes in [["internal"; 4], ["interrupted", "server_full", "engine_failed", "registry_unreachable"]] {
        let fixture = Fixture::new();
        let container = container(&fixture);
        let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
        let (store, mut now) = (&fixture.store, NOW);
        let far = NOW.plus_secs(1_000_000);
        for (number, code) in codes.into_iter().enumerate() {
            // Another event for the same image is no other trial.
            let release = ReleaseRef { id: format!("id-{number}"), ..release("1.2.0", "d") };
            store.begin_upgrade(&pubkey, Some(&release), None, &intent, now).unwrap().unwrap();
            let open = store.open_upgrade(&pubkey).unwrap().unwrap();
            store.end_upgrade(&open, UpgradeOutcome::RolledBack, Some(&why(code)), None, now).unwrap();
            let wait = 1_u64 << number;
            assert!(tried(&fixture, &pubkey, now.plus_secs(wait - 1)).has(&release), "{number}");
            let is_last = number == codes.len() - 1;
            assert_eq!(tried(&fixture, &pubkey, now.plus_secs(wait)).has(&release), is_last, "{number}");
            assert_eq!(tried(&fixture, &pubkey, far).has(&release), is_last, "{number}");
            now = now.plus_secs(wait);
        }
        assert_eq!(store.upgrades(&pubkey).unwrap().len(), codes.len(), "each was news: the app was stopped");
        store.save_pinned(&pubkey, false).unwrap();
        assert_eq!(tried(&fixture, &pubkey, now), Tried::default());
        // What is the image's own fault bars it whatever was the server's before.
        let release = release("1.2.0", "d");
        store.begin_upgrade(&pubkey, Some(&release), None, &intent, now).unwrap().unwrap();
        let open = store.open_upgrade(&pubkey).unwrap().unwrap();
        store.end_upgrade(&open, UpgradeOutcome::RolledBack, Some(&why("unhealthy")), None, now).unwrap();
        assert!(tried(&fixture, &pubkey, far).has(&release));
    }
}

/// The signers of what comes next are named by what runs.
#[test]
fn refused_release_is_looked_at_again_when_another_image_runs() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let (store, early) = (&fixture.store, release("3.0.0", "e"));
    store.refuse_release(&container, &early, "i", &why("release_missing"), NOW).unwrap();
    store.begin_upgrade(&pubkey, Some(&release("2.0.0", "d")), None, &intent, NOW).unwrap().unwrap();
    let open = store.open_upgrade(&pubkey).unwrap().unwrap();
    assert!(tried(&fixture, &pubkey, NOW).has(&early));
    store.end_upgrade(&open, UpgradeOutcome::Done, None, Some(&part("2")), NOW).unwrap();
    let now = tried(&fixture, &pubkey, NOW.plus_secs(2));
    assert!(!now.has(&early) && now.images.contains("d"), "{now:?}");
}

/// It was judged by the image of before, whose signers say nothing of what comes now.
#[test]
fn release_that_an_image_of_before_refused_is_not_put_on_record() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let (store, third) = (&fixture.store, release("3.0.0", "e"));
    store.begin_upgrade(&pubkey, Some(&release("2.0.0", "d")), None, &intent, NOW).unwrap().unwrap();
    let open = store.open_upgrade(&pubkey).unwrap().unwrap();
    store.end_upgrade(&open, UpgradeOutcome::Done, None, Some(&part("2")), NOW).unwrap();
    assert!(!store.refuse_release(&container, &third, "i", &why("release_missing"), NOW).unwrap());
    assert!(!tried(&fixture, &pubkey, NOW).has(&third));
    assert_eq!(store.upgrades(&pubkey).unwrap().len(), 1);
    let container = store.container(&pubkey).unwrap().unwrap();
    assert!(store.refuse_release(&container, &third, "i", &why("release_missing"), NOW).unwrap());
    assert!(tried(&fixture, &pubkey, NOW).has(&third));
}

#[test]
fn rows_are_bounded_and_what_failed_is_remembered_for_longer() {
    let fixture = Fixture::new();
    let container = container(&fixture);
    let (pubkey, intent) = (container.pubkey(), intent(&container, "2"));
    let store = &fixture.store;
    let end = |release: Option<&ReleaseRef>, outcome| {
        store.begin_upgrade(&pubkey, release, None, &intent, NOW).unwrap().unwrap();
        let open = store.open_upgrade(&pubkey).unwrap().unwrap();
        store.end_upgrade(&open, outcome, None, None, NOW).unwrap();
    };
    end(Some(&release("1.0.0", "crashes")), UpgradeOutcome::RolledBack);
    let count = |condition: &str| -> u32 {
        let sql = format!("SELECT count(*) FROM upgrades WHERE {condition}");
        store.lock().query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    (0..60).for_each(|_| end(None, UpgradeOutcome::Cancelled));
    assert_eq!(count("outcome = 'cancelled'"), UPGRADES_MAX);
    for number in 0..KEPT_MAX + 20 {
        let release = release(&number.to_string(), "x");
        store.refuse_release(&container, &release, "i", &why("image_mismatch"), NOW).unwrap();
    }
    assert_eq!(store.upgrades(&pubkey).unwrap().len(), usize::try_from(UPGRADES_MAX).unwrap());
    assert_eq!(count("outcome = 'refused'"), KEPT_MAX);
    // However many are refused, what crashed is not tried again.
    assert!(tried(&fixture, &pubkey, NOW).images.contains("crashes"));
}
