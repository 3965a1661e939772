//! How much a container sends and receives: a limit for each way, and beyond it packets are dropped, which
//! makes TCP slow down.

use serde_json::{Value, json};

use super::{TABLE, in_map, member, rule};
use crate::runtime::Addresses;

/// What may come at once, at least, in bytes: a few of TCP's largest bursts.
const BURST_BYTES_MIN: u64 = 128 * 1024;
/// Both ways: the map, its chain, and what the container is on the packet.
const WAYS: [(&str, &str, [&str; 2]); 2] =
    [("up", "from_container", ["iifname", "saddr"]), ("down", "to_container", ["oifname", "daddr"])];

/// The maps, for the table. A kernel without limits refuses what follows from them.
pub(super) fn maps() -> impl Iterator<Item = Value> {
    WAYS.iter().map(|(way, ..)| {
        let types = ["ifname", "ipv4_addr"];
        json!({"add": {"map": {"family": "inet", "table": TABLE, "name": way, "type": types, "map": "limit"}}})
    })
}

/// The rules, which come before all others of their chains: established connections are limited, too.
pub(super) fn rules() -> impl Iterator<Item = Value> {
    WAYS.iter().map(|(way, chain, [interface, address])| {
        let key = json!({"concat": [
            {"meta": {"key": interface}}, {"payload": {"protocol": "ip", "field": address}},
        ]});
        rule(chain, &[in_map(&key, way), json!({"drop": null})])
    })
}

/// Limits a container to so many bytes a second each way.
pub(super) fn admit(addresses: &Addresses, bytes_per_sec: u64) -> Vec<Value> {
    let burst = (bytes_per_sec / 2).max(BURST_BYTES_MIN);
    let limit = |name: &str| {
        json!({"add": {"limit": {
            "family": "inet", "table": TABLE, "name": name, "rate": bytes_per_sec, "per": "second",
            "rate_unit": "bytes", "burst": burst, "burst_unit": "bytes", "inv": true,
        }}})
    };
    WAYS.iter()
        .flat_map(|(way, ..)| {
            let name = name(way, addresses);
            [limit(&name), json!({"add": element(way, addresses, &name)})]
        })
        .collect()
}

/// Forgets a container. Deleting what is not there fails as a whole, so it is made to be there.
pub(super) fn dismiss(addresses: &Addresses) -> Vec<Value> {
    let mut commands = admit(addresses, BURST_BYTES_MIN);
    for (way, ..) in &WAYS {
        let name = name(way, addresses);
        commands.push(json!({"delete": element(way, addresses, &name)}));
        commands.push(json!({"delete": {"limit": {"family": "inet", "table": TABLE, "name": name}}}));
    }
    commands
}

fn name(way: &str, addresses: &Addresses) -> String {
    format!("{way}-{}", addresses.bridge)
}

fn element(way: &str, addresses: &Addresses, limit: &str) -> Value {
    let pair = json!([[member(addresses), limit]]);
    json!({"element": {"family": "inet", "table": TABLE, "name": way, "elem": pair}})
}
