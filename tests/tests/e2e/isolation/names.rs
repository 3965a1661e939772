//! Names: the engine answers containers' questions for them with what it asks elsewhere, which must not
//! be a way out for a container that has none.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::Result;

use super::Guest;
use super::neighbourhood::Neighbourhood;
use crate::netns::Netns;

/// The engine's resolver, as every container has it.
const ENGINE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 11), DNS_PORT);
const DNS_PORT: u16 = 53;
/// What a container would tell somebody outside, as the first label of a name.
const SECRET: &[u8] = b"secret";

/// Resolvers on the machine and outside, which hear questions and answer none.
pub(crate) struct Names {
    machine: UdpSocket,
    outside: UdpSocket,
}

impl Names {
    pub(crate) fn listen(around: &Neighbourhood) -> Result<Self> {
        let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, DNS_PORT);
        Ok(Self { machine: around.machine.udp_socket(any)?, outside: around.host.udp_socket(any)? })
    }

    /// Whether somebody heard a question.
    pub(crate) fn are_told(&self) -> bool {
        is_told(&self.outside) || is_told(&self.machine)
    }

    /// Alice's questions get out; bob's do not.
    pub(super) fn check_guarded(&self, alice: &Guest, bob: &Guest) -> Result<()> {
        ask(&bob.netns)?;
        assert!(!is_told(&self.outside) && !is_told(&self.machine), "bob's question got out");
        ask(&alice.netns)?;
        assert!(is_told(&self.outside), "alice's question did not get out");
        Ok(())
    }

    /// Without the firewall bob's questions reach the machine.
    pub(super) fn check_unguarded(&self, bob: &Guest) -> Result<()> {
        ask(&bob.netns)?;
        assert!(is_told(&self.machine));
        Ok(())
    }
}

/// Asks the engine for the address of `secret.example.com` (RFC 1035).
pub(crate) fn ask(netns: &Netns) -> Result<()> {
    let mut question = b"\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x06".to_vec();
    question.extend_from_slice(SECRET);
    question.extend_from_slice(b"\x07example\x03com\x00\x00\x01\x00\x01");
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    netns.udp_socket(any)?.send_to(&question, ENGINE)?;
    Ok(())
}

/// Whether the question comes here, in the time that a packet takes; others are passed over.
fn is_told(resolver: &UdpSocket) -> bool {
    let mut buffer = [0; 512];
    while let Ok((length, _)) = resolver.recv_from(&mut buffer) {
        if buffer[..length].windows(SECRET.len()).any(|part| part == SECRET) {
            return true;
        }
    }
    false
}
