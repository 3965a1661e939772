//! A neighbour, and how fast it is served.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::KillContainerOptions;
use devnet::world::World;
use nostr::key::PublicKey;
use serde_json::{Value, json};
use units::Stopwatch;

use super::attacks::{ATTACKS, storm_of};
use super::network::{Around, SCAN};
use crate::netns::engine_name;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get};

/// Requests of one measurement, after some that are not counted: three are slower than what is compared.
const REQUESTS: usize = 1_000;
const WARM_UP: usize = 30;
/// What the slowest hundredth may differ by for nothing: two measurements in calm differ by as much now and then
/// on a machine of two cores that does other things, too.
const NOISE: Duration = Duration::from_millis(10);
/// A measurement that something else disturbed is made again, together with its calm. An attack that slows the
/// neighbour does so each time.
const TRIES: usize = 4;

/// The firewall is asked four times a minute, and compared with the time before.
const NAMED_WITHIN: Duration = Duration::from_secs(90);

/// A container that serves a page, with a processor of its own: one that has a tenth is slowed by its own limit.
pub(super) struct Neighbour {
    pub(super) pubkey: PublicKey,
    url: String,
    client: reqwest::Client,
}

/// One attack's row of the table: what each request took, the fastest first.
struct Row {
    name: String,
    calm: Vec<Duration>,
    during: Vec<Duration>,
}

impl Row {
    fn is_fine(&self) -> bool {
        let (calm, during) = (slowest(&self.calm), slowest(&self.during));
        during <= (calm * 2).max(calm + NOISE)
    }
}

/// The ninety-ninth percentile.
fn slowest(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

/// That of all of them together.
fn slowest_of_all<'r>(all: impl Iterator<Item = &'r Vec<Duration>>) -> Duration {
    let mut all = all.flatten().copied().collect::<Vec<_>>();
    all.sort();
    slowest(&all)
}

impl Neighbour {
    pub(super) async fn launch(world: &World, image: &str) -> Result<Self> {
        let owner = Stranger::with(world, 200).await?;
        let pubkey = owner.run(image, json!({"ports": [8080], "units": 10})).await?;
        let url = owner.url(&pubkey).await?;
        get(&url).await?;
        let client = reqwest::Client::builder().no_proxy().timeout(SOON).build()?;
        Ok(Self { pubkey, url, client })
    }

    /// The neighbour's latency doubles at most, whatever another container does. What it does it does by its own
    /// program: a command from outside would cost the engine, not it.
    pub(super) async fn is_served(&self, world: &World, owner: &Stranger, around: &Around) -> Result<()> {
        let storms = World::busybox("", "storm").entrypoint(&["/bin/sh", "-c"]);
        let image = world.push(&storms, "storm").await?;
        let mut rows = Vec::new();
        let shell = ATTACKS.iter().map(|attack| (attack.name, storm_of(attack.script)));
        let all: Vec<_> = shell.chain(around.storms()).collect();
        ensure!(all.len() >= 20, "only {} attacks", all.len());
        for (name, script) in all {
            let mut row = self.during(world, owner, &image, name, &script).await?;
            for _ in 1..TRIES {
                if row.is_fine() {
                    break;
                }
                row = self.during(world, owner, &image, name, &script).await?;
            }
            rows.push(row);
        }
        println!("a neighbour's slowest hundredth of {REQUESTS} requests, in calm and while it lasts:");
        let say = |name: &str, calm: Duration, during: Duration| {
            let times = during.as_secs_f64() / calm.as_secs_f64();
            println!("{name:32} {:7.2} ms {:7.2} ms {times:5.2} ×", ms(calm), ms(during));
        };
        for Row { name, calm, during } in &rows {
            say(name, slowest(calm), slowest(during));
        }
        // One calm differs from the next by more than twice; all of them together are compared without an allowance.
        let (calm, during) =
            (slowest_of_all(rows.iter().map(|r| &r.calm)), slowest_of_all(rows.iter().map(|r| &r.during)));
        say("all of them", calm, during);
        ensure!(during <= calm * 2, "all attacks together slow the neighbour to {during:?} from {calm:?}");
        let slowed: Vec<_> = rows.iter().filter(|row| !row.is_fine()).map(|row| &row.name).collect();
        ensure!(slowed.is_empty(), "the neighbour is slowed by {slowed:?}");
        Ok(())
    }

    async fn during(
        &self,
        world: &World,
        owner: &Stranger,
        image: &str,
        name: &str,
        script: &str,
    ) -> Result<Row> {
        let calm = self.served().await?;
        let launch = json!({"args": [script], "volumes": ["/data"], "egress": "all"});
        let hostile = owner.run(image, launch).await.with_context(|| name.to_owned())?;
        let during = self.served().await?;
        // Its program does not listen to signals.
        let docker = world.engine().client();
        let params = json!({"pubkey": hostile});
        let ended = owner.call::<Value>("terminate", params);
        let killed = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            docker.kill_container(&engine_name(&hostile), None::<KillContainerOptions>).await
        };
        // It may have ended by then.
        let (ended, _killed) = tokio::join!(ended, killed);
        ended.with_context(|| name.to_owned())?;
        Ok(Row { name: name.to_owned(), calm, during })
    }

    /// What each of many requests takes, the fastest first.
    async fn served(&self) -> Result<Vec<Duration>> {
        let mut all = Vec::with_capacity(REQUESTS);
        for number in 0..WARM_UP + REQUESTS {
            let took = Stopwatch::start();
            let answer = self.client.get(&self.url).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await?;
            if number >= WARM_UP {
                all.push(took.elapsed());
            }
        }
        all.sort();
        Ok(all)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Who presses against a limit is named in the log, or tries to reach what it may not, or writes more output than is
/// kept, and nobody else is. Of who tries what it has no right to, such as to mount, nobody hears: the kernel refuses
/// it to the process, and neither counts that nor tells anybody, as long as no audit is switched on.
pub(super) async fn offenders_are_named(world: &World, owner: &Stranger) -> Result<()> {
    let storms = World::busybox("", "named").entrypoint(&["/bin/sh", "-c"]);
    let image = world.push(&storms, "named").await?;
    let mut all = Vec::new();
    for (limit, script) in [
        ("memory", "dd if=/dev/zero of=/dev/null bs=120M count=1"),
        ("processes", "i=0; while [ $i -lt 60 ]; do sleep 3 & i=$((i+1)); done"),
        ("processor", ":"),
        ("volume", "dd if=/dev/zero of=/data/x bs=64k; sleep 5"),
        ("network", SCAN),
        ("log", "busybox yes hostile | head -c 4000000"),
    ] {
        // The first shell stays when another fails to start a process.
        let script =
            format!("while :; do ( {} ); done", storm_of(script).replace("while :", "true && while :"));
        all.push((limit, owner.run(&image, json!({"args": [script], "volumes": ["/data"]})).await?));
    }
    let calm = owner.run(&image, json!({"args": ["sleep 100000"], "volumes": ["/data"]})).await?;
    let (took, is_named) = (Stopwatch::start(), |log: &str, pubkey: &PublicKey, limit: &str| {
        let limit = format!("limit=\"{limit}\"");
        log.lines().any(|line| {
            ["presses against its limit", "to reach what it may not", "the rest is lost"]
                .iter()
                .any(|message| line.contains(message))
                && line.contains(&pubkey.to_hex())
                && line.contains(&limit)
        })
    });
    loop {
        let log = world.daemon_log()?;
        let missing: Vec<_> = all.iter().filter(|(limit, pubkey)| !is_named(&log, pubkey, limit)).collect();
        if missing.is_empty() {
            ensure!(!log.lines().any(|line| line.contains("limit=") && line.contains(&calm.to_hex())));
            break;
        }
        ensure!(took.elapsed() < NAMED_WITHIN, "not named: {missing:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    for (_, pubkey) in all.into_iter().chain([("", calm)]) {
        let docker = world.engine().client();
        let ended = owner.call::<Value>("terminate", json!({"pubkey": pubkey}));
        let name = engine_name(&pubkey);
        let killed = docker.kill_container(&name, None::<KillContainerOptions>);
        // It may have ended by then.
        let (ended, _killed) = tokio::join!(ended, killed);
        ended?;
    }
    Ok(())
}
