//! The configuration files of a key store and its parent.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use super::{KEYCRUX_REPO, KeyStores};

/// Writes both into the key store's folder.
pub(super) fn write(stores: &KeyStores, dir: &Path, relay: SocketAddr) -> Result<()> {
    let parent_socket = format!("unix:{}", dir.join("parent.sock").display());
    let parent = json!({
        "listen": parent_socket,
        "instance_dir": dir.join("instance"),
        // Nobody looks for a key store by its host's address.
        "ip": "127.0.0.1",
        "shutdown_secs": 5,
    });
    std::fs::write(dir.join("parent.json"), parent.to_string())?;
    let keycrux = json!({
        "repo": KEYCRUX_REPO,
        "relays": [format!("ws://{relay}")],
        "nsm": dir.join("nsm.sock"),
        "trust_root": stores.neighbourhood.root_dir.join("sim-root.der"),
        "parent": parent_socket,
        "maintainers": KeyStores::public(&stores.maintainers),
        "threshold": stores.maintainers.len(),
        "group": {"members": KeyStores::public(&stores.launchers), "writes": stores.writes},
        "records": {"per_instance_max": 20_000},
        "rate": {"per_sec": 10_000, "burst": 20_000},
    });
    std::fs::write(dir.join("keycrux.json"), keycrux.to_string())?;
    Ok(())
}

/// Where the cable of number `i` begins.
pub(super) fn cable_address(first: SocketAddr, i: usize) -> Result<SocketAddr> {
    let port = u16::try_from(i).ok().and_then(|i| first.port().checked_add(i));
    Ok(SocketAddr::new(first.ip(), port.context("no port is left")?))
}
