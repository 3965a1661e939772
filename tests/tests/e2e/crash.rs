//! Kill -9 of the daemon, of the wallet container and of the engine at named steps of launch, charge,
//! pause and upgrade. Afterwards every paid container runs, none runs unpaid, no money appeared or vanished.
//!
//! The order is drawn from a seed that is printed; `ENCLAVED_CRASH_SEED` repeats a run.

mod books;
mod scenes;
mod watch;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use enclaved::checkpoint::Step;

use crate::upgrade::App;
use scenes::{Scene, Victim};
use watch::Watch;

/// Kills of each victim in a full run.
const KILLS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_by_kills_at_any_step() -> Result<()> {
    let seed = seed()?;
    println!("ENCLAVED_CRASH_SEED={seed}");
    let mut options = WorldOptions::hasty(HelperBinary::find()?, 3);
    options.watch_steps = true;
    options.grace_secs = 5;
    let mut world = World::start(options, |step| println!("{step}")).await?;
    let image = world.push_echo().await?;
    let next = (App::good(&world, "next")?.push(&world).await?, App::crashing("bad").push(&world).await?);
    let watch = Watch::start(&world)?;
    for (number, (step, victim)) in plan(seed).into_iter().enumerate() {
        println!("{number}: {victim:?} at {}", step.name());
        let scene =
            Scene { world: &mut world, watch: &watch, image: &image, next: (&next.0, &next.1), step, victim };
        let outcome =
            scene.play().await.with_context(|| format!("seed {seed}, {victim:?} at {}", step.name()));
        if outcome.is_err() {
            println!("{}", world.daemon_log()?);
        }
        outcome?;
        books::check(&world)?;
    }
    for step in steps() {
        ensure!(watch.killed_at(*step) > 0, "no kill ever happened at {}", step.name());
    }
    world.stop().await
}

pub(crate) fn seed() -> Result<u64> {
    match std::env::vars().find(|(name, _)| name == "ENCLAVED_CRASH_SEED") {
        Some((_, seed)) => Ok(seed.parse()?),
        None => {
            Ok(u64::from(std::process::id()) ^ u64::from(std::time::UNIX_EPOCH.elapsed()?.subsec_nanos()))
        }
    }
}

/// The steps at which containers' work is killed. Those of snapshots and restores have a test of their own.
fn steps() -> impl Iterator<Item = &'static Step> {
    Step::LIFE.iter().chain(Step::UPGRADE)
}

/// Each victim `KILLS` times, at steps in shuffled rounds, so that each step comes up.
fn plan(seed: u64) -> Vec<(Step, Victim)> {
    let mut random = Random(seed);
    let mut victims: Vec<_> = Victim::ALL.iter().flat_map(|victim| vec![*victim; KILLS]).collect();
    random.shuffle(&mut victims);
    let mut order = Vec::new();
    while order.len() < victims.len() {
        let mut round: Vec<_> = steps().copied().collect();
        random.shuffle(&mut round);
        order.extend(round);
    }
    order.into_iter().zip(victims).collect()
}

/// A small generator (splitmix64): the same order for the same seed, whatever the machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

#[test]
fn plan_is_the_same_for_a_seed_and_covers_every_step() {
    let names = |seed| plan(seed).into_iter().map(|(step, victim)| (step.name(), victim)).collect::<Vec<_>>();
    assert_eq!(names(7), names(7));
    assert_ne!(names(7), names(8));
    for step in steps() {
        assert!(names(7).iter().any(|(name, _)| *name == step.name()));
    }
    for victim in Victim::ALL {
        assert_eq!(names(7).iter().filter(|(_, other)| *other == victim).count(), KILLS);
    }
}
