//! What a container's own processes may do with sockets.

use std::net::Ipv4Addr;

use anyhow::Result;
use devnet::world::World;

use super::Guest;
use crate::netns::exec;

/// A container has no raw sockets, with which it could forge packets, and cannot change its network.
pub(super) async fn check(world: &World, alice: &Guest, bob: &Guest) -> Result<()> {
    let arping = format!("arping -c 1 -w 1 -I eth0 {}", alice.gateway);
    let ping = format!("ping -c 1 -W 1 {}", bob.address);
    for script in [&arping, &ping] {
        let ran = exec(world, &alice.pubkey, script).await?;
        assert_ne!(ran.code, 0, "{script}: {ran:?}");
        assert!(ran.text.contains("not permitted") || ran.text.contains("denied"), "{script}: {ran:?}");
    }
    for script in ["ip address add 10.232.0.99/29 dev eth0", "ip route add 10.99.0.0/16 dev eth0"] {
        let ran = exec(world, &alice.pubkey, script).await?;
        assert!(ran.code != 0 && ran.text.contains("not permitted"), "{script}: {ran:?}");
    }
    // With the rights of this machine's root the same works in the same place.
    alice.netns.run(&format!("busybox {arping}"))?;
    // And the programs work where they may: the shell reaches its own web server by its own address.
    let page_at = async |address: Ipv4Addr| {
        let request = r"GET / HTTP/1.0\r\n\r\n";
        exec(world, &alice.pubkey, &format!("printf '{request}' | nc -w 1 {address} 8080")).await
    };
    let own = page_at(alice.address).await?;
    assert!(own.code == 0 && own.text.ends_with("\r\nalice"), "{own:?}");
    for address in [bob.address, bob.gateway, alice.gateway] {
        let other = page_at(address).await?;
        assert!(other.code != 0 && !other.text.contains("HTTP"), "{address}: {other:?}");
    }
    Ok(())
}
