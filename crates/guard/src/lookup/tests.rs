use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn address() -> Vec<IpAddr> {
    vec![IpAddr::from([192, 0, 2, 1])]
}

#[tokio::test]
async fn answers_are_kept_and_a_name_that_several_want_is_asked_for_once() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let lookup = SystemLookup::with(|_| {
        ASKED.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(50));
        Ok(address())
    });
    let (one, other) = tokio::join!(lookup.lookup("a.example"), lookup.lookup("A.Example"));
    assert_eq!((one.unwrap(), other.unwrap()), (address(), address()));
    assert_eq!(lookup.lookup("a.example").await.unwrap(), address());
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failures_are_kept_too_and_each_hears_of_them() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let lookup = SystemLookup::with(|_| {
        ASKED.fetch_add(1, Ordering::SeqCst);
        Err(io::ErrorKind::NotFound.into())
    });
    for _ in 0..3 {
        assert_eq!(lookup.lookup("a.example").await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
    assert_eq!(ASKED.load(Ordering::SeqCst), 1);
}

#[test]
fn names_that_never_resolve_take_their_own_threads_and_no_others() {
    static STUCK: AtomicUsize = AtomicUsize::new(0);
    static RELEASED: AtomicUsize = AtomicUsize::new(0);
    // A runtime with one thread for everything that blocks: the disk's, in the programs.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let lookup = SystemLookup::with(|_| {
            STUCK.fetch_add(1, Ordering::SeqCst);
            while RELEASED.load(Ordering::SeqCst) == 0 {
                thread::sleep(Duration::from_millis(1));
            }
            Ok(address())
        });
        let tasks: Vec<_> =
            (0..3 * THREADS_MAX).map(|n| tokio::spawn(lookup.lookup(&format!("slow{n}.example")))).collect();
        tokio::time::timeout(SOON, async {
            while STUCK.load(Ordering::SeqCst) < THREADS_MAX {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the threads were not taken");
        // What blocks elsewhere goes on, and no name has got a thread beyond the bound.
        let elsewhere = tokio::time::timeout(SOON, tokio::task::spawn_blocking(|| 7)).await;
        assert_eq!(elsewhere.expect("held up").unwrap(), 7);
        assert_eq!(STUCK.load(Ordering::SeqCst), THREADS_MAX);
        // Whoever stops waiting for a thread gives up the name; another may ask for it.
        tasks[3 * THREADS_MAX - 1].abort();
        RELEASED.store(1, Ordering::SeqCst);
        for task in tasks.into_iter().take(3 * THREADS_MAX - 1) {
            assert_eq!(task.await.unwrap().unwrap(), address());
        }
        let again = format!("slow{}.example", 3 * THREADS_MAX - 1);
        assert_eq!(lookup.lookup(&again).await.unwrap(), address());
    });
}

#[tokio::test]
async fn what_is_held_for_a_name_is_held_until_its_thread_ends_though_nobody_waits() {
    static RELEASED: AtomicUsize = AtomicUsize::new(0);
    let lookup = SystemLookup::with(|_| {
        while RELEASED.load(Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(address())
    });
    let held = Arc::new(());
    let looking = lookup.lookup_holding("silent.example", Box::new(Arc::clone(&held)));
    assert!(tokio::time::timeout(Duration::from_millis(50), looking).await.is_err(), "it was found");
    assert_eq!(Arc::strong_count(&held), 2, "its thread is busy, and counts no more");
    RELEASED.store(1, Ordering::SeqCst);
    tokio::time::timeout(SOON, async {
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .expect("it is held for ever");
}
