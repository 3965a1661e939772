//! The same image on the same engine, without our guards.

use anyhow::{Context, Result};
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, StartContainerOptions, WaitContainerOptions,
};
use devnet::world::World;
use futures_util::{StreamExt, TryStreamExt};
use nostr::key::PublicKey;

use crate::netns::engine_name;

const NAME: &str = "plain";

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

    async fn remove(&self) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        Ok(self.docker.remove_container(NAME, Some(options)).await?)
    }
}
