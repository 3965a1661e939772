//! No container reaches another, this machine, its operator's networks, or the cloud's metadata: tried
//! with packets, from inside.
//!
//! Each address that must be out of reach is one at which somebody listens: the same probe arrives from
//! elsewhere, or from the container itself once the firewall's table is gone.

mod guest_door;
pub(crate) mod names;
pub(crate) mod neighbourhood;
mod probes;
mod rights;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Mutex;

use anyhow::Result;
use devnet::world::World;
use nostr::key::PublicKey;
use serde_json::json;

use crate::in_world::{calm, in_world};
use crate::netns::Netns;
use crate::stranger::{Stranger, get};
use names::Names;
use neighbourhood::Neighbourhood;
use probes::Places;

/// A container under test: alice may reach the internet, bob nothing at all.
struct Guest {
    owner: Stranger,
    pubkey: PublicKey,
    netns: Netns,
    address: Ipv4Addr,
    gateway: Ipv4Addr,
    /// Somebody in it who listens for datagrams.
    udp: Mutex<UdpSocket>,
    published_port: u16,
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_reach_only_what_they_may() -> Result<()> {
    in_world(calm()?, async |world| {
        let alice = Guest::launch(world, "alice", "all").await?;
        let bob = Guest::launch(world, "bob", "none").await?;
        let around = Neighbourhood::build(world)?;
        // The machine does not look closely at where packets come from; the firewall must.
        around.machine.run("for one in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $one; done")?;
        let places = Places::of(world, &around, &alice, &bob);
        places.check_guarded()?;
        let names = Names::listen(&around)?;
        names.check_guarded(&alice, &bob)?;
        rights::check(world, &alice, &bob).await?;
        guest_door::check(world, &alice, &bob).await?;
        // Both still serve, and the world outside still reaches both.
        for (guest, page) in [(&alice, "alice"), (&bob, "bob")] {
            let url = guest.owner.url(&guest.pubkey).await?;
            assert_eq!(get(&url).await?, (200, page.to_owned()));
        }
        // Containers outlive a daemon that crashes. The firewall stands, and is built anew with them in it.
        world.kill_daemon().await?;
        world.start_daemon().await?;
        places.check_guarded()?;
        around.machine.run("nft delete table inet enclaved")?;
        names.check_unguarded(&bob)?;
        places.check_unguarded()
    })
    .await
}

impl Guest {
    async fn launch(world: &World, name: &str, egress: &str) -> Result<Self> {
        let image = world.push(&World::busybox(World::SERVE, name), name).await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.run(&image, json!({"ports": [8080], "egress": egress})).await?;
        get(&owner.url(&pubkey).await?).await?;
        let published_port = owner.status(&pubkey).await?.info.endpoints[0].port;
        let netns = Netns::of_container(world, &pubkey).await?;
        // `… via GATEWAY dev eth0 src ADDRESS …`
        let route = netns.run("ip -4 route get 11.0.0.0")?;
        let word_after = |word: &str| -> Ipv4Addr {
            let mut words = route.split_whitespace().skip_while(|one| *one != word);
            words.nth(1).unwrap_or_else(|| panic!("{route}")).parse().unwrap()
        };
        let (gateway, address) = (word_after("via"), word_after("src"));
        let udp = netns.udp_socket(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, neighbourhood::PORT))?;
        Ok(Self { owner, pubkey, netns, address, gateway, udp: Mutex::new(udp), published_port })
    }
}
