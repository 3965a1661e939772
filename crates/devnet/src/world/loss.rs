//! Losing the enclave: whatever ran in it, and everything on its disk.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};

use super::World;
use crate::process::ProcessSpec;

/// How long unmounting and removing may take.
const WIPE_WAIT: Duration = Duration::from_secs(20);
/// Unmounts what is mounted below a folder, in the box, and removes the folder.
const WIPE: &str = r#"grep -o " $0/[^ ]*" /proc/self/mounts | xargs -r umount && rm -rf "$0""#;

impl World {
    /// Kills the daemon as a crash would, and with it all that it ran and everything on its disk: an enclave
    /// that ends leaves nothing.
    ///
    /// # Errors
    /// When something is left.
    pub async fn lose_enclave(&mut self) -> Result<()> {
        self.kill_daemon().await?;
        self.wipe_disk().await
    }

    /// Wipes the disk of a daemon that does not run, containers and all.
    ///
    /// # Errors
    /// When the daemon runs, or something is left.
    pub async fn wipe_disk(&self) -> Result<()> {
        ensure!(self.daemon.is_none(), "the daemon runs: stop it first");
        let docker = self.engine.client();
        let all = ListContainersOptionsBuilder::default().all(true).build();
        for container in docker.list_containers(Some(all)).await? {
            let id = container.id.context("a container without an id")?;
            let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            docker.remove_container(&id, Some(force)).await?;
        }
        let state = self.state_dir();
        let spec = ProcessSpec::new("/bin/sh").args(["-c", WIPE]).arg(&state);
        let mut wiping = self.enclave.spawn(&spec, &self.dir().join("wipe.log"))?;
        let status = wiping.wait_exit(WIPE_WAIT).await?;
        ensure!(status.success() && !state.exists(), "the disk was not wiped: {}", wiping.log_tail());
        Ok(())
    }
}
