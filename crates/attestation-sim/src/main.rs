//! The program `attestation-sim`: a simulated Nitro Security Module behind a Unix socket.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use attestation::{PCR_COUNT, Pcr};
use attestation_sim::{InstanceId, Server, SimConfig, SimNsm, SimRoot};
use clap::Parser;
use nix::sys::signal::{SigSet, Signal};
use units::SystemClock;

/// A simulated Nitro Security Module, for development. It serves the device's own messages, each behind
/// four bytes of length, until it gets SIGTERM.
///
/// Example: attestation-sim --socket nsm.sock --root-dir sim-root --image-seed v1
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// The Unix socket to serve; whoever sees it can connect.
    #[arg(long)]
    socket: PathBuf,
    /// Where the root is kept (`sim-root.der`, for --trust-root, and its key); made if it is not there.
    /// Simulators that share it are trusted alike.
    #[arg(long)]
    root_dir: PathBuf,
    /// The EC2 instance that the enclave is said to run on; PCR4 is its digest.
    #[arg(long, value_name = "i-…")]
    instance_id: Option<InstanceId>,
    /// A register's value; may be given several times.
    #[arg(long, value_name = "N=HEX", value_parser = parse_pcr)]
    pcr: Vec<(u8, Pcr)>,
    /// Stands for the enclave's image: PCR0, PCR1 and PCR2 follow from it.
    #[arg(long)]
    image_seed: Option<String>,
    /// Zeroes PCR0, PCR1 and PCR2, as the hypervisor does for an enclave in debug mode.
    #[arg(long)]
    debug: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // Before the first thread, so that all inherit it and only the wait below gets the signal.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().context("cannot block signals")?;

    let root = Arc::new(SimRoot::load_or_create(&args.root_dir)?);
    let nsm = Arc::new(SimNsm::new(root, config(&args)?, Arc::new(SystemClock))?);
    let server = Server::bind(&args.socket)?.serve(nsm)?;
    signals.wait().context("cannot wait for signals")?;
    drop(server);
    Ok(())
}

fn config(args: &Args) -> anyhow::Result<SimConfig> {
    let mut config = SimConfig { is_debug: args.debug, ..SimConfig::default() };
    if let Some(instance_id) = &args.instance_id {
        config.instance_id = instance_id.clone();
    }
    if let Some(image_seed) = &args.image_seed {
        config.image_seed.clone_from(image_seed);
    }
    for (index, value) in &args.pcr {
        if config.pcrs.insert(*index, *value).is_some() {
            bail!("--pcr {index} is given twice");
        }
    }
    Ok(config)
}

fn parse_pcr(text: &str) -> anyhow::Result<(u8, Pcr)> {
    let (index, value) = text.split_once('=').context("expected N=HEX, for example 8=00…")?;
    let index = index.parse().ok().filter(|index| *index < PCR_COUNT);
    let index = index.context("the register must be a number from 0 to 31")?;
    ensure!(!value.is_empty(), "the value of PCR{index} is empty");
    Ok((index, value.parse()?))
}
