//! One network per container: a bridge of its own, two addresses of a range of its own.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::Docker;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use bollard::query_parameters::InspectNetworkOptions;
use ipnet::Ipv4Net;
use nostr::key::PublicKey;

use super::RuntimeError;
use super::error::{is_status, missing};
use crate::config::Network;

/// Bridges of containers begin so; the firewall knows them by it.
pub(super) const BRIDGE_PREFIX: &str = "ecl";
/// Eight addresses: the network, the gateway, the container, the broadcast, and what the engine wants.
const PREFIX_LEN: u8 = 29;
const ADDRESSES: u32 = 8;

/// Cuts containers' networks from a range.
#[derive(Clone, Copy, Debug)]
pub struct NetworkPlan {
    range: Ipv4Net,
}

/// The addresses of one container's network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses {
    /// Name of its bridge.
    pub bridge: String,
    /// The network.
    pub subnet: Ipv4Net,
    /// The bridge's address: all that the container may reach of this machine.
    pub gateway: Ipv4Addr,
    /// The container's address.
    pub container: Ipv4Addr,
}

impl NetworkPlan {
    /// A plan for the configured range.
    #[must_use]
    pub const fn new(network: &Network) -> Self {
        Self { range: network.containers }
    }

    /// How many networks fit.
    #[must_use]
    pub fn slots(&self) -> u16 {
        let networks = 1_u32 << (PREFIX_LEN - self.range.prefix_len().min(PREFIX_LEN));
        u16::try_from(networks).unwrap_or(u16::MAX)
    }

    /// The number of the network whose container has this address.
    #[must_use]
    pub fn slot_of(&self, address: Ipv4Addr) -> Option<u16> {
        let offset = u32::from(address).checked_sub(u32::from(self.range.network()))?;
        let slot = u16::try_from(offset / ADDRESSES).ok().filter(|slot| *slot < self.slots())?;
        (self.addresses(slot).container == address).then_some(slot)
    }

    /// The addresses of network number `slot`.
    #[must_use]
    pub fn addresses(&self, slot: u16) -> Addresses {
        let base = u32::from(self.range.network()) + u32::from(slot) * ADDRESSES;
        let subnet = Ipv4Net::new(Ipv4Addr::from(base), PREFIX_LEN).unwrap_or(self.range);
        Addresses {
            bridge: format!("{BRIDGE_PREFIX}{slot}"),
            subnet,
            gateway: Ipv4Addr::from(base + 1),
            container: Ipv4Addr::from(base + 2),
        }
    }
}

/// The engine's name of a container's network.
pub(super) fn name(pubkey: &PublicKey) -> String {
    super::plan::container_name(pubkey)
}

/// Makes sure that the network is there.
pub(super) async fn ensure(
    docker: &Docker,
    addresses: &Addresses,
    pubkey: &PublicKey,
) -> Result<(), RuntimeError> {
    let name = name(pubkey);
    if missing(docker.inspect_network(&name, None::<InspectNetworkOptions>).await)?.is_some() {
        return Ok(());
    }
    let pool = IpamConfig {
        subnet: Some(addresses.subnet.to_string()),
        gateway: Some(addresses.gateway.to_string()),
        ..IpamConfig::default()
    };
    let options = HashMap::from([
        ("com.docker.network.bridge.name".to_owned(), addresses.bridge.clone()),
        ("com.docker.network.bridge.enable_icc".to_owned(), "false".to_owned()),
    ]);
    let request = NetworkCreateRequest {
        name,
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![pool]), ..Ipam::default() }),
        options: Some(options),
        ..NetworkCreateRequest::default()
    };
    match docker.create_network(request).await {
        // Somebody was faster: us, before a crash.
        Err(e) if is_status(&e, 409) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Makes sure that the network is not there.
pub(super) async fn remove(docker: &Docker, pubkey: &PublicKey) -> Result<(), RuntimeError> {
    missing(docker.remove_network(&name(pubkey)).await).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_do_not_overlap_and_stay_in_the_range() {
        let network = Network { containers: "10.9.0.0/24".parse().unwrap(), ..Network::default() };
        let plan = NetworkPlan::new(&network);
        assert_eq!(plan.slots(), 32);
        let all: Vec<_> = (0..plan.slots()).map(|slot| plan.addresses(slot)).collect();
        for (i, one) in all.iter().enumerate() {
            assert!(network.containers.contains(&one.subnet));
            assert!(one.subnet.contains(&one.gateway) && one.subnet.contains(&one.container));
            assert!(all[..i].iter().all(|other| !other.subnet.contains(&one.subnet)));
            assert_eq!(plan.slot_of(one.container), u16::try_from(i).ok());
            assert_eq!(plan.slot_of(one.gateway), None);
        }
        assert_eq!(
            (plan.slot_of(Ipv4Addr::new(10, 9, 1, 2)), plan.slot_of(Ipv4Addr::new(10, 8, 9, 2))),
            (None, None)
        );
        assert_eq!(
            (all[31].bridge.as_str(), all[31].container.to_string().as_str()),
            ("ecl31", "10.9.0.250")
        );
    }

    #[test]
    fn default_range_has_room_and_bridges_have_legal_names() {
        let plan = NetworkPlan::new(&Network::default());
        assert_eq!(plan.slots(), 8_192);
        assert!(plan.addresses(8_191).bridge.len() <= 15);
    }
}
