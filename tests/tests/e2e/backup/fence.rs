//! Two enclaves on one record: by mistake, or by a host that wants the old one to act, too.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::docker::{Engine, EngineOptions};
use devnet::enclave_box::{BoxOptions, EnclaveBox};
use devnet::process::{Process, ProcessSpec, Ready};
use devnet::world::World;
use nix::sys::signal::Signal;
use nostr::filter::Filter;
use protocol::kinds::{ANNOUNCEMENT, CERTIFICATE, CONTAINER};
use serde_json::{Value, json};
use units::Stopwatch;

use super::stores::{snapshots_pass, wallet_container};
use super::{REFUSED_WAIT, sealed};
use crate::in_world::in_world;
use crate::stranger::{LOOK_EVERY, SOON, Stranger, get, put};

const READY_WAIT: Duration = Duration::from_secs(90);

/// A second enclave of the same machine, with a disk and an engine of its own.
struct Twin {
    enclave: EnclaveBox,
    engine: Engine,
    daemon: Process,
    log: PathBuf,
}

impl Twin {
    /// Starts one beside the world's own.
    async fn start(world: &World) -> Result<Self> {
        let enclave = EnclaveBox::start(BoxOptions::new(world.options().helper.clone())).await?;
        let engine = Engine::start(&enclave, EngineOptions::default()).await?;
        let mut config: Value = serde_json::from_slice(&std::fs::read(world.daemon_config())?)?;
        config["state_dir"] = json!(enclave.dir().join("state"));
        config["docker_socket"] = json!(engine.socket());
        let (path, log) = (enclave.dir().join("twin.json"), enclave.dir().join("twin.log"));
        std::fs::write(&path, config.to_string())?;
        let spec = ProcessSpec::new(world.options().program("enclaved")?).arg("--config").arg(&path);
        let daemon = enclave.spawn(&spec, &log)?;
        Ok(Self { enclave, engine, daemon, log })
    }

    async fn ready(&mut self) -> Result<()> {
        self.daemon.wait_ready(&Ready::LogLine("the wallet is there".into()), READY_WAIT).await
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    async fn stop(mut self) -> Result<()> {
        if self.daemon.is_running() {
            self.daemon.stop(READY_WAIT).await?;
        }
        self.engine.stop().await?;
        self.enclave.stop().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn second_enclave_of_one_record_ends_the_first_at_once() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        let (owner, pubkey, url) = Stranger::keeper(world, 100).await?;
        assert_eq!(put(&format!("{url}/note"), "kept").await?, 200);
        let service = world.service()?;
        snapshots_pass(world).await?;

        let mut twin = Twin::start(world).await?;
        let status = world.wait_for_end(REFUSED_WAIT).await?;
        let log = world.daemon_log()?;
        ensure!(!status.success(), "the first ended well");
        ensure!(log.contains("the record is lost, and everything was stopped"), "{log}");
        ensure!(running(world).await? == 0, "containers of the first still run");
        // It had stopped before the second could act at all.
        let ended = Stopwatch::start();
        ensure!(!twin.log()?.contains("the record is ours"), "both held the record");
        twin.ready().await?;
        ensure!(
            ended.elapsed() >= Duration::from_secs(1),
            "the second did not wait for the first one's lease"
        );
        let said = twin.log()?;
        ensure!(said.contains("restored; what happened since"), "{said}");
        ensure!(said.contains(&service.to_hex()), "the second is somebody else");
        owner.wait_for(&pubkey, "deployed").await?;
        twin.stop().await?;

        // And the other way round: a disk that was overtaken is not gone on with.
        world.start_daemon().await?;
        world.wait_for_wallet().await?;
        let log = world.daemon_log()?;
        ensure!(log.contains("restored; what happened since"), "{log}");
        owner.wait_for(&pubkey, "deployed").await?;
        assert_eq!(get(&format!("{url}/note")).await?, (200, "kept".to_owned()));
        Ok(())
    })
    .await
}

/// A machine that its host stops in the middle, and lets go on when another has taken its place.
#[tokio::test(flavor = "multi_thread")]
async fn enclave_that_was_put_aside_pays_certifies_and_launches_nothing() -> Result<()> {
    in_world(sealed(2)?, async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 200).await?;
        let pubkey = owner.run(&image, json!({"ports": [8080], "volumes": ["/data"]})).await?;
        owner.wait_settled(&pubkey).await?;
        let service = world.service()?;
        snapshots_pass(world).await?;
        // Everything in it stands still, as a machine does.
        let (docker, wallet) = (world.engine().client().clone(), wallet_container(world).await?);
        world.signal_daemon(Signal::SIGSTOP)?;
        docker.pause_container(&wallet).await?;
        let mut twin = Twin::start(world).await?;
        twin.ready().await?;
        owner.wait_for(&pubkey, "deployed").await?;
        let before = rows(world)?;
        // What is asked from now on both will hear.
        let launched = owner.launch(&image, json!({})).await?;
        owner.pay(&launched.invoice.invoice).await?;
        owner.wait_for(&launched.pubkey, "deployed").await?;
        let by_server = Filter::new().author(service).kinds([ANNOUNCEMENT, CERTIFICATE]);
        let by_container = Filter::new().kind(CONTAINER).author(pubkey);
        // What comes from now on does not come from the one that holds the record.
        twin.daemon.kill(Signal::SIGSTOP)?;
        let told =
            (published(world, by_server.clone()).await?, published(world, by_container.clone()).await?);

        docker.unpause_container(&wallet).await?;
        world.signal_daemon(Signal::SIGCONT)?;
        let status = world.wait_for_end(REFUSED_WAIT).await?;
        let log = world.daemon_log()?;
        ensure!(!status.success() && log.contains("the record is lost"), "{status}");
        ensure!(running(world).await? == 0, "containers of the one that was put aside run");
        assert_eq!(rows(world)?, before, "it charged, launched or paid something");
        let now = (published(world, by_server).await?, published(world, by_container).await?);
        assert_eq!(now, told, "it told the world something");
        ensure!(!log.contains(&launched.pubkey.to_hex()), "it knows of a launch that is another's");
        twin.daemon.kill(Signal::SIGCONT)?;
        twin.stop().await
    })
    .await
}

/// The newest events of a filter, by id.
async fn published(world: &World, filter: Filter) -> Result<Vec<String>> {
    let events = world.pool().await?.fetch(filter, SOON).await?;
    Ok(events.iter().map(|event| event.id.to_hex()).collect())
}

/// What the daemon on the world's own disk ever did: containers, charges, withdrawals.
fn rows(world: &World) -> Result<Vec<u32>> {
    let state = rusqlite::Connection::open(world.state_dir().join("data/state.db"))?;
    let count = |table: &str| {
        let sql = format!("SELECT count(*) FROM {table}");
        state.query_row(&sql, [], |row| row.get(0)).with_context(|| table.to_owned())
    };
    ["containers", "charges", "withdrawals"].iter().map(|table| count(table)).collect()
}

/// How many containers of the world's own engine run, once they had a moment to end.
async fn running(world: &World) -> Result<usize> {
    let took = Stopwatch::start();
    loop {
        let options = None::<bollard::query_parameters::ListContainersOptions>;
        let left = world.engine().client().list_containers(options).await?.len();
        if left == 0 || took.elapsed() > Duration::from_secs(5) {
            return Ok(left);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
