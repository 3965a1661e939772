//! Addresses, probes, and who may reach what.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Mutex;

use anyhow::{Context, Result};
use devnet::world::World;

use super::Guest;
use super::neighbourhood::{INTERNET, MACHINE, METADATA, Neighbourhood, OPERATOR, PORT};
use crate::netns::Netns;

const GUEST_PORT: u16 = 2_080;
const HEALTH_PORT: u16 = 9_100;
const RELAY_PORT: u16 = 7_777;
const WEB_PORT: u16 = 8_080;

/// A packet of some kind. Who listens for datagrams hears one sender at a time.
#[derive(Clone, Copy)]
enum Probe<'p> {
    Tcp(u16),
    Udp(&'p Mutex<UdpSocket>),
    Ping,
}

/// Somewhere to go.
struct Place<'p> {
    name: &'static str,
    address: Ipv4Addr,
    probe: Probe<'p>,
    /// Somebody who reaches it with the same probe while the firewall stands.
    twin: &'p Netns,
    /// Whether alice and bob do.
    expected: (bool, bool),
    /// Whether only our table keeps them from it, and nothing of the engine's own.
    ours: bool,
}

impl Place<'_> {
    fn reached_from(&self, netns: &Netns) -> Result<bool> {
        match self.probe {
            Probe::Tcp(port) => netns.connects(SocketAddrV4::new(self.address, port)),
            Probe::Udp(listener) => {
                netns.datagram_arrives(SocketAddrV4::new(self.address, PORT), &listener.lock().unwrap())
            }
            Probe::Ping => netns.pings(self.address),
        }
        .with_context(|| self.name)
    }
}

/// Everything that is tried.
pub(super) struct Places<'p> {
    places: Vec<Place<'p>>,
    around: &'p Neighbourhood,
    alice: &'p Guest,
    bob: &'p Guest,
}

impl<'p> Places<'p> {
    pub(super) fn of(world: &World, around: &'p Neighbourhood, alice: &'p Guest, bob: &'p Guest) -> Self {
        let mut places = neighbours(around, alice, bob);
        places.extend(machine(world, around, alice, bob));
        places.extend(outside(world, around));
        Self { places, around, alice, bob }
    }

    /// While the firewall stands, everybody reaches what they may and nothing else.
    pub(super) fn check_guarded(&self) -> Result<()> {
        self.check(|place| {
            let reached = (place.reached_from(&self.alice.netns)?, place.reached_from(&self.bob.netns)?);
            assert_eq!(reached, place.expected, "alice, bob → {}", place.name);
            assert!(place.reached_from(place.twin)?, "nobody reaches {}", place.name);
            Ok(())
        })?;
        assert!(!self.forged_datagram_arrives()?);
        // The guest API and the daemon's health are not for who comes over the machine's wires.
        let machine = |port| SocketAddrV4::new(MACHINE, port);
        assert!(!self.around.host.connects(machine(GUEST_PORT))?);
        assert!(self.around.host.connects(machine(PORT))?);
        assert!(!self.around.host.connects(machine(HEALTH_PORT))?);
        let health = SocketAddrV4::new(Ipv4Addr::LOCALHOST, HEALTH_PORT);
        assert!(self.around.machine.connects(health)?);
        Ok(())
    }

    /// Without the firewall everybody reaches everything that it kept them from: it was no accident.
    pub(super) fn check_unguarded(&self) -> Result<()> {
        self.check(|place| {
            if place.ours {
                assert!(place.reached_from(&self.alice.netns)?, "alice → {}", place.name);
                assert!(place.reached_from(&self.bob.netns)?, "bob → {}", place.name);
            }
            Ok(())
        })?;
        assert!(self.forged_datagram_arrives()?);
        assert!(self.around.host.connects(SocketAddrV4::new(MACHINE, GUEST_PORT))?);
        Ok(())
    }

    /// Whether bob, who may not reach the internet, does so with the address of alice, who may. He
    /// needs more rights than a container has to call himself that.
    fn forged_datagram_arrives(&self) -> Result<bool> {
        let sender = SocketAddrV4::new(self.alice.address, 0);
        let internet = SocketAddrV4::new(INTERNET, PORT);
        let listener = self.around.host_udp.lock().unwrap();
        let bob = &self.bob.netns;
        bob.run(&format!("ip address add {}/32 dev lo", self.alice.address))?;
        let arrives = bob.datagram_arrives_from(sender, internet, &listener);
        bob.run(&format!("ip address delete {}/32 dev lo", self.alice.address))?;
        arrives
    }

    /// All places at the same time: what does not arrive takes its time.
    fn check(&self, one: impl Fn(&Place<'_>) -> Result<()> + Sync) -> Result<()> {
        std::thread::scope(|scope| {
            let tried: Vec<_> = self.places.iter().map(|place| scope.spawn(|| one(place))).collect();
            // All of them end before the first failure is told.
            let ended: Vec<_> = tried.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            ended.into_iter().try_for_each(|ended| match ended {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }
}

/// Each other: by their own addresses, and by the port at which the machine publishes theirs.
fn neighbours<'p>(around: &'p Neighbourhood, alice: &'p Guest, bob: &'p Guest) -> Vec<Place<'p>> {
    let mut places = Vec::new();
    for (whose, names, expected) in [
        (alice, ["alice's web server", "alice's UDP socket", "alice's kernel"], (true, false)),
        (bob, ["bob's web server", "bob's UDP socket", "bob's kernel"], (false, true)),
    ] {
        let probes = [Probe::Tcp(WEB_PORT), Probe::Udp(&whose.udp), Probe::Ping];
        places.extend(names.into_iter().zip(probes).map(|(name, probe)| Place {
            name,
            address: whose.address,
            probe,
            twin: &around.machine,
            expected,
            ours: false,
        }));
    }
    for (whose, name) in [(alice, "alice's published port"), (bob, "bob's published port")] {
        places.push(Place {
            name,
            address: MACHINE,
            probe: Probe::Tcp(whose.published_port),
            twin: &around.host,
            expected: (false, false),
            ours: false,
        });
    }
    places
}

/// The machine: nothing of it but the guest API at one's own gateway.
fn machine<'p>(world: &World, around: &'p Neighbourhood, alice: &'p Guest, bob: &'p Guest) -> Vec<Place<'p>> {
    let place = |name, address, probe, expected| Place {
        name,
        address,
        probe,
        twin: &around.machine,
        expected,
        ours: true,
    };
    let (nobody, guest, udp) = ((false, false), Probe::Tcp(GUEST_PORT), Probe::Udp(&around.machine_udp));
    let wire = world.enclave().box_address();
    vec![
        place("the guest API at alice's gateway", alice.gateway, guest, (true, false)),
        place("the guest API at bob's gateway", bob.gateway, guest, (false, true)),
        place("the guest API at the machine's address", wire, guest, nobody),
        place("a TCP port at alice's gateway", alice.gateway, Probe::Tcp(PORT), nobody),
        place("a UDP port at alice's gateway", alice.gateway, udp, nobody),
        place("the machine's kernel at alice's gateway", alice.gateway, Probe::Ping, nobody),
        place("a TCP port at bob's gateway", bob.gateway, Probe::Tcp(PORT), nobody),
        place("a TCP port at the machine's address", wire, Probe::Tcp(PORT), nobody),
        place("a UDP port at the machine's address", wire, udp, nobody),
        place("the machine's kernel at its address", wire, Probe::Ping, nobody),
    ]
}

/// The world outside: for alice, who asked for it, the public part of it.
fn outside<'p>(world: &World, around: &'p Neighbourhood) -> Vec<Place<'p>> {
    let mut places = Vec::new();
    for (address, names, expected) in [
        (METADATA, ["metadata, TCP", "metadata, UDP", "metadata, ping"], (false, false)),
        (OPERATOR, ["the operator, TCP", "the operator, UDP", "the operator, ping"], (false, false)),
        (INTERNET, ["the internet, TCP", "the internet, UDP", "the internet, ping"], (true, false)),
    ] {
        let probes = [Probe::Tcp(PORT), Probe::Udp(&around.host_udp), Probe::Ping];
        let twin = &around.machine;
        places.extend(names.into_iter().zip(probes).map(|(name, probe)| Place {
            name,
            address,
            probe,
            twin,
            expected,
            ours: true,
        }));
    }
    // A private address that the configuration of this development machine lets through.
    places.push(Place {
        name: "the relay",
        address: world.enclave().host_address(),
        probe: Probe::Tcp(RELAY_PORT),
        twin: &around.machine,
        expected: (true, false),
        ours: true,
    });
    places
}
