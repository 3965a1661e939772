//! From paid to serving, against `docker run` of the same pulled image on the same engine.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::image_build::ImageSpec;
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use protocol::nwc::PayInvoice;
use protocol::rpc::enclaved::{ContainerParams, ContainerStatus, LaunchReply};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use units::{Msat, Stopwatch};

use crate::samples::Samples;
use crate::summary::Figure;

const RUNS: usize = 10;
const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Between two questions for the state: what a client may ask without being told to wait.
const ASK_EVERY: Duration = Duration::from_millis(25);
/// Longest wait for a connection. The first packet to a container that has no network yet is lost, and
/// TCP repeats it after a second only: whoever waits for that measures TCP.
const CONNECT_WAIT: Duration = Duration::from_millis(20);
/// Port that the peer's containers are published at, one after the other.
const PEER_PORT: u16 = 4_000;

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let world = World::start(WorldOptions::new(helper.clone()), |_| {}).await?;
    // Serves at once and needs nothing of us, so that the engine alone can run it, too.
    let spec = ImageSpec::default().program("/bin/busybox", "/bin/busybox").entrypoint(&[
        "/bin/busybox",
        "httpd",
        "-f",
        "-p",
        "8080",
        "-h",
        "/",
    ]);
    let image = world.push(&spec, "httpd").await?;
    let owner = Keys::generate();
    world.fund(&owner, Msat::new(1_000_000)).await?;
    // Once, to have it pulled; what follows finds it in the engine for as long as this one runs.
    let (_, keeps_image) = ours(&world, &owner, &image).await?;
    let engine_image =
        world.engine().client().list_images(None::<bollard::query_parameters::ListImagesOptions>).await?;
    let image_id = engine_image
        .iter()
        .find(|one| one.repo_tags.iter().any(|tag| tag.ends_with(":loaded")) && one.size < 10_000_000)
        .context("the image is not in the engine")?
        .id
        .clone();
    let (mut mine, mut peers) = (Samples::default(), Samples::default());
    for _ in 0..RUNS {
        let (took, launched) = ours(&world, &owner, &image).await?;
        terminate(&world, &owner, launched).await?;
        mine.add(took);
        peers.add(docker_run(&world, &image_id).await?);
    }
    terminate(&world, &owner, keeps_image).await?;
    world.stop().await?;
    let figure = Figure::ratio("ms, median", mine.median_ms(), peers.median_ms(), "docker run -d -p", RUNS);
    Ok(vec![("deploy.vs_docker_run", figure)])
}

/// From the payer's proof of payment until the app answers.
async fn ours(world: &World, owner: &Keys, image: &str) -> Result<(Duration, PublicKey)> {
    let (rpc, wallet) = (world.rpc(owner).await?, world.wallet(owner).await?);
    let params = json!({"docker": image, "units": 1, "ports": [8080]});
    let launched: LaunchReply = rpc.call("launch", &params, WAIT).await?;
    let status: ContainerStatus =
        rpc.call("status", &ContainerParams { pubkey: launched.pubkey }, WAIT).await?;
    let port = status.info.endpoints.first().context("no endpoint")?.port;
    wallet.call(owner, &PayInvoice::of(launched.invoice.invoice), WAIT).await?;
    let took = Stopwatch::start();
    // Like who waits for `docker run` to return. Packets to a container that is not there yet would have
    // the kernel ask for its address in vain, and ask again only after a second.
    loop {
        let status: ContainerStatus =
            rpc.call("status", &ContainerParams { pubkey: launched.pubkey }, WAIT).await?;
        if status.info.state == "deployed" {
            break;
        }
        ensure!(took.elapsed() < WAIT, "it does not start: {status:?}");
        tokio::time::sleep(ASK_EVERY).await;
    }
    serves(world, port, took).await?;
    Ok((took.elapsed(), launched.pubkey))
}

async fn terminate(world: &World, owner: &Keys, pubkey: PublicKey) -> Result<()> {
    world.rpc(owner).await?.call::<Value>("terminate", &ContainerParams { pubkey }, WAIT).await?;
    Ok(())
}

async fn docker_run(world: &World, image: &str) -> Result<Duration> {
    let docker = || {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", world.engine().socket().display()));
        command
    };
    let took = Stopwatch::start();
    let publish = format!("{PEER_PORT}:8080");
    let output = docker().args(["run", "-d", "--name", "peer", "-p", &publish, image]).output().await?;
    ensure!(output.status.success(), "docker run: {}", String::from_utf8_lossy(&output.stderr));
    serves(world, PEER_PORT, took).await?;
    let took = took.elapsed();
    let removed = docker().args(["rm", "-f", "-v", "peer"]).output().await?;
    ensure!(removed.status.success(), "docker rm: {}", String::from_utf8_lossy(&removed.stderr));
    Ok(took)
}

/// Waits until something answers HTTP there.
async fn serves(world: &World, port: u16, since: Stopwatch) -> Result<()> {
    let address = (world.enclave().box_address(), port);
    loop {
        if answers(address).await {
            return Ok(());
        }
        ensure!(since.elapsed() < WAIT, "nothing serves at port {port}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One request; true if an answer to it begins.
async fn answers(address: (std::net::Ipv4Addr, u16)) -> bool {
    let connecting = tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address));
    let Ok(Ok(mut stream)) = connecting.await else { return false };
    let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
    let mut answer = [0; 5];
    asked.is_ok() && stream.read_exact(&mut answer).await.is_ok() && &answer == b"HTTP/"
}
