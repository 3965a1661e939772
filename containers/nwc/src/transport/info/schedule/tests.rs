//! Time is the test's: an hour passes in a moment.

use std::sync::{Arc, Mutex};

use tokio::time::sleep;
use units::Stopwatch;

use super::*;

const MAIN: u32 = 0;
/// What a relay that says nothing takes of each announcement.
const SILENCE: Duration = Duration::from_secs(10);

/// What was announced, in its order; and whether relays take it, after how long.
#[derive(Clone, Default)]
struct World {
    announced: Arc<Mutex<Vec<u32>>>,
    is_silent: bool,
}

struct Running {
    world: World,
    connections: watch::Sender<Vec<u32>>,
    relay: watch::Sender<u64>,
    keeping: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(is_silent: bool, keys: Vec<u32>) -> Self {
        let world = World { is_silent, ..World::default() };
        let (connections, hears) = watch::channel(keys);
        let (relay, reconnected) = watch::channel(0);
        let signals = Signals { reconnected: vec![reconnected], connections: hears };
        let told = world.clone();
        let keeping = tokio::spawn(async move {
            let announce = |key| {
                let told = told.clone();
                async move {
                    told.announced.lock().unwrap().push(key);
                    if told.is_silent {
                        sleep(SILENCE).await;
                    }
                    !told.is_silent
                }
            };
            keep(signals, Vec::clone, announce).await;
        });
        Self { world, connections, relay, keeping }
    }

    fn count(&self, key: u32) -> usize {
        self.world.announced.lock().unwrap().iter().filter(|one| **one == key).count()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn wallet_is_announced_every_hour_however_often_connections_change() {
    let running = Running::start(false, vec![MAIN]);
    // Somebody makes and revokes a connection every ten minutes, for a day.
    for n in 1..=144 {
        running.connections.send_replace(vec![MAIN, n]);
        sleep(Duration::from_secs(600)).await;
    }
    assert!((24..=25).contains(&running.count(MAIN)), "{} in a day", running.count(MAIN));
    assert_eq!(running.count(100), 1, "a connection once, while it lasts");
}

#[tokio::test(start_paused = true)]
async fn relay_that_comes_back_gets_everything_at_once() {
    let running = Running::start(false, vec![MAIN, 1, 2]);
    sleep(Duration::from_secs(5)).await;
    assert_eq!([MAIN, 1, 2].map(|key| running.count(key)), [1; 3]);
    running.relay.send_replace(1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!([MAIN, 1, 2].map(|key| running.count(key)), [2; 3]);
}

#[tokio::test(start_paused = true)]
async fn new_connection_does_not_wait_behind_hundreds_that_a_silent_relay_delays() {
    let keys: Vec<u32> = (0..500).collect();
    let running = Running::start(true, keys.clone());
    sleep(Duration::from_secs(3_000)).await;
    running.connections.send_replace(keys.into_iter().chain([1_000]).collect());
    sleep(RELOAD_EVERY + SILENCE).await;
    assert!(running.count(1_000) >= 1, "it waits");
    // And whoever did not take it is asked again, less and less often.
    let before = running.count(MAIN);
    assert!((2..=300).contains(&before), "{before}");
}

#[tokio::test(start_paused = true)]
async fn real_time_does_not_pass() {
    let took = Stopwatch::start();
    let _running = Running::start(false, vec![MAIN]);
    sleep(Duration::from_secs(86_400)).await;
    assert!(took.elapsed() < Duration::from_secs(60), "the clock of these tests is not theirs");
}

#[test]
fn key_that_was_announced_longest_ago_is_next_however_many_fail() {
    let keys: Vec<u32> = (0..200).collect();
    let mut schedule = Schedule::default();
    let announce_all = |schedule: &mut Schedule<u32>| {
        let mut begun = HashSet::new();
        for _ in 0..keys.len() {
            let key = schedule.next(&keys).unwrap();
            begun.insert(key);
            schedule.note(schedule.round, key, false);
            // A relay stays silent, and what failed is due again before the others had their turn.
            schedule.failed.clear();
        }
        begun.len()
    };
    assert_eq!(announce_all(&mut schedule), keys.len());
    schedule.begin_anew();
    assert_eq!(announce_all(&mut schedule), keys.len(), "an hour later");
}
