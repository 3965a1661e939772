//! What containers may reach, in nftables: nothing of this machine but the guest API on their own
//! gateway, nothing of each other, nothing private, and the internet only if their launch said so.
//!
//! The rules know a container by its bridge *and* its address, so that a forged source passes nowhere.
//! They stand beside the engine's own and can only take away. The table is built anew, in one
//! transaction, when the daemon starts.

mod rates;
mod refusals;

use std::collections::HashMap;
use std::ffi::OsStr;

use ipnet::IpNet;
use nftables::helper::{NftablesError, apply_ruleset_raw_async};
use protocol::manifest::Egress;
use serde_json::{Value, json};
use thiserror::Error;

use super::Addresses;
use super::network::BRIDGE_PREFIX;

const TABLE: &str = "enclaved";
/// Before the engine's own rules.
const PRIORITY: i32 = -10;

/// Destinations that are nobody's business: this machine's and its operator's networks, link-local
/// addresses with the cloud's metadata, and everything that is not the public internet.
const FORBIDDEN: [&str; 14] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// The firewall cannot be used.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// It cannot be changed or asked.
    #[error("the firewall cannot be changed: {0}")]
    Nftables(#[source] NftablesError),
    /// What it answered is not understood.
    #[error("the firewall's counters are not understood: {0}")]
    Counters(#[source] serde_json::Error),
}

/// The containers' firewall.
#[derive(Debug)]
pub struct Firewall {
    limits_rates: bool,
}

impl Firewall {
    /// Builds the table, with no container in it. `exceptions` are let through although they are not
    /// public.
    ///
    /// # Errors
    /// [`FirewallError`].
    pub async fn set_up(guest_port: u16, exceptions: &[IpNet]) -> Result<Self, FirewallError> {
        let limited = apply(&ruleset(guest_port, exceptions, true)).await;
        let limits_rates = match limited {
            Ok(()) => true,
            Err(e) => {
                tracing::warn!("containers' network rates are not limited: {e}");
                apply(&ruleset(guest_port, exceptions, false)).await?;
                false
            }
        };
        Ok(Self { limits_rates })
    }

    /// True if this kernel limits how much a container sends and receives.
    #[must_use]
    pub const fn limits_rates(&self) -> bool {
        self.limits_rates
    }

    /// Lets a container reach its guest API, and the internet if `egress` says so, at so many bytes a
    /// second each way, if there is a limit.
    ///
    /// # Errors
    /// [`FirewallError`].
    pub async fn admit(
        &self,
        addresses: &Addresses,
        egress: Egress,
        bytes_per_sec: Option<u64>,
    ) -> Result<(), FirewallError> {
        let mut commands = vec![
            json!({"add": element("guests", &guest(addresses))}),
            json!({"add": element("members", &member(addresses))}),
        ];
        commands.extend(refusals::admit(addresses));
        if let Some(bytes_per_sec) = bytes_per_sec.filter(|_| self.limits_rates) {
            commands.extend(rates::admit(addresses, bytes_per_sec));
        }
        match egress {
            Egress::None => {}
            Egress::All => commands.push(json!({"add": element("egress", &member(addresses))})),
        }
        apply(&commands).await
    }

    /// Forgets a container.
    ///
    /// # Errors
    /// [`FirewallError`].
    pub async fn dismiss(&self, addresses: &Addresses) -> Result<(), FirewallError> {
        let all = [
            element("guests", &guest(addresses)),
            element("members", &member(addresses)),
            element("egress", &member(addresses)),
        ];
        // Deleting what is not there fails as a whole; adding first makes it be there.
        let mut commands: Vec<_> = all.iter().map(|element| json!({ "add": element })).collect();
        commands.extend(all.iter().map(|element| json!({ "delete": element })));
        commands.extend(refusals::dismiss(addresses));
        if self.limits_rates {
            commands.extend(rates::dismiss(addresses));
        }
        apply(&commands).await
    }

    /// How many packets of each container were refused since it was admitted, by the name of its bridge.
    ///
    /// # Errors
    /// [`FirewallError`].
    pub async fn refused(&self) -> Result<HashMap<String, u64>, FirewallError> {
        refusals::read(&run(&[refusals::list()]).await?).map_err(FirewallError::Counters)
    }
}

fn guest(addresses: &Addresses) -> Value {
    json!({"concat": [addresses.bridge, addresses.container.to_string(), addresses.gateway.to_string()]})
}

fn member(addresses: &Addresses) -> Value {
    json!({"concat": [addresses.bridge, addresses.container.to_string()]})
}

fn element(set: &str, element: &Value) -> Value {
    json!({"element": {"family": "inet", "table": TABLE, "name": set, "elem": [element]}})
}

fn ruleset(guest_port: u16, exceptions: &[IpNet], limits_rates: bool) -> Vec<Value> {
    let mut commands = vec![
        json!({"add": {"table": {"family": "inet", "name": TABLE}}}),
        json!({"delete": {"table": {"family": "inet", "name": TABLE}}}),
        json!({"add": {"table": {"family": "inet", "name": TABLE}}}),
        set("guests", &json!(["ifname", "ipv4_addr", "ipv4_addr"]), &[]),
        set("members", &json!(["ifname", "ipv4_addr"]), &[]),
        set("egress", &json!(["ifname", "ipv4_addr"]), &[]),
        set("forbidden", &json!("ipv4_addr"), &FORBIDDEN.map(|net| prefix(net.parse().ok()))),
        set(
            "exceptions",
            &json!("ipv4_addr"),
            &exceptions.iter().map(|net| prefix(Some(*net))).collect::<Vec<_>>(),
        ),
        base_chain("input"),
        base_chain("forward"),
        chain("to_machine"),
        chain("from_container"),
        chain("to_container"),
    ];
    let any_bridge = format!("{BRIDGE_PREFIX}*");
    let from_bridge = || is("meta", "iifname", "==", &json!(any_bridge));
    let to_bridge = || is("meta", "oifname", "==", &json!(any_bridge));
    let established = || {
        json!({"match": {
            "op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]
        }})
    };
    let here = json!({"concat": [
        {"meta": {"key": "iifname"}}, field("ip", "saddr"), field("ip", "daddr"),
    ]});
    let source = json!({"concat": [{"meta": {"key": "iifname"}}, field("ip", "saddr")]});
    let port = |op: &str| json!({"match": {"op": op, "left": field("tcp", "dport"), "right": guest_port}});
    let accept = || json!({"accept": null});
    let drop_it = || json!({"drop": null});
    let refuse = refusals::refuse;
    let rules: [(&str, Vec<Value>); 16] = [
        ("input", vec![from_bridge(), json!({"jump": {"target": "to_machine"}})]),
        // The guest API is for containers: not for who comes from outside, nor for other interfaces.
        (
            "input",
            vec![
                is("meta", "iifname", "!=", &json!("lo")),
                is("meta", "iifname", "!=", &json!(any_bridge)),
                port("=="),
                drop_it(),
            ],
        ),
        ("to_machine", vec![established(), accept()]),
        ("to_machine", vec![in_set(&here, "guests"), port("=="), accept()]),
        ("to_machine", vec![refuse()]),
        ("forward", vec![from_bridge(), json!({"jump": {"target": "from_container"}})]),
        ("forward", vec![to_bridge(), json!({"jump": {"target": "to_container"}})]),
        // Not counted: every kernel speaks some IPv6 by itself.
        ("from_container", vec![is("meta", "nfproto", "!=", &json!("ipv4")), drop_it()]),
        ("from_container", vec![not_in_set(&source, "members"), refuse()]),
        ("from_container", vec![to_bridge(), refuse()]),
        ("from_container", vec![established(), accept()]),
        ("from_container", vec![not_in_set(&source, "egress"), refuse()]),
        ("from_container", vec![in_set(&field("ip", "daddr"), "exceptions"), accept()]),
        ("from_container", vec![in_set(&field("ip", "daddr"), "forbidden"), refuse()]),
        ("to_container", vec![established(), accept()]),
        // What reaches a container from outside came through a published port.
        (
            "to_container",
            vec![
                json!({"match": {
                    "op": "in", "left": {"ct": {"key": "status"}}, "right": "dnat"
                }}),
                accept(),
            ],
        ),
    ];
    commands.extend(refusals::parts());
    if limits_rates {
        commands.extend(rates::maps());
        commands.extend(rates::rules());
    }
    commands.extend(rules.map(|(chain, expressions)| rule(chain, &expressions)));
    commands.push(rule("to_container", &[drop_it()]));
    commands
}

fn set(name: &str, kind: &Value, elements: &[Value]) -> Value {
    let mut set = json!({"family": "inet", "table": TABLE, "name": name, "type": kind});
    if kind == "ipv4_addr" {
        set["flags"] = json!(["interval"]);
    }
    if !elements.is_empty() {
        set["elem"] = json!(elements);
    }
    json!({"add": {"set": set}})
}

/// IPv6 is forbidden altogether, so an IPv6 exception has no meaning here and becomes an address that
/// is nobody's.
fn prefix(net: Option<IpNet>) -> Value {
    match net {
        Some(IpNet::V4(net)) => {
            json!({"prefix": {"addr": net.network().to_string(), "len": net.prefix_len()}})
        }
        Some(IpNet::V6(_)) | None => json!({"prefix": {"addr": "0.0.0.0", "len": 32}}),
    }
}

fn base_chain(name: &str) -> Value {
    json!({"add": {"chain": {
        "family": "inet", "table": TABLE, "name": name, "type": "filter", "hook": name, "prio": PRIORITY,
        "policy": "accept",
    }}})
}

fn chain(name: &str) -> Value {
    json!({"add": {"chain": {"family": "inet", "table": TABLE, "name": name}}})
}

fn rule(chain: &str, expressions: &[Value]) -> Value {
    json!({"add": {"rule": {"family": "inet", "table": TABLE, "chain": chain, "expr": expressions}}})
}

fn is(kind: &str, key: &str, op: &str, right: &Value) -> Value {
    let left = json!({ kind: {"key": key} });
    json!({"match": {"op": op, "left": left, "right": right}})
}

fn field(protocol: &str, field: &str) -> Value {
    json!({"payload": {"protocol": protocol, "field": field}})
}

fn in_set(left: &Value, set: &str) -> Value {
    json!({"match": {"op": "==", "left": left, "right": format!("@{set}")}})
}

/// The limit that a map names for this key is exceeded.
fn in_map(key: &Value, map: &str) -> Value {
    json!({"limit": {"map": {"key": key, "data": format!("@{map}")}}})
}

fn not_in_set(left: &Value, set: &str) -> Value {
    json!({"match": {"op": "!=", "left": left, "right": format!("@{set}")}})
}

async fn apply(commands: &[Value]) -> Result<(), FirewallError> {
    run(commands).await.map(drop)
}

/// What was printed.
async fn run(commands: &[Value]) -> Result<String, FirewallError> {
    let text = json!({"nftables": commands}).to_string();
    let none: [&OsStr; 0] = [];
    apply_ruleset_raw_async(&text, None::<&OsStr>, none).await.map_err(FirewallError::Nftables)
}
