//! What a container could find around it: the machine, a host of the operator's network that is also
//! the cloud's metadata service, and hosts on the internet.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Mutex;

use anyhow::Result;
use devnet::world::World;

use crate::netns::Netns;

/// The cloud's metadata service.
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// A host in the operator's network.
pub(crate) const OPERATOR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// A host with a public address; here it is nobody else's.
pub(crate) const INTERNET: Ipv4Addr = Ipv4Addr::new(11, 22, 33, 44);
/// The resolver that the configuration gives to containers which may reach the internet.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(1, 1, 1, 1);
/// The machine's end of the wire to these, by which all of it is reached.
pub(crate) const MACHINE: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// A port at which everybody listens.
pub(crate) const PORT: u16 = 8_099;

/// The machine and a host beside it, both of which listen at all of their addresses.
pub(crate) struct Neighbourhood {
    pub(crate) machine: Netns,
    /// All of the addresses are its own.
    pub(crate) host: Netns,
    pub(crate) machine_udp: Mutex<UdpSocket>,
    pub(crate) host_udp: Mutex<UdpSocket>,
    _listeners: [TcpListener; 2],
}

impl Neighbourhood {
    /// Joins a host to the box by a wire of its own. Both ends go when this does.
    pub(crate) fn build(world: &World) -> Result<Self> {
        let (machine, host) = (Netns::of_box(world)?, Netns::alone()?);
        machine.run(&format!(
            "ip link add around type veth peer name eth0 netns {}
             ip address add {MACHINE}/30 dev around
             ip link set around up
             ip route add {OPERATOR}/32 via {METADATA}
             ip route add {INTERNET}/32 via {METADATA}
             ip route add {RESOLVER}/32 via {METADATA}",
            host.path(),
        ))?;
        host.run(&format!(
            "ip link set lo up
             ip address add {METADATA}/30 dev eth0
             ip address add {OPERATOR}/32 dev eth0
             ip address add {INTERNET}/32 dev eth0
             ip address add {RESOLVER}/32 dev eth0
             ip link set eth0 up
             ip route add default via {MACHINE}"
        ))?;
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, PORT);
        Ok(Self {
            _listeners: [machine.tcp_listener(any)?, host.tcp_listener(any)?],
            machine_udp: Mutex::new(machine.udp_socket(any)?),
            host_udp: Mutex::new(host.udp_socket(any)?),
            machine,
            host,
        })
    }
}
