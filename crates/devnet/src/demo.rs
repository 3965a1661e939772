//! The demonstration: a stranger's container, from being found to being stopped, with the programs that
//! a stranger uses. What it does is what it prints.

mod encli;
mod keep;
mod story;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use nostr::key::Keys;
use units::{Msat, Stopwatch};

use self::encli::Encli;
use crate::helper::HelperBinary;
use crate::world::{SealingOptions, World, WorldOptions};

/// Seconds between two snapshots: some are made while one watches.
const SNAPSHOT_SECS: u64 = 5;
/// Seconds that one payment lasts: short enough to watch a container starve.
const PERIOD_SECS: u32 = 8;
/// What the person in it has to spend.
const POCKET_MONEY: Msat = Msat::new(1_000_000);
/// The last line of a demonstration in which everything happened as told.
pub const OK_LINE: &str = "demo: ok";

/// Arguments of the subcommand.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Leaves the world running and prints how to reach it.
    #[arg(long)]
    keep: bool,
    /// Is the process that keeps the world.
    #[arg(long, hide = true)]
    keeper: bool,
}

impl DemoArgs {
    /// Plays the demonstration.
    ///
    /// # Errors
    /// What did not happen as told. Everything that was started is ended.
    pub fn run(self) -> Result<ExitCode> {
        if self.keep && !self.keeper {
            return keep::start_keeper();
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut termination = service::Termination::listen()?;
            tokio::select! {
                played = play(self.keeper) => played.map(|()| ExitCode::SUCCESS),
                // The world goes with this process, whatever was going on.
                signal = termination.wait() => {
                    say(&format!("ended by {signal}"));
                    Ok(ExitCode::FAILURE)
                }
            }
        })
    }
}

async fn play(keeper: bool) -> Result<()> {
    let took = Stopwatch::start();
    say("starting a world of real processes:");
    let sealing = SealingOptions { interval_secs: SNAPSHOT_SECS, ..SealingOptions::default() };
    let options = WorldOptions {
        lightning_addresses: true,
        ..WorldOptions::hasty(HelperBinary::find()?, PERIOD_SECS).sealed(sealing)
    };
    let world = World::start(options, |step| say(&format!("  {step}"))).await?;
    let keys = Keys::generate();
    world.fund(&keys, POCKET_MONEY).await?;
    let person = Encli::new(&world, &keys).await?;
    let told = story::tell(&world, &person).await;
    if told.is_err() {
        say(&format!("the daemon said:\n{}", world.daemon_log().unwrap_or_default()));
    }
    told?;
    if keeper {
        let info = keep::describe(&world, &person).await?;
        say(OK_LINE);
        say(&info);
        return keep::hold(world).await;
    }
    let stopping = tokio::time::timeout(Duration::from_secs(60), world.stop());
    stopping.await.context("the world did not end")??;
    say(&format!("everything ended after {:.1} s", took.elapsed().as_secs_f64()));
    say(OK_LINE);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a demonstration is there to be read")]
fn say(line: &str) {
    println!("{line}");
}
