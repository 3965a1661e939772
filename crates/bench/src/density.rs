//! What a hundred idle containers cost: memory and CPU of the daemon, beside those of an engine that
//! runs as many without us. And what the daemon publishes of them meanwhile.

mod process;
mod told;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::image_build::ImageSpec;
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use protocol::nwc::PayInvoice;
use protocol::rpc::enclaved::{ContainerParams, ContainerStatus, LaunchReply};
use relay::rpc::{RpcClient, RpcError};
use serde_json::json;
use tokio::process::Command;
use units::{Msat, Stopwatch};

use crate::summary::Figure;
use process::Cost;
use told::{Told, check_events};

const CONTAINERS: usize = 100;
const WALLET_UNITS: u32 = 20;
/// Launches at once, each by an owner of its own: an owner has one unpaid launch.
const OWNERS: usize = 2;
/// What `upgrade.poll_secs` is when nothing else is said.
const RELEASE_POLL_SECS: u64 = 600;
/// A whole cycle: within it each container is told of once without a change.
const WATCHED: Duration = Duration::from_secs(600);
/// The peer has no cycle.
const PEER_WATCHED: Duration = Duration::from_secs(60);
/// After so long without an event nothing of the launches is left to be announced.
const SETTLED: Duration = Duration::from_secs(15);
/// The server tells at a pace, and a hundred launches are many events.
const SETTLES_WITHIN: Duration = Duration::from_secs(600);
const WAIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What relays commonly take: the longest event, and events a minute of one address.
const EVENT_BYTES_MAX: usize = 64 * 1024;
const EVENTS_PER_MINUTE_MAX: usize = 120;
/// What the daemon may cost. A program built without optimisation needs several times of both.
const RSS_MIB_MAX: f64 = if cfg!(debug_assertions) { 192.0 } else { 64.0 };
const CPU_PERCENT_MAX: f64 = if cfg!(debug_assertions) { 10.0 } else { 1.0 };

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let mut options = WorldOptions::new(helper.clone());
    // A hundred launches one after the other fill the volume that two units have.
    options.wallet_units = WALLET_UNITS;
    // As shipped; worlds look all the time, so that tests need not wait.
    options.release_poll_secs = RELEASE_POLL_SECS;
    options.units = u32::try_from(CONTAINERS)? + WALLET_UNITS;
    let mut world = World::start(options, |_| {}).await?;
    let measured = in_world(&mut world).await;
    world.stop().await?;
    measured
}

async fn in_world(world: &mut World) -> Result<Vec<(&'static str, Figure)>> {
    let program = "/bin/busybox";
    let spec = ImageSpec::default().program(program, program).entrypoint(&[program, "sleep", "1000000"]);
    let image = world.push(&spec, "idle").await?;
    let containers = launch_all(world, &image).await?;
    let mut told = Told::listen(world, &containers).await?;
    told.settle().await?;
    let daemon = process::find("enclaved", &world.daemon_config())?;
    let watched = [daemon];
    let (ours, events) = tokio::join!(Cost::of(&watched, WATCHED), told.watch(WATCHED));
    let ours = ours?;
    check_events(&events, &containers)?;
    ensure!(ours.rss_mib < RSS_MIB_MAX, "the daemon has {} MiB, more than {RSS_MIB_MAX}", ours.rss_mib);
    ensure!(ours.cpu_percent < CPU_PERCENT_MAX, "idle, the daemon uses {} % of a core", ours.cpu_percent);

    // The same number of the same image on the same engine, without us.
    world.stop_daemon().await?;
    let engine_image = engine_image(world).await?;
    for number in 0..CONTAINERS {
        docker(world, &["run", "-d", "--name", &format!("peer{number}"), &engine_image]).await?;
    }
    tokio::time::sleep(SETTLED).await;
    let dockerd = process::find("dockerd", world.dir())?;
    let engine = [dockerd, process::child("containerd", dockerd)?];
    let peers = Cost::of(&engine, PEER_WATCHED).await?;
    let figure = |unit: &str, ours: f64, peer: f64| Figure {
        value: ours,
        unit: unit.to_owned(),
        ours,
        peer,
        peer_name: "dockerd and containerd alone".to_owned(),
        runs: CONTAINERS,
    };
    Ok(vec![
        ("density.daemon_rss_mib", figure("MiB", ours.rss_mib, peers.rss_mib)),
        ("density.daemon_cpu_percent", figure("% of a core", ours.cpu_percent, peers.cpu_percent)),
    ])
}

async fn launch_all(world: &World, image: &str) -> Result<Vec<PublicKey>> {
    let share = CONTAINERS / OWNERS;
    let owners = (0..OWNERS).map(|_| launch_some(world, image, share));
    Ok(futures_util::future::try_join_all(owners).await?.concat())
}

async fn launch_some(world: &World, image: &str, count: usize) -> Result<Vec<PublicKey>> {
    let owner = Keys::generate();
    world.fund(&owner, Msat::new(10_000_000)).await?;
    let (rpc, wallet) = (world.rpc(&owner).await?, world.wallet(&owner).await?);
    let mut launched = Vec::new();
    for _ in 0..count {
        let reply = launch(&rpc, image).await?;
        wallet.call(&owner, &PayInvoice::of(reply.invoice.invoice), WAIT).await?;
        let took = Stopwatch::start();
        loop {
            let params = ContainerParams { pubkey: reply.pubkey };
            let status: ContainerStatus = rpc.call("status", &params, WAIT).await?;
            if status.info.state == "deployed" {
                break;
            }
            ensure!(took.elapsed() < WAIT, "not deployed: {status:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        launched.push(reply.pubkey);
    }
    Ok(launched)
}

/// The wallet has a fifth of a core; one that is asked too much is asked again.
async fn launch(rpc: &RpcClient, image: &str) -> Result<LaunchReply> {
    let took = Stopwatch::start();
    loop {
        match rpc.call("launch", &json!({"docker": image, "units": 1}), WAIT).await {
            Err(RpcError::Refused(refusal))
                if refusal.code == "wallet_unavailable" && took.elapsed() < WAIT =>
            {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            answered => return Ok(answered?),
        }
    }
}

async fn engine_image(world: &World) -> Result<String> {
    let options = None::<bollard::query_parameters::ListImagesOptions>;
    let images = world.engine().client().list_images(options).await?;
    // The smallest that we loaded: the other is the wallet.
    let loaded = images.iter().filter(|one| one.repo_tags.iter().any(|tag| tag.ends_with(":loaded")));
    Ok(loaded.min_by_key(|one| one.size).context("the image is not in the engine")?.id.clone())
}

async fn docker(world: &World, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("docker");
    command.arg("-H").arg(format!("unix://{}", world.engine().socket().display())).args(arguments);
    let output = command.output().await?;
    ensure!(output.status.success(), "docker: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
