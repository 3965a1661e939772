//! What an older life of the server left in the engine.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    RemoveContainerOptionsBuilder,
};
use futures_util::future::join_all;

use super::error::missing;
use super::{LABEL_BUILTIN, LABEL_PUBKEY, Runtime, RuntimeError, engine, freeze, plan, volume};

/// How often it is looked whether everything is dead that had to be killed.
const KILL_EVERY: Duration = Duration::from_millis(200);
/// For so long an engine that does not answer is asked again: ten seconds.
const KILL_TRIES: usize = 50;

/// The engine, before it is known whose state this server has.
#[derive(Debug)]
pub struct Leftovers {
    docker: Docker,
}

impl Leftovers {
    /// Connects to the engine.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn of_engine(socket: &Path) -> Result<Self, RuntimeError> {
        Ok(Self { docker: engine::connect(socket).await? })
    }

    /// Holds still what could pay in the server's name: nobody knows yet whether it may.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn freeze_builtins(&self) -> Result<(), RuntimeError> {
        for name in self.names(LABEL_BUILTIN, None).await? {
            freeze::pause(&self.docker, &name).await?;
        }
        Ok(())
    }

    /// Removes every container and network of an older life, and unmounts the volumes in this folder.
    ///
    /// # Errors
    /// [`RuntimeError`]; what was removed stays removed.
    pub async fn remove(&self, volumes: &Path) -> Result<(), RuntimeError> {
        for name in self.names(LABEL_PUBKEY, None).await? {
            tracing::info!(name, "a container of an older life is removed");
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            missing(self.docker.remove_container(&name, Some(options)).await)?;
        }
        let ours = HashMap::from([("name".to_owned(), vec![plan::NAME_PREFIX.to_owned()])]);
        let options = ListNetworksOptionsBuilder::default().filters(&ours).build();
        for network in self.docker.list_networks(Some(options)).await? {
            // The engine's filter finds the text anywhere in a name.
            if let Some(name) = network.name.filter(|name| name.starts_with(plan::NAME_PREFIX)) {
                missing(self.docker.remove_network(&name).await)?;
            }
        }
        Ok(volume::unmount_below(volumes).await?)
    }

    async fn names(&self, label: &str, status: Option<&str>) -> Result<Vec<String>, RuntimeError> {
        names(&self.docker, label, status).await
    }
}

impl Runtime {
    /// Kills every container at once: this server may do nothing any more.
    pub async fn kill_all(&self) {
        for _ in 0..KILL_TRIES {
            match self.kill_running().await {
                Ok(0) => return,
                Ok(count) => tracing::info!(count, "containers were killed"),
                Err(e) => tracing::error!("containers are not killed: {e}; trying again"),
            }
            tokio::time::sleep(KILL_EVERY).await;
        }
        tracing::error!("containers may still run: end this machine");
    }

    /// How many ran, each of which was told to end.
    async fn kill_running(&self) -> Result<usize, RuntimeError> {
        let mut running = names(&self.docker, LABEL_PUBKEY, Some("running")).await?;
        running.extend(names(&self.docker, LABEL_PUBKEY, Some("paused")).await?);
        let killing = running.iter().map(|name| async move {
            let options = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            if let Err(e) = self.docker.kill_container(name, Some(options)).await {
                tracing::debug!(name, "not killed: {e}");
            }
        });
        join_all(killing).await;
        Ok(running.len())
    }
}

async fn names(docker: &Docker, label: &str, status: Option<&str>) -> Result<Vec<String>, RuntimeError> {
    let mut filters = HashMap::from([("label".to_owned(), vec![label.to_owned()])]);
    filters.extend(status.map(|status| ("status".to_owned(), vec![status.to_owned()])));
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let found = docker.list_containers(Some(options)).await?;
    let name = |one: ContainerSummary| one.names?.into_iter().next();
    Ok(found.into_iter().filter_map(name).map(|name| name.trim_start_matches('/').to_owned()).collect())
}
