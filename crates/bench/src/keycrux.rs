//! Keys from a key store that holds as many records as it takes, through a relay, against a bare echo.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attestation::nsm::Nsm;
use attestation_sim::{SimConfig, SimNsm, SimRoot, image_pcrs};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use devnet::helper::HelperBinary;
use devnet::process::{Process, ProcessSpec, Ready};
use devnet::relay_process;
use devnet::world::{KEYCRUX_REPO, KeyStores, Neighbourhood};
use keyholder::{Directory, KeycruxClient, Trust};
use nostr::key::{Keys, PublicKey};
use protocol::nec::{Env, release};
use protocol::rpc::keycrux::{GetParams, Input, Policy, SecretData, SetParams};
use relay::Pool;
use tokio::task::JoinSet;
use units::{Clock, Stopwatch, SystemClock};

use crate::echo::{self, Echo, PEER, connect};
use crate::load::{Caller, run};
use crate::summary::Figure;

/// As many as a key store takes if nothing else is configured.
const RECORDS: usize = 10_000;
/// Of one machine, likewise.
const RECORDS_PER_MACHINE: usize = 16;
const MACHINES: usize = RECORDS / RECORDS_PER_MACHINE;
/// Who ask at the same time, each for the key of another machine.
const TOGETHER: usize = 64;
/// Calls of each, after a tenth of them to warm up.
const CALLS: usize = 100;
const REPO: &str = "https://example.com/enclaved";
const IMAGE_SEED: &str = "bench";
const WAIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn measure(helper: &HelperBinary) -> Result<Vec<(&'static str, Figure)>> {
    let dir = tempfile::tempdir()?;
    // Free a moment ago: the port goes to the relay, which is a process of its own, as everywhere.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let spec = ProcessSpec::new(helper.path()).args(["relay", "--listen", &address.to_string()]);
    let mut relay = Process::on_host(helper, &spec, &dir.path().join("relay.log"))?;
    relay.wait_ready(&Ready::LogLine(relay_process::READY_LINE.into()), WAIT).await?;
    let url = format!("ws://{address}");
    let mut stores = start_store(helper, dir.path(), address).await?;
    stores.wait_all_serving().await?;
    let root = Arc::new(SimRoot::load_or_create(&dir.path().join("root"))?);
    let service = find(&stores, &root, &connect(&url).await?).await?;
    let machines = Arc::new(fill(&url, &root, service).await?);
    let held = client(&url, &Keys::generate(), service).await?.status().await?.records;
    ensure!(held == RECORDS, "the key store holds {held} records");

    let echoed = Keys::generate();
    let serving = tokio::spawn(echo::serve(connect(&url).await?, echoed.clone()));
    let mut getters = Vec::new();
    for machine in machines.iter().take(TOGETHER) {
        getters
            .push(Getter { client: client(&url, &machine.keys, service).await?, machine: machine.clone() });
    }
    let (gets, gets_per_sec) = run(getters, CALLS).await?;
    let (echoes, echoes_per_sec) = run(Echo::clients(&url, &echoed, TOGETHER).await?, CALLS).await?;
    serving.abort();
    stores.stop().await?;
    relay.stop(WAIT).await?;

    let figure = |unit: String, ours: f64, peer: f64| Figure {
        value: ours,
        unit,
        ours,
        peer,
        peer_name: PEER.into(),
        runs: gets.len(),
    };
    let per_sec = figure(format!("gets/s at {TOGETHER}"), gets_per_sec, echoes_per_sec);
    let p99 = figure(format!("ms, p99 at {TOGETHER}"), gets.percentile_ms(99), echoes.percentile_ms(99));
    Ok(vec![("keycrux.get_per_sec", per_sec), ("keycrux.get_p99_ms", p99)])
}

async fn start_store(helper: &HelperBinary, dir: &std::path::Path, relay: SocketAddr) -> Result<KeyStores> {
    let neighbourhood = Neighbourhood {
        helper: helper.clone(),
        programs: helper.path().parent().context("the helper is in no folder")?.to_owned(),
        dir: dir.to_owned(),
        root_dir: dir.join("root"),
        relay,
        cables: None,
        log: "info".into(),
    };
    KeyStores::start(neighbourhood, 1, 1).await
}

/// The key store's key, from its announcement.
async fn find(stores: &KeyStores, root: &SimRoot, pool: &Pool) -> Result<PublicKey> {
    let trust = Trust {
        root: root.trust_root().clone(),
        repo: KEYCRUX_REPO.into(),
        env: Some(Env::Dev),
        maintainers: stores.maintainers().iter().map(Keys::public_key).collect(),
        threshold: 2,
        min_version: None,
        members: stores.launchers().iter().map(Keys::public_key).collect(),
    };
    let directory = Directory::new(pool.clone(), Arc::new(trust), Arc::new(SystemClock));
    let took = Stopwatch::start();
    loop {
        if let Some(member) = directory.find().await?.first() {
            return Ok(member.service());
        }
        ensure!(took.elapsed() < WAIT, "the key store is not announced");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn client(url: &str, keys: &Keys, service: PublicKey) -> Result<KeycruxClient> {
    let pool = connect(url).await?;
    Ok(KeycruxClient::new(pool, keys.clone(), service, Arc::new(SystemClock), WAIT).await?)
}

/// A machine with a build on it, and the key with which it asks.
#[derive(Clone)]
struct Machine {
    keys: Keys,
    document: String,
}

impl Machine {
    fn new(root: &Arc<SimRoot>, number: usize) -> Result<Self> {
        let config = SimConfig {
            instance_id: format!("i-0bench{number:06}").parse()?,
            image_seed: IMAGE_SEED.into(),
            ..SimConfig::default()
        };
        let nsm = Nsm::new(Arc::new(SimNsm::new(Arc::clone(root), config, Arc::new(SystemClock))?));
        let keys = Keys::generate();
        let document = STANDARD.encode(nsm.attest(Some(&keys.public_key().to_bytes()), None, None)?);
        Ok(Self { keys, document })
    }
}

/// Fills the key store, the machines that are asked for first last: a document is good for some minutes.
async fn fill(url: &str, root: &Arc<SimRoot>, service: PublicKey) -> Result<Vec<Machine>> {
    let maintainer = Keys::generate();
    let pcrs = image_pcrs(IMAGE_SEED);
    let signed = release::build(&maintainer, REPO, "1.0.0", &pcrs, Env::Dev, SystemClock.now())?;
    let input = Input { repo: Some(REPO.into()), release_signatures: vec![signed.into_event()] };
    let mut filling = JoinSet::new();
    for first in 0..TOGETHER {
        let (url, root) = (url.to_owned(), Arc::clone(root));
        let (maintainer, input) = (maintainer.public_key(), input.clone());
        filling.spawn(async move {
            let mut machines = Vec::new();
            for number in (first..MACHINES).step_by(TOGETHER).collect::<Vec<_>>().into_iter().rev() {
                let machine = Machine::new(&root, number)?;
                let client = client(&url, &machine.keys, service).await?;
                for record in 0..RECORDS_PER_MACHINE {
                    let params = SetParams {
                        attestation: machine.document.clone(),
                        data: SecretData::new("0123456789abcdef".repeat(4)),
                        policy: Some(policy(maintainer, record)),
                        input: Some(input.clone()),
                    };
                    client.set(&params).await?;
                }
                machines.push((number, machine));
            }
            Ok::<_, anyhow::Error>(machines)
        });
    }
    let mut machines = Vec::new();
    while let Some(some) = filling.join_next().await {
        machines.extend(some??);
    }
    machines.sort_by_key(|(number, _)| *number);
    Ok(machines.into_iter().map(|(_, machine)| machine).collect())
}

/// Each with another maintainer besides the one that signs, so that each is another record.
fn policy(maintainer: PublicKey, record: usize) -> Policy {
    let mut other = [1; 32];
    other[0] = u8::try_from(record).unwrap_or(u8::MAX);
    Policy {
        repo: Some(REPO.into()),
        release_pubkeys: [maintainer, PublicKey::from_byte_array(other)].into(),
        env: Some(Env::Dev),
        threshold: Some(1),
        ..Policy::default()
    }
}

/// A machine that asks for its key, as one that has just started.
struct Getter {
    client: KeycruxClient,
    machine: Machine,
}

impl Caller for Getter {
    async fn call(&mut self) -> Result<()> {
        let params = GetParams { attestation: self.machine.document.clone(), input: None, identity: None };
        let data = self.client.get(&params).await?;
        ensure!(data.expose().len() == 64, "another key");
        Ok(())
    }
}
