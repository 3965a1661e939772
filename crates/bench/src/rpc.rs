//! Requests through a relay, against a bare echo.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::key::Keys;
use relay::rpc::RpcClient;
use serde_json::json;

use crate::echo::{self, Echo, PEER};
use crate::load::{Caller, run};
use crate::summary::Figure;

const WAIT: Duration = Duration::from_secs(20);
/// Calls of each client, after a tenth of them to warm up.
const CALLS_ALONE: usize = 1_000;
const CALLS_TOGETHER: usize = 100;
const TOGETHER: usize = 64;

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let options = WorldOptions { rate_per_sec: 100_000, ..WorldOptions::new(helper.clone()) };
    let world = World::start(options, |_| {}).await?;
    let service = Keys::generate();
    let serving = tokio::spawn(echo::serve(world.pool().await?, service.clone()));
    let world = Arc::new(world);
    let (ping_1, _) = run(Ping::clients(&world, 1).await?, CALLS_ALONE).await?;
    let (echo_1, _) = run(Echo::clients(&world.relay_url(), &service, 1).await?, CALLS_ALONE).await?;
    let (ping_64, ping_per_sec) = run(Ping::clients(&world, TOGETHER).await?, CALLS_TOGETHER).await?;
    let (echo_64, echo_per_sec) =
        run(Echo::clients(&world.relay_url(), &service, TOGETHER).await?, CALLS_TOGETHER).await?;
    serving.abort();
    let Ok(world) = Arc::try_unwrap(world) else { bail!("somebody still holds the world") };
    world.stop().await?;
    let p50 = Figure::ratio("ms, p50 at 1", ping_1.median_ms(), echo_1.median_ms(), PEER, ping_1.len());
    let p99 = Figure::ratio(
        "ms, p99 at 64",
        ping_64.percentile_ms(99),
        echo_64.percentile_ms(99),
        PEER,
        ping_64.len(),
    );
    let per_sec = Figure {
        value: ping_per_sec,
        unit: "pings/s at 64".into(),
        ours: ping_per_sec,
        peer: echo_per_sec,
        peer_name: PEER.into(),
        runs: ping_64.len(),
    };
    Ok(vec![("rpc.p50_vs_echo_1", p50), ("rpc.p99_vs_echo_64", p99), ("rpc.per_sec_64", per_sec)])
}

struct Ping {
    rpc: RpcClient,
}

impl Ping {
    async fn clients(world: &World, count: usize) -> Result<Vec<Self>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Self { rpc: world.rpc(&Keys::generate()).await? });
        }
        Ok(clients)
    }
}

impl Caller for Ping {
    async fn call(&mut self) -> Result<()> {
        let pong: String = self.rpc.call("ping", &json!({}), WAIT).await?;
        if pong == "pong" { Ok(()) } else { bail!("not a pong: {pong}") }
    }
}
