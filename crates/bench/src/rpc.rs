//! Requests through a relay, against the least that an answer through it costs: a service that signs
//! an event back, without encryption, rate limits or memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use protocol::event::{sign, tag_value};
use protocol::tag;
use relay::rpc::RpcClient;
use relay::{Pool, Subscription};
use serde_json::json;
use tokio::task::JoinSet;
use units::{Clock, Stopwatch, SystemClock};

use crate::samples::Samples;
use crate::summary::Figure;

/// An ephemeral kind of nobody's.
const ECHO: Kind = Kind::Custom(29_999);
const WAIT: Duration = Duration::from_secs(20);
/// Calls of each client, after a tenth of them to warm up.
const CALLS_ALONE: usize = 1_000;
const CALLS_TOGETHER: usize = 100;
const TOGETHER: usize = 64;
const PEER: &str = "bare echo over the same relay";

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let options = WorldOptions { rate_per_sec: 100_000, ..WorldOptions::new(helper.clone()) };
    let world = World::start(options, |_| {}).await?;
    let service = Keys::generate();
    let serving = tokio::spawn(serve_echo(world.pool().await?, service.clone()));
    let world = Arc::new(world);
    let (ping_1, _) = run(Ping::clients(&world, 1).await?, CALLS_ALONE).await?;
    let (echo_1, _) = run(Echo::clients(pools(&world, 1).await?, &service).await?, CALLS_ALONE).await?;
    let (ping_64, ping_per_sec) = run(Ping::clients(&world, TOGETHER).await?, CALLS_TOGETHER).await?;
    let (echo_64, echo_per_sec) =
        run(Echo::clients(pools(&world, TOGETHER).await?, &service).await?, CALLS_TOGETHER).await?;
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

async fn pools(world: &World, count: usize) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    for _ in 0..count {
        pools.push(world.pool().await?);
    }
    Ok(pools)
}

/// Somebody who asks and waits for the answer.
pub(crate) trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<()>> + Send;
}

/// Lets every client make so many calls, all at the same time; returns their times and calls a second.
pub(crate) async fn run<C: Caller>(clients: Vec<C>, calls: usize) -> Result<(Samples, f64)> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            for _ in 0..calls / 10 {
                client.call().await?;
            }
            let (mut samples, whole) = (Samples::default(), Stopwatch::start());
            for _ in 0..calls {
                let took = Stopwatch::start();
                client.call().await?;
                samples.add(took.elapsed());
            }
            Ok::<_, anyhow::Error>((samples, whole.elapsed()))
        });
    }
    let (mut all, mut longest) = (Samples::default(), Duration::ZERO);
    while let Some(done) = tasks.join_next().await {
        let (samples, took) = done??;
        all.extend(samples);
        longest = longest.max(took);
    }
    let count = f64::from(u32::try_from(all.len()).unwrap_or(u32::MAX));
    Ok((all, count / longest.as_secs_f64()))
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

/// A client of [`serve_echo`].
pub(crate) struct Echo {
    pool: Pool,
    keys: Keys,
    service: PublicKey,
    replies: Subscription,
    asked: u64,
}

impl Echo {
    /// One client for each of these connections.
    pub(crate) async fn clients(pools: Vec<Pool>, service: &Keys) -> Result<Vec<Self>> {
        let mut clients = Vec::new();
        for pool in pools {
            let keys = Keys::generate();
            let filter = Filter::new().kind(ECHO).author(service.public_key()).pubkey(keys.public_key());
            let replies = pool.subscribe(filter).await?;
            clients.push(Self { pool, keys, service: service.public_key(), replies, asked: 0 });
        }
        Ok(clients)
    }
}

impl Caller for Echo {
    async fn call(&mut self) -> Result<()> {
        self.asked += 1;
        let text = self.asked.to_string();
        let tags = vec![tag!["p", self.service.to_hex()]];
        let event = sign(&self.keys, ECHO, SystemClock.now(), tags, text.clone())?;
        let pool = self.pool.clone();
        // As the RPC client does: the answer may be here before the relay's OK.
        let sending = tokio::spawn(async move { pool.publish(&event).await });
        let answered = async {
            while let Some(reply) = self.replies.next().await {
                if reply.content == text {
                    return Ok(());
                }
            }
            bail!("the relay is gone")
        };
        tokio::time::timeout(WAIT, answered).await.context("no echo")??;
        drop(sending.await);
        Ok(())
    }
}

/// Signs every event back, until the relay is gone.
pub(crate) async fn serve_echo(pool: Pool, keys: Keys) -> Result<()> {
    let mut requests = pool.subscribe(Filter::new().kind(ECHO).pubkey(keys.public_key())).await?;
    while let Some(request) = requests.next().await {
        if tag_value(&request, "p") != Some(&keys.public_key().to_hex()) {
            continue;
        }
        let tags = vec![tag!["p", request.pubkey.to_hex()]];
        let reply = sign(&keys, ECHO, SystemClock.now(), tags, request.content.clone())?;
        let pool = pool.clone();
        tokio::spawn(async move { pool.publish(&reply).await });
    }
    Ok(())
}
