//! The wire between the host and a box: one veth pair and a /30 network, claimed by name.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::process::spec::PATH;

/// 198.18.0.0/15, set aside for tests of network devices (RFC 2544, appendix C.2.2): nobody routes it.
const BASE: u32 = Ipv4Addr::new(198, 18, 0, 0).to_bits();
/// How many /30 networks it holds.
pub(super) const NETWORKS: u16 = 1 << 15;
/// The device inside.
const BOX_DEVICE: &str = "eth0";

/// One of the networks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Wire(u16);

impl Wire {
    /// The network with this number, modulo [`NETWORKS`].
    pub(super) const fn numbered(number: u16) -> Self {
        Self(number % NETWORKS)
    }

    /// The name of everything that the box makes on this machine: its directory, its control groups,
    /// and the host's end of the veth pair, which the kernel lets exist only once.
    pub(super) fn name(self) -> String {
        format!("encl-{:04x}", self.0)
    }

    /// The host's address.
    pub(super) fn host_address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(BASE + u32::from(self.0) * 4 + 1)
    }

    /// The box's address.
    pub(super) fn box_address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(BASE + u32::from(self.0) * 4 + 2)
    }

    fn network(self) -> Ipv4Net {
        Ipv4Net::new_assert(self.host_address(), 30).trunc()
    }

    /// Whether this machine uses an address of the network for something else.
    pub(super) fn overlaps(self, used: &BTreeSet<Ipv4Net>) -> bool {
        let ours = self.network();
        used.iter().any(|net| net.contains(&ours) || ours.contains(net))
    }

    /// Makes the pair between this network namespace and that of process `init_pid`. `false` means
    /// that another box has this wire.
    pub(super) fn connect(self, init_pid: u32) -> Result<bool> {
        let (name, pid) = (self.name(), init_pid.to_string());
        let add = ["link", "add", &name, "type", "veth", "peer", "name", BOX_DEVICE, "netns", &pid];
        let added = output(Command::new("ip").args(add))?;
        if !added.status.success() {
            let message = String::from_utf8_lossy(&added.stderr);
            if message.contains("File exists") {
                return Ok(false);
            }
            bail!("cannot make the veth pair {name}: {}", message.trim());
        }
        let (host, inside) = (self.host_address(), self.box_address());
        ip_batch(
            Command::new("ip").args(["-batch", "-"]),
            &format!("address add {host}/30 dev {name}\nlink set {name} up\n"),
        )?;
        ip_batch(
            Command::new("nsenter").args(["--target", &pid, "--net", "--", "ip", "-batch", "-"]),
            &format!(
                "address add {inside}/30 dev {BOX_DEVICE}\nlink set {BOX_DEVICE} up\n\
                 link set lo up\nroute add default via {host}\n"
            ),
        )?;
        Ok(true)
    }
}

/// Removes the host's end of a pair, and so the pair. The kernel does this too when the box's
/// network namespace ends, but some time later.
pub(super) fn disconnect(name: &str) -> Result<()> {
    if !is_connected(name) {
        return Ok(());
    }
    let deleted = output(Command::new("ip").args(["link", "delete", name]))?;
    // The kernel may have been faster.
    if !deleted.status.success() && is_connected(name) {
        bail!("cannot delete the veth pair {name}: {}", String::from_utf8_lossy(&deleted.stderr).trim());
    }
    Ok(())
}

fn is_connected(name: &str) -> bool {
    Path::new("/sys/class/net").join(name).exists()
}

/// The IPv4 networks that this machine's devices are in.
pub(super) fn networks_in_use() -> Result<BTreeSet<Ipv4Net>> {
    #[derive(Deserialize)]
    struct Device {
        #[serde(default)]
        addr_info: Vec<Address>,
    }
    #[derive(Deserialize)]
    struct Address {
        local: Ipv4Addr,
        prefixlen: u8,
    }
    let listed = output(Command::new("ip").args(["-json", "-4", "address", "show"]))?;
    if !listed.status.success() {
        bail!("cannot list addresses: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let devices: Vec<Device> =
        serde_json::from_slice(&listed.stdout).context("cannot read the answer of `ip -json address`")?;
    let addresses = devices.into_iter().flat_map(|device| device.addr_info);
    addresses
        .map(|address| Ok(Ipv4Net::new(address.local, address.prefixlen)?.trunc()))
        .collect::<Result<_>>()
        .context("`ip -json address` gave an impossible prefix length")
}

fn ip_batch(command: &mut Command, lines: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let name = || Path::new(&program).display().to_string();
    let mut child =
        prepared(command).stdin(Stdio::piped()).spawn().with_context(|| format!("cannot run {}", name()))?;
    child.stdin.take().context("no pipe to ip")?.write_all(lines.as_bytes()).context("cannot write to ip")?;
    let done = child.wait_with_output().with_context(|| format!("cannot wait for {}", name()))?;
    if !done.status.success() {
        bail!("cannot set addresses: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    prepared(command).output().with_context(|| format!("cannot run {}", OsStr::to_string_lossy(&program)))
}

fn prepared(command: &mut Command) -> &mut Command {
    command.env_clear().env("PATH", PATH).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

#[cfg(test)]
mod tests;
