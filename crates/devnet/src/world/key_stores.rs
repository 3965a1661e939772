//! A world's key stores: each a process with a parent, a simulated NSM and a launcher of its own.

mod cable;
mod config;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use attestation::{Pcr, pcr_digest};
use nix::sys::signal::Signal;
use nostr::key::{Keys, PublicKey};
use protocol::nec::{Env, launcher, release};
use units::{Clock, SystemClock};

use crate::helper::HelperBinary;
use crate::process::{Process, ProcessSpec, Ready};
use cable::Cable;

/// The repository that the key stores claim to be built from.
pub const KEYCRUX_REPO: &str = "https://example.com/keycrux";
const VERSION: &str = "0.1.0";
const READY_DEADLINE: Duration = Duration::from_secs(30);
/// How long a group may take to come together: its members look for each other on the relay.
const SERVING_DEADLINE: Duration = Duration::from_secs(60);
const STOP_GRACE: Duration = Duration::from_secs(5);
/// What a key store says once it has joined its group, or founded it with the others.
const SERVING: &str = "ready: ";

/// Where key stores live, and whom they meet.
#[derive(Clone, Debug)]
pub struct Neighbourhood {
    /// Through which processes are started.
    pub helper: HelperBinary,
    /// The folder with our programs.
    pub programs: PathBuf,
    /// Under which each has a folder.
    pub dir: PathBuf,
    /// The simulated root's folder.
    pub root_dir: PathBuf,
    /// The relay.
    pub relay: SocketAddr,
    /// Where the cables to the relay begin, the ports counting up; without it there are none, and nobody
    /// can be cut off.
    pub cables: Option<SocketAddr>,
    /// Their `RUST_LOG`.
    pub log: String,
}

/// The key stores of a world.
#[derive(Debug)]
pub struct KeyStores {
    neighbourhood: Neighbourhood,
    maintainers: [Keys; 2],
    launchers: Vec<Keys>,
    writes: usize,
    stores: Vec<KeyStore>,
}

#[derive(Debug)]
struct KeyStore {
    dir: PathBuf,
    cable: Option<Cable>,
    starts: u32,
    process: Option<Process>,
    parent: Process,
    nsm: Process,
}

impl KeyStores {
    /// Starts so many, of which `writes` must acknowledge a write, and does not wait for them: see
    /// [`Self::wait_serving`].
    ///
    /// # Errors
    /// What did not start, with the last lines of its log.
    pub async fn start(neighbourhood: Neighbourhood, count: usize, writes: usize) -> Result<Self> {
        let launchers = (0..count).map(|_| Keys::generate()).collect();
        let maintainers = [Keys::generate(), Keys::generate()];
        let mut all = Self { neighbourhood, maintainers, launchers, writes, stores: Vec::new() };
        for i in 0..count {
            let store = all.prepare(i).await?;
            all.stores.push(store);
            all.start_again(i)?;
        }
        Ok(all)
    }

    /// Who signs their releases; both did.
    #[must_use]
    pub const fn maintainers(&self) -> &[Keys; 2] {
        &self.maintainers
    }

    /// Who runs them, in their order.
    #[must_use]
    pub fn launchers(&self) -> &[Keys] {
        &self.launchers
    }

    /// How many must acknowledge a write.
    #[must_use]
    pub const fn writes(&self) -> usize {
        self.writes
    }

    /// The folder of one, with its logs.
    ///
    /// # Panics
    /// If there is no such one.
    #[must_use]
    pub fn dir(&self, i: usize) -> &Path {
        &self.stores[i].dir
    }

    /// The log of the process that runs as number `i`, or ran last.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self, i: usize) -> Result<String> {
        let path = self.log_path(i);
        std::fs::read_to_string(&path).with_context(|| path.display().to_string())
    }

    /// Waits until number `i` has joined the others, or they have founded a group.
    ///
    /// # Errors
    /// When it does not within a minute, with the last lines of its log.
    pub async fn wait_serving(&mut self, i: usize) -> Result<()> {
        let process = self.stores[i].process.as_mut().context("this key store does not run")?;
        process.wait_ready(&Ready::LogLine(SERVING.into()), SERVING_DEADLINE).await
    }

    /// The same for all.
    ///
    /// # Errors
    /// As [`Self::wait_serving`].
    pub async fn wait_all_serving(&mut self) -> Result<()> {
        for i in 0..self.stores.len() {
            self.wait_serving(i).await?;
        }
        Ok(())
    }

    /// Kills number `i` as a crash would. All that it knew is gone.
    ///
    /// # Errors
    /// When it does not run or does not die.
    pub async fn kill(&mut self, i: usize) -> Result<()> {
        let mut process = self.stores[i].process.take().context("this key store does not run")?;
        process.kill(Signal::SIGKILL)?;
        process.wait_exit(STOP_GRACE).await.map(drop)
    }

    /// Stops the process of number `i` where it is and hands it over, with all that it knows: its launcher
    /// may start another in its place, and offer this one again by SIGCONT.
    ///
    /// # Errors
    /// When it does not run.
    pub fn put_aside(&mut self, i: usize) -> Result<Process> {
        let mut process = self.stores[i].process.take().context("this key store does not run")?;
        process.kill(Signal::SIGSTOP)?;
        Ok(process)
    }

    /// Starts number `i` after it was killed or put aside. It knows nothing.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn start_again(&mut self, i: usize) -> Result<()> {
        let store = &mut self.stores[i];
        ensure!(store.process.is_none(), "this key store runs");
        store.starts += 1;
        let program = self.neighbourhood.programs.join("keycrux");
        ensure!(program.is_file(), "{} is not there: run `scripts/build`", program.display());
        let spec = ProcessSpec::new(program)
            .arg("--config")
            .arg(store.dir.join("keycrux.json"))
            .env("RUST_LOG", &self.neighbourhood.log);
        let log = self.log_path(i);
        self.stores[i].process = Some(Process::on_host(&self.neighbourhood.helper, &spec, &log)?);
        Ok(())
    }

    /// Cuts number `i` off from the relay.
    ///
    /// # Errors
    /// When there are no cables.
    pub async fn isolate(&mut self, i: usize) -> Result<()> {
        self.stores[i].cable.as_mut().context("the world has no cables")?.pull().await;
        Ok(())
    }

    /// Connects it again.
    ///
    /// # Errors
    /// When there are no cables, or its address was taken meanwhile.
    pub async fn rejoin(&mut self, i: usize) -> Result<()> {
        self.stores[i].cable.as_mut().context("the world has no cables")?.plug().await
    }

    /// The registers of their build.
    #[must_use]
    pub fn image_pcrs() -> [Pcr; 3] {
        ["kernel and image", "kernel and init", "application"]
            .map(|part| pcr_digest(format!("devnet: keycrux: {part}").as_bytes()))
    }

    /// Ends all of them.
    ///
    /// # Errors
    /// When one does not end.
    pub async fn stop(mut self) -> Result<()> {
        for store in &mut self.stores {
            if let Some(process) = &mut store.process {
                process.stop(STOP_GRACE).await?;
            }
            store.parent.stop(STOP_GRACE).await?;
            store.nsm.stop(STOP_GRACE).await?;
        }
        Ok(())
    }

    /// Everything of number `i` but the key store itself.
    async fn prepare(&self, i: usize) -> Result<KeyStore> {
        let hood = &self.neighbourhood;
        let dir = hood.dir.join(format!("keycrux-{i}"));
        let instance_id = format!("i-0devnetkeycrux{i:04}");
        self.sign(i, &instance_id, &dir.join("instance"))?;
        let cable = match hood.cables {
            Some(first) => Some(Cable::new(config::cable_address(first, i)?, hood.relay).await?),
            None => None,
        };
        let relay = cable.as_ref().map_or(hood.relay, Cable::address);
        config::write(self, &dir, relay)?;
        let mut nsm = ProcessSpec::new(hood.programs.join("attestation-sim"))
            .arg("--socket")
            .arg(dir.join("nsm.sock"))
            .arg("--root-dir")
            .arg(&hood.root_dir)
            .args(["--instance-id", &instance_id]);
        for (index, pcr) in Self::image_pcrs().iter().enumerate() {
            nsm = nsm.args(["--pcr".to_owned(), format!("{index}={pcr}")]);
        }
        let parent = ProcessSpec::new(hood.programs.join("enclaved-parent"))
            .arg("--config")
            .arg(dir.join("parent.json"));
        let mut nsm = Process::on_host(&hood.helper, &nsm, &dir.join("nsm.log"))?;
        let mut parent = Process::on_host(&hood.helper, &parent, &dir.join("parent.log"))?;
        nsm.wait_ready(&Ready::Unix(dir.join("nsm.sock")), READY_DEADLINE).await?;
        parent.wait_ready(&Ready::Unix(dir.join("parent.sock")), READY_DEADLINE).await?;
        Ok(KeyStore { dir, cable, starts: 0, process: None, parent, nsm })
    }

    /// What the launcher and the maintainers sign for one of them.
    fn sign(&self, i: usize, instance_id: &str, dir: &Path) -> Result<()> {
        let now = SystemClock.now();
        std::fs::create_dir_all(dir.join("release")).with_context(|| dir.display().to_string())?;
        let launcher = self.launchers.get(i).context("no such launcher")?;
        let machine = launcher::build(launcher, instance_id, Env::Dev, now)?;
        std::fs::write(dir.join("instance.json"), machine.as_json())?;
        for (by, maintainer) in self.maintainers.iter().enumerate() {
            let pcrs = Self::image_pcrs();
            let signed = release::build(maintainer, KEYCRUX_REPO, VERSION, &pcrs, Env::Dev, now)?;
            std::fs::write(dir.join(format!("release/{by}.json")), signed.as_json())?;
        }
        Ok(())
    }

    fn log_path(&self, i: usize) -> PathBuf {
        let store = &self.stores[i];
        store.dir.join(format!("keycrux-{}.log", store.starts))
    }

    fn public(keys: &[Keys]) -> Vec<PublicKey> {
        keys.iter().map(Keys::public_key).collect()
    }
}
