use std::sync::Mutex;

use nostr::key::Keys;

use super::*;

#[test]
fn released_image_lies_where_the_running_one_does() {
    let image = |place: &str| format!("{place}@sha256:{}", "ab".repeat(32)).parse::<Reference>().unwrap();
    let running = image("registry.example:5000/team/app");
    assert!(check_place(&running, &image("docker://registry.example:5000/team/app")).is_ok());
    for elsewhere in [
        "registry.example/team/app",
        "registry.example:5001/team/app",
        "evil.example/team/app",
        "registry.example:5000/team/app2",
        "registry.example:5000/team",
        "team/app",
    ] {
        let unfit = check_place(&running, &image(elsewhere)).unwrap_err();
        assert_eq!(unfit.code(), "image_elsewhere", "{elsewhere}");
    }
}

/// The registries of many containers' author answer a byte at a time.
#[tokio::test(start_paused = true)]
async fn slow_registry_is_waited_for_a_while_and_last() {
    let slow: BTreeSet<_> = (0..3 * AT_ONCE).map(|_| Keys::generate().public_key()).collect();
    let quick = Keys::generate().public_key();
    let pubkeys: Vec<_> = slow.iter().copied().chain([quick]).collect();
    let order = Mutex::new(Vec::new());
    let look = |pubkey| {
        order.lock().unwrap().push(pubkey);
        let is_slow = slow.contains(&pubkey);
        async move {
            if is_slow {
                std::future::pending().await
            }
        }
    };
    let patience = LOOK_WAIT * 4;
    let found = tokio::time::timeout(patience, round(pubkeys.clone(), &BTreeSet::new(), look)).await;
    assert_eq!(found.as_ref(), Ok(&slow), "the round ends, and knows who was slow");
    assert_eq!(order.lock().unwrap().len(), pubkeys.len());

    order.lock().unwrap().clear();
    let again = tokio::time::timeout(patience, round(pubkeys, &slow, look)).await;
    assert_eq!(again, Ok(slow.clone()));
    assert_eq!(order.lock().unwrap().first(), Some(&quick));
}

/// A look that ends in time is heard to its end.
#[tokio::test(start_paused = true)]
async fn look_that_takes_long_is_not_cut_short_before_its_time() {
    let ended = Mutex::new(false);
    let pubkey = Keys::generate().public_key();
    let look = |_| async {
        tokio::time::sleep(LOOK_WAIT - Duration::from_secs(1)).await;
        *ended.lock().unwrap() = true;
    };
    assert_eq!(round(vec![pubkey], &BTreeSet::new(), look).await, BTreeSet::from([pubkey]));
    assert!(*ended.lock().unwrap());
}
