//! The same image on the same engine, without our guards.

use anyhow::{Context, Result};
use bollard::models::{ContainerCreateBody, HostConfig, NetworkCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use devnet::world::World;
use futures_util::{StreamExt, TryStreamExt};
use nostr::key::PublicKey;

use super::attacks::WORKED;
use crate::netns::engine_name;

const NAME: &str = "plain";
/// Somebody to be found, and the network of both.
const SERVED: &str = "plain-served";
const NETWORK: &str = "plain-network";

pub(super) struct Plain {
    docker: bollard::Docker,
    image: String,
}

impl Plain {
    /// With the image of a container of ours.
    pub(super) async fn like(world: &World, pubkey: &PublicKey) -> Result<Self> {
        let docker = world.engine().client().clone();
        let found = docker.inspect_container(&engine_name(pubkey), None::<InspectContainerOptions>).await?;
        Ok(Self { docker, image: found.image.context("no image")? })
    }

    /// Runs a script to its end; what it said.
    pub(super) async fn run(&self, script: &str, host: HostConfig) -> Result<String> {
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(["/bin/sh", "-c", script].map(ToOwned::to_owned).to_vec()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(NAME).build();
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(NAME, None::<StartContainerOptions>).await?;
        // Its exit code says nothing that its text does not.
        drop(self.docker.wait_container(NAME, None::<WaitContainerOptions>).collect::<Vec<_>>().await);
        let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
        let said: Vec<_> = self.docker.logs(NAME, Some(options)).try_collect().await?;
        self.remove().await?;
        Ok(said.iter().map(ToString::to_string).collect())
    }

    /// How long its log is after a script that writes to it, in bytes.
    pub(super) async fn log_bytes_after(&self, script: &str) -> Result<u64> {
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(["/bin/sh", "-c", script].map(ToOwned::to_owned).to_vec()),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(NAME).build();
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(NAME, None::<StartContainerOptions>).await?;
        drop(self.docker.wait_container(NAME, None::<WaitContainerOptions>).collect::<Vec<_>>().await);
        let options = LogsOptionsBuilder::default().stdout(true).build();
        let said: Vec<_> = self.docker.logs(NAME, Some(options)).try_collect().await?;
        self.remove().await?;
        Ok(said.iter().map(|part| part.to_string().len() as u64).sum())
    }

    /// A container on the engine's own kind of network finds another there: what a network for each keeps apart.
    pub(super) async fn scans_its_own_network(&self) -> Result<()> {
        let network = NetworkCreateRequest { name: NETWORK.to_owned(), ..NetworkCreateRequest::default() };
        self.docker.create_network(network).await?;
        let host = HostConfig { network_mode: Some(NETWORK.to_owned()), ..HostConfig::default() };
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            host_config: Some(host.clone()),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::default().name(SERVED).build();
        self.docker.create_container(Some(options), body).await?;
        self.docker.start_container(SERVED, None::<StartContainerOptions>).await?;
        let scan = "own=$(ip -4 address show eth0 | busybox grep -o 'inet [0-9.]*'); own=${own#inet }; i=1
            while [ $i -lt 20 ]; do
                [ ${own%.*}.$i = $own ] || echo | nc -w 1 ${own%.*}.$i 8080 > /dev/null 2>&1 && echo GOT-THROUGH
                i=$((i+1))
            done";
        let scanned = self.run(scan, host).await;
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.docker.remove_container(SERVED, Some(options)).await?;
        self.docker.remove_network(NETWORK).await?;
        let said = scanned?;
        anyhow::ensure!(said.contains(WORKED), "the scan finds nobody anywhere: {said}");
        Ok(())
    }

    async fn remove(&self) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        Ok(self.docker.remove_container(NAME, Some(options)).await?)
    }
}
