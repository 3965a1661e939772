//! The wallet's Lightning addresses, if the world has them.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use bollard::query_parameters::{InspectContainerOptions, ListContainersOptions};

use super::{READY_DEADLINE, World};
use crate::forward;
use crate::process::{Process, ProcessSpec, Ready};

/// The port at which they are reached, on the box's end of the wire.
const PORT: u16 = 8_089;
/// Where the wallet serves them, inside its container.
const INNER_PORT: u16 = 8_080;
/// By which its container is told from others.
const LISTEN: &str = "NWC_LNURL_LISTEN";

impl World {
    /// What stands after the `@` of an address.
    #[must_use]
    pub fn lightning_host(&self) -> SocketAddr {
        SocketAddr::from((self.enclave.box_address(), PORT))
    }

    /// The wallet's settings for them.
    pub(super) fn lightning_env(&self) -> [(&'static str, String); 2] {
        let url = format!("http://{}", self.lightning_host());
        [(LISTEN, format!("0.0.0.0:{INNER_PORT}")), ("NWC_LNURL_URL", url)]
    }

    /// Carries requests to the wallet's container.
    pub(super) async fn forward_lightning(&mut self) -> Result<()> {
        let to = SocketAddr::from((self.wallet_address().await?, INNER_PORT));
        let spec = ProcessSpec::new(self.enclave.helper().path()).args([
            "forward",
            "--listen",
            &self.lightning_host().to_string(),
            "--to",
            &to.to_string(),
        ]);
        let mut process = self.enclave.spawn(&spec, &self.dir().join("forward.log"))?;
        process.wait_ready(&Ready::LogLine(forward::READY_LINE.into()), READY_DEADLINE).await?;
        self.forward = Some(process);
        Ok(())
    }

    async fn wallet_address(&self) -> Result<IpAddr> {
        let docker = self.engine.client();
        for container in docker.list_containers(None::<ListContainersOptions>).await? {
            let id = container.id.context("a container without id")?;
            let seen = docker.inspect_container(&id, None::<InspectContainerOptions>).await?;
            let env = seen.config.and_then(|config| config.env).unwrap_or_default();
            if !env.iter().any(|variable| variable.starts_with(LISTEN)) {
                continue;
            }
            let networks = seen.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            let address = networks.into_values().find_map(|network| network.ip_address?.parse().ok());
            return address.context("the wallet's container has no address");
        }
        anyhow::bail!("the wallet's container does not run")
    }
}

/// Ends the carrying, if there is any.
pub(super) async fn stop(forward: Option<Process>) -> Result<()> {
    match forward {
        Some(mut process) => process.stop(super::STOP_GRACE).await.map(drop),
        None => Ok(()),
    }
}
