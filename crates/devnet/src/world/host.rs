//! The host's side of a world's server: the machine's NSM, and the parent with what it keeps.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::operator::Build;
use super::{DAEMON_GRACE, READY_DEADLINE, STOP_GRACE, World, configs, sealing};
use crate::process::{Process, ProcessSpec, Ready};

/// The processes, and where the parent keeps backups.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) nsm: Option<Process>,
    pub(super) parent: Option<Process>,
    pub(super) backups: PathBuf,
    /// How much of the parent's log there was when it was marked.
    log_mark: usize,
}

impl Host {
    pub(super) fn new(dir: &Path) -> Self {
        Self { nsm: None, parent: None, backups: dir.join("backups"), log_mark: 0 }
    }
}

impl World {
    /// The folder in which the parent keeps the server's backups.
    #[must_use]
    pub fn backups(&self) -> &Path {
        &self.host.backups
    }

    /// Where the parent takes them from the server.
    #[must_use]
    pub fn backup_socket(&self) -> PathBuf {
        sealing::backup_socket(self.dir())
    }

    /// The parent's log, with the server's lines in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn parent_log(&self) -> Result<String> {
        let log = self.dir().join("parent.log");
        std::fs::read_to_string(&log).with_context(|| log.display().to_string())
    }

    /// Marks the end of the parent's log.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn mark_parent_log(&mut self) -> Result<()> {
        self.host.log_mark = self.parent_log()?.len();
        Ok(())
    }

    /// What came into the parent's log since it was marked.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn parent_log_since_mark(&self) -> Result<String> {
        Ok(self.parent_log()?.get(self.host.log_mark..).unwrap_or_default().to_owned())
    }

    /// Starts the parent, with this folder for backups from now on. It is made if it is not there.
    ///
    /// # Errors
    /// When it runs, or does not come up, with the last lines of its log.
    pub async fn start_parent(&mut self, backups: PathBuf) -> Result<()> {
        ensure!(self.host.parent.is_none(), "the parent runs");
        std::fs::create_dir_all(&backups).with_context(|| backups.display().to_string())?;
        self.host.backups = backups;
        let (config, socket) = configs::write_parent(self)?;
        let spec = ProcessSpec::new(self.options.program("enclaved-parent")?).arg("--config").arg(config);
        let mut parent = Process::on_host(self.enclave.helper(), &spec, &self.dir().join("parent.log"))?;
        parent.wait_ready(&Ready::Unix(socket), READY_DEADLINE).await?;
        self.host.parent = Some(parent);
        Ok(())
    }

    /// Ends the parent; a daemon that runs is asked to end by it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop_parent(&mut self) -> Result<()> {
        let Some(mut parent) = self.host.parent.take() else { return Ok(()) };
        parent.stop(STOP_GRACE).await.map(drop)
    }

    /// Ends the parent in order, which tells the daemon; returns when both have ended well.
    ///
    /// # Errors
    /// When one of them does not run, or does not end well.
    pub async fn end_by_parent(&mut self) -> Result<()> {
        let mut parent = self.host.parent.take().context("the parent does not run")?;
        let status = parent.stop(DAEMON_GRACE).await?;
        ensure!(status.success(), "the parent ended with {status}; {}", parent.log_tail());
        let status = self.wait_for_end(STOP_GRACE).await.context("the daemon did not end with the parent")?;
        ensure!(status.success(), "the daemon ended with {status}; {}", self.daemon_log()?);
        Ok(())
    }

    /// Kills the parent as a crash would.
    ///
    /// # Errors
    /// When it does not die.
    pub async fn kill_parent(&mut self) -> Result<()> {
        let mut parent = self.host.parent.take().context("the parent does not run")?;
        parent.kill(nix::sys::signal::Signal::SIGKILL)?;
        parent.wait_exit(STOP_GRACE).await.map(drop)
    }

    /// Lets the machine measure another build from now on, which means: starts its NSM anew. What vouches
    /// for the build is laid by [`super::Operator::lay_releases`].
    ///
    /// # Errors
    /// When the daemon runs, or the NSM does not come up.
    pub async fn install(&mut self, build: Build) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon runs: stop it first");
        self.operator.set_build(build)?;
        configs::rewrite_for_build(self)?;
        if let Some(mut nsm) = self.host.nsm.take() {
            nsm.stop(STOP_GRACE).await?;
        }
        self.start_nsm().await
    }

    /// Gives the next build another section `release` of its configuration, beside the maintainers.
    ///
    /// # Errors
    /// In a world whose state lies in clear, or when the file cannot be written.
    pub fn reconfigure_release(&mut self, release: serde_json::Value) -> Result<()> {
        let sealing = self.options.sealing.as_mut().context("this world's state lies in clear")?;
        sealing.release = release;
        configs::rewrite_for_build(self)
    }

    pub(super) async fn start_nsm(&mut self) -> Result<()> {
        let dir = self.dir().join("nsm");
        std::fs::create_dir_all(&dir)?;
        let socket = dir.join("nsm.sock");
        let mut spec = ProcessSpec::new(self.options.program("attestation-sim")?)
            .arg("--socket")
            .arg(&socket)
            .arg("--root-dir")
            .arg(&dir)
            .args(["--instance-id", self.operator.instance_id()]);
        for (index, pcr) in self.operator.pcrs() {
            spec = spec.args(["--pcr".to_owned(), format!("{index}={pcr}")]);
        }
        let mut nsm = Process::on_host(self.enclave.helper(), &spec, &dir.join("nsm.log"))?;
        nsm.wait_ready(&Ready::Unix(socket), READY_DEADLINE).await?;
        self.host.nsm = Some(nsm);
        Ok(())
    }

    pub(super) async fn stop_host(&mut self) -> Result<()> {
        let parent = self.stop_parent().await;
        if let Some(mut nsm) = self.host.nsm.take() {
            nsm.stop(STOP_GRACE).await?;
        }
        parent
    }
}
