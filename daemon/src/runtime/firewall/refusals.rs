//! What was refused to each container, counted in packets, so that who tries is known by name.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{TABLE, chain, rule};
use crate::runtime::Addresses;

const MAP: &str = "refusals";
const CHAIN: &str = "refuse";
const PREFIX: &str = "refused-";

/// The map and the chain, for the table. A container is known by its bridge: its packets may lie about their
/// source.
pub(super) fn parts() -> [Value; 4] {
    let bridge = json!({"meta": {"key": "iifname"}});
    let map = json!({"family": "inet", "table": TABLE, "name": MAP, "type": "ifname", "map": "counter"});
    // A bridge without a counter ends the first rule, and nothing else.
    let count = json!({"counter": {"map": {"key": bridge, "data": format!("@{MAP}")}}});
    [json!({"add": {"map": map}}), chain(CHAIN), rule(CHAIN, &[count]), rule(CHAIN, &[json!({"drop": null})])]
}

/// What a rule does with a packet that is refused.
pub(super) fn refuse() -> Value {
    json!({"goto": {"target": CHAIN}})
}

/// Counts for a container.
pub(super) fn admit(addresses: &Addresses) -> [Value; 2] {
    [json!({"add": {"counter": counter(addresses)}}), json!({"add": element(addresses)})]
}

/// Forgets a container. Deleting what is not there fails as a whole, so it is made to be there.
pub(super) fn dismiss(addresses: &Addresses) -> Vec<Value> {
    let mut commands = admit(addresses).to_vec();
    commands.push(json!({"delete": element(addresses)}));
    commands.push(json!({"delete": {"counter": counter(addresses)}}));
    commands
}

fn counter(addresses: &Addresses) -> Value {
    json!({"family": "inet", "table": TABLE, "name": name(addresses)})
}

fn element(addresses: &Addresses) -> Value {
    let pair = json!([[addresses.bridge, name(addresses)]]);
    json!({"element": {"family": "inet", "table": TABLE, "name": MAP, "elem": pair}})
}

fn name(addresses: &Addresses) -> String {
    format!("{PREFIX}{}", addresses.bridge)
}

/// The command that lists all counters.
pub(super) fn list() -> Value {
    json!({"list": {"counters": {"family": "inet", "table": TABLE}}})
}

/// Packets by the names of bridges, from what that command prints.
pub(super) fn read(text: &str) -> Result<HashMap<String, u64>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Listing {
        nftables: Vec<Object>,
    }
    #[derive(Deserialize)]
    struct Object {
        counter: Option<Counter>,
    }
    #[derive(Deserialize)]
    struct Counter {
        name: String,
        packets: u64,
    }
    let listing: Listing = serde_json::from_str(text)?;
    let counters = listing.nftables.into_iter().filter_map(|object| object.counter);
    let of_bridges =
        counters.filter_map(|one| Some((one.name.strip_prefix(PREFIX)?.to_owned(), one.packets)));
    Ok(of_bridges.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_by_bridge() {
        let text = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"counter": {"family": "inet", "name": "refused-br7", "table": "enclaved", "packets": 2, "bytes": 120}},
            {"counter": {"family": "inet", "name": "another", "table": "enclaved", "packets": 9, "bytes": 1}}]}"#;
        assert_eq!(read(text).unwrap(), HashMap::from([("br7".to_owned(), 2)]));
        assert!(read("{}").is_err());
    }
}
