//! A world for one test, whose daemon's log is shown if the test fails.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::Result;
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use futures_util::FutureExt;
use units::Stopwatch;

/// Options of a world in which nothing changes by itself: periods of an hour.
pub(crate) fn calm() -> Result<WorldOptions> {
    Ok(WorldOptions::new(HelperBinary::find()?))
}

/// Runs `test` in a world of its own, and ends the world whatever comes of it.
pub(crate) async fn in_world(
    options: WorldOptions,
    test: impl AsyncFnOnce(&mut World) -> Result<()>,
) -> Result<()> {
    let took = Stopwatch::start();
    let mut world = World::start(options, |_| {}).await?;
    let started = took.elapsed();
    let outcome = AssertUnwindSafe(test(&mut world)).catch_unwind().await;
    let tested = took.elapsed();
    if !matches!(outcome, Ok(Ok(()))) {
        println!("{}", world.daemon_log()?);
    }
    let stopped = world.stop().await;
    println!("world {started:?}, test {:?}, end {:?}", tested - started, took.elapsed() - tested);
    match outcome {
        Ok(outcome) => outcome.and(stopped),
        Err(panic) => resume_unwind(panic),
    }
}
