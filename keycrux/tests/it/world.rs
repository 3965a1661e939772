//! A relay, launchers, and the key stores that they run.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use attestation_sim::{Server, ServerHandle, SimConfig, SimNsm, SimRoot, image_pcrs};
use keyholder::{AcquireError, Directory, Found, HolderOptions, KeycruxClient, Keyholder, Member, Trust};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use nostr::key::Keys;
use protocol::nec::{Env, launcher, release};
use protocol::parent::{Call, Meta, Outcome};
use protocol::rpc::keycrux::{Identity, Input, StatusReply};
use quorum::Size;
use relay::{LocalRelayLimits, LocalRelayServer, Pool};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use transport::{Listener, ParentHandler, Pusher, StreamAddress, serve};
use units::{Clock, SystemClock};

use crate::enclave::Enclave;

pub(crate) const KEYCRUX_REPO: &str = "https://example.com/keycrux";
const IMAGE_SEED: &str = "keycrux";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Longest wait for anything in a test.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How often to look for what another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Long enough to find a key store that took the place of another.
pub(crate) const LEASE: Duration = Duration::from_secs(5);

pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: Arc<SimRoot>,
    pub(crate) url: String,
    pub(crate) pool: Pool,
    pub(crate) launchers: Vec<Keys>,
    pub(crate) maintainer: Keys,
    pub(crate) writes: usize,
    /// More of the configuration.
    pub(crate) config: Value,
}

/// A running key store; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) log: PathBuf,
    pub(crate) member: Member,
    _nsm: ServerHandle,
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the process to end by itself.
    pub(crate) async fn wait(mut self) -> Option<i32> {
        let ended = async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status.code();
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        tokio::time::timeout(SOON, ended).await.unwrap_or_else(|_| panic!("the process did not end"))
    }

    /// Waits until the log says this.
    pub(crate) async fn wait_log(&self, text: &str) {
        let said = async {
            while !self.log().contains(text) {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let in_time = tokio::time::timeout(SOON, said).await;
        in_time.unwrap_or_else(|_| panic!("{text:?} was not said: {}", self.log()));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Parent(Meta);

impl ParentHandler for Parent {
    async fn handle(&self, call: Call) -> Outcome {
        if let Call::GetMeta { .. } = call {
            return Outcome::Result(serde_json::to_value(&self.0).unwrap());
        }
        Outcome::Error("not here".into())
    }
}

impl World {
    /// A world for `members` key stores, none of which runs yet.
    pub(crate) async fn new(members: usize, writes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = Arc::new(SimRoot::load_or_create(&dir.path().join("root")).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        tokio::spawn(
            async move { LocalRelayServer::new(LocalRelayLimits::default()).listen(listener).await },
        );
        let pool = Pool::connect([url.clone()]).await.unwrap();
        assert!(pool.wait_connected(SOON).await);
        let launchers = (0..members).map(|_| Keys::generate()).collect();
        Self { dir, root, url, pool, launchers, maintainer: Keys::generate(), writes, config: json!({}) }
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust {
            root: self.root.trust_root().clone(),
            repo: KEYCRUX_REPO.into(),
            env: Some(Env::Dev),
            maintainers: BTreeSet::from([self.maintainer.public_key()]),
            threshold: 1,
            min_version: None,
            members: self.launchers.iter().map(Keys::public_key).collect(),
        }
    }

    /// The configuration of the key store of launcher `i`, in a folder of its own.
    pub(crate) fn write_config(&self, folder: &Path) -> PathBuf {
        let members: Vec<String> = self.launchers.iter().map(|keys| keys.public_key().to_hex()).collect();
        let mut config = json!({
            "repo": KEYCRUX_REPO,
            "relays": [self.url],
            "nsm": folder.join("nsm.sock"),
            "trust_root": self.dir.path().join("root/sim-root.der"),
            "parent": format!("unix:{}", folder.join("parent.sock").display()),
            "maintainers": [self.maintainer.public_key().to_hex()],
            "group": {"members": members, "writes": self.writes},
            "rate": {"per_sec": 1_000, "burst": 10_000},
        });
        let more = self.config.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
        let path = folder.join("keycrux.json");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// The folder, the NSM and the parent of a key store of launcher `i` that is about to start.
    pub(crate) async fn prepare(&self, i: usize, image_seed: &str) -> (PathBuf, ServerHandle) {
        let folder = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let instance_id = format!("i-0keycrux{i}");
        let config = SimConfig {
            instance_id: instance_id.parse().unwrap(),
            image_seed: image_seed.into(),
            ..SimConfig::default()
        };
        let nsm = SimNsm::new(Arc::clone(&self.root), config, Arc::new(SystemClock)).unwrap();
        let nsm = Server::bind(&folder.join("nsm.sock")).unwrap().serve(Arc::new(nsm)).unwrap();
        let now = SystemClock.now();
        let instance = launcher::build(&self.launchers[i], &instance_id, Env::Dev, now).unwrap();
        let pcrs = image_pcrs(IMAGE_SEED);
        let release = release::build(&self.maintainer, KEYCRUX_REPO, VERSION, &pcrs, Env::Dev, now).unwrap();
        let meta = Meta {
            instance: Some(instance.into_event()),
            releases: vec![release.into_event()],
            ..Meta::default()
        };
        let address: StreamAddress =
            format!("unix:{}", folder.join("parent.sock").display()).parse().unwrap();
        let listener = Listener::bind(&address).await.unwrap();
        tokio::spawn(serve(listener, Arc::new(Parent(meta)), Pusher::default()));
        (folder, nsm)
    }

    pub(crate) fn spawn(&self, folder: &Path) -> (Child, PathBuf) {
        let config = self.write_config(folder);
        let log = folder.join("log");
        let child = Command::new(env!("CARGO_BIN_EXE_keycrux"))
            .arg("--config")
            .arg(config)
            .env("RUST_LOG", "info,keycrux=debug,nostr_sdk=warn")
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        (child, log)
    }

    /// Starts the key store of launcher `i`, and waits until it has announced itself.
    pub(crate) async fn start(&self, i: usize) -> Running {
        let (folder, nsm) = self.prepare(i, IMAGE_SEED).await;
        let before = self.members().await;
        let (mut child, log) = self.spawn(&folder);
        let launcher = self.launchers[i].public_key();
        let announced = async {
            loop {
                let members = self.members().await;
                let is_new = |member: &&Member| member.launcher() == launcher && !before.contains(member);
                if let Some(member) = members.iter().find(is_new) {
                    return *member;
                }
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("ended at once, {status}: {}", std::fs::read_to_string(&log).unwrap());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let member = tokio::time::timeout(SOON, announced).await;
        let member =
            member.unwrap_or_else(|_| panic!("not announced: {}", std::fs::read_to_string(&log).unwrap()));
        Running { child, log, member, _nsm: nsm }
    }

    pub(crate) async fn start_all(&self) -> Vec<Running> {
        let mut running = Vec::new();
        for i in 0..self.launchers.len() {
            running.push(self.start(i).await);
        }
        for one in &running {
            self.wait_serving(one).await;
        }
        running
    }

    async fn members(&self) -> Vec<Member> {
        let directory = Directory::new(self.pool.clone(), Arc::new(self.trust()), Arc::new(SystemClock));
        directory.find().await.unwrap()
    }

    pub(crate) async fn client(&self, running: &Running, keys: &Keys) -> KeycruxClient {
        let (pool, clock) = (self.pool.clone(), Arc::new(SystemClock));
        KeycruxClient::new(pool, keys.clone(), running.member.service(), clock, SOON).await.unwrap()
    }

    pub(crate) async fn status(&self, running: &Running) -> StatusReply {
        self.client(running, &Keys::generate()).await.status().await.unwrap()
    }

    /// Waits until a key store has joined its group.
    pub(crate) async fn wait_serving(&self, running: &Running) {
        let serving = async {
            while !self.status(running).await.serving {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let in_time = tokio::time::timeout(SOON, serving).await;
        in_time.unwrap_or_else(|_| panic!("not serving: {}", running.log()));
    }

    pub(crate) fn holder_options(&self, owner: &Enclave, identity: Identity, input: Input) -> HolderOptions {
        HolderOptions {
            pool: self.pool.clone(),
            clock: Arc::new(SystemClock),
            nsm: owner.nsm.clone(),
            trust: Arc::new(self.trust()),
            size: Size::new(self.launchers.len(), self.writes).unwrap(),
            lease: LEASE,
            margin: Duration::from_millis(100),
            identity,
            input,
        }
    }

    pub(crate) async fn acquire(
        &self,
        owner: &Enclave,
        identity: &Identity,
        input: &Input,
    ) -> Result<(Keyholder, Found), AcquireError> {
        Keyholder::acquire(self.holder_options(owner, identity.clone(), input.clone()), SOON).await
    }
}
