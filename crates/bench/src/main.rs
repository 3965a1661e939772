//! Benchmarks: each figure beside that of a peer, taken in the same run on the same machine, as a
//! ratio. Results go to `target/bench/summary.json` and into a table.

mod backup;
mod density;
mod deploy;
mod echo;
mod keycrux;
mod load;
mod rpc;
mod samples;
mod summary;
mod verify;
mod wallet;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use devnet::helper::HelperBinary;

use crate::summary::Summary;

/// Measures ours against a peer.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = "Example: bench --only rpc")]
struct Args {
    /// Measure only this; may be repeated.
    #[arg(long, value_name = "NAME")]
    only: Vec<Name>,
    /// For processes of `backup` that this program starts.
    #[arg(long, hide = true)]
    backup_job: Option<backup::Job>,
    /// Where the results go.
    #[arg(long, default_value = "target/bench/summary.json")]
    out: PathBuf,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Name {
    /// Snapshots and restores, against `tar | zstd | age`.
    Backup,
    /// What a hundred idle containers cost, against an engine alone.
    Density,
    /// From paid to serving, against `docker run`.
    Deploy,
    /// Keys from a key store with ten thousand records, through a relay, against a bare echo.
    Keycrux,
    /// Requests through a relay, against a bare echo.
    Rpc,
    /// Attestation documents, against other verifiers and the bare signature checks.
    Verify,
    /// Payments and balances over a relay, against bare commits and a bare echo.
    Wallet,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    service::init_tls();
    if let Some(job) = args.backup_job {
        return backup::run_job(job).await;
    }
    let wanted = |name| args.only.is_empty() || args.only.contains(&name);
    let mut summary = Summary::read(&args.out)?;
    if wanted(Name::Backup) {
        summary.add(backup::measure().await?);
    }
    if wanted(Name::Density) {
        summary.add(density::measure(&HelperBinary::find()?).await?);
    }
    if wanted(Name::Deploy) {
        summary.add(deploy::measure(&HelperBinary::find()?).await?);
    }
    if wanted(Name::Keycrux) {
        summary.add(keycrux::measure(&HelperBinary::find()?).await?);
    }
    if wanted(Name::Rpc) {
        summary.add(rpc::measure(&HelperBinary::find()?).await?);
    }
    if wanted(Name::Verify) {
        summary.add(verify::measure()?);
    }
    if wanted(Name::Wallet) {
        summary.add(wallet::measure(&HelperBinary::find()?).await?);
    }
    summary.write(&args.out)?;
    summary.print();
    Ok(ExitCode::SUCCESS)
}
