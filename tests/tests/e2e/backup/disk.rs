//! Losing a machine: its daemon dies, and with it all that it ran and everything on its disk.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use devnet::process::ProcessSpec;
use devnet::world::World;

const UNMOUNT_WAIT: Duration = Duration::from_secs(20);

/// Kills the daemon and wipes its disk, containers and all.
pub(super) async fn lose_machine(world: &mut World) -> Result<()> {
    world.kill_daemon().await?;
    lose_disk(world).await
}

/// Wipes the disk of a daemon that does not run.
pub(super) async fn lose_disk(world: &World) -> Result<()> {
    let docker = world.engine().client();
    let all = ListContainersOptionsBuilder::default().all(true).build();
    for container in docker.list_containers(Some(all)).await? {
        let id = container.id.context("a container without an id")?;
        let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        docker.remove_container(&id, Some(force)).await?;
    }
    let state = world.state_dir();
    // In the box, where the volumes are mounted.
    let script = r#"grep -o " $0/[^ ]*" /proc/self/mounts | xargs -r umount && rm -rf "$0""#;
    let spec = ProcessSpec::new("/bin/sh").args(["-c", script]).arg(&state);
    let mut wiping = world.enclave().spawn(&spec, &world.dir().join("wipe.log"))?;
    let status = wiping.wait_exit(UNMOUNT_WAIT).await?;
    ensure!(status.success() && !state.exists(), "the disk was not wiped: {}", wiping.log_tail());
    Ok(())
}
