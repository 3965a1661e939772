use serde_json::{Value, json};

use super::*;

fn minimal() -> Value {
    json!({
        "repo": "https://example.com/enclaved",
        "relays": ["ws://198.18.0.1:7777"],
        "state_dir": "/data",
        "trust_root": "/run/sim-root.der",
        "parent": "unix:/run/parent.sock",
        "builtin": [{
            "name": "nwc",
            "docker": format!("198.18.0.1:5000/nwc@sha256:{}", "ab".repeat(32)),
            "units": 2,
            "env": {"NWC_FAUCET_MSAT": "5"},
        }],
    })
}

fn load(value: &Value) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("enclaved.json");
    std::fs::write(&path, value.to_string()).unwrap();
    Config::load(Some(&path)).map_err(|e| e.to_string())
}

#[track_caller]
fn refused(change: impl FnOnce(&mut Value), part: &str) {
    let mut value = minimal();
    change(&mut value);
    let error = load(&value).expect_err("must be refused");
    assert!(error.contains(part), "{error}");
}

#[test]
fn minimal_configuration_has_the_blueprints_numbers() {
    let config = load(&minimal()).unwrap();
    assert_eq!((config.capacity.units, config.price.unit_hour_msat.msat()), (100, 5_000));
    let policy = config.policy();
    assert_eq!((policy.period_secs, policy.grace_secs, policy.retention_secs), (3_600, 600, 604_800));
    assert_eq!(config.launch.invoice_secs, 600);
}

#[test]
fn faults_name_their_field() {
    refused(|v| v["relays"] = json!([]), "relays");
    refused(|v| v["relays"] = json!(["http://x"]), "relays");
    refused(|v| v["wallet"] = json!("other"), "wallet");
    refused(|v| v["price"] = json!({"unit_hour_msat": 1, "period_secs": 0}), "price");
    refused(|v| v["network"] = json!({"guest_port": 6_000}), "network.published_ports");
    refused(|v| v["network"] = json!({"containers": "10.0.0.0/27"}), "network.containers");
    refused(|v| v["builtin"][0]["docker"] = json!("nwc:latest"), "builtin.docker");
    refused(|v| v["builtin"][0]["units"] = json!(51), "units must be");
    refused(|v| v["capacity"] = json!({"units": 1}), "capacity.units");
    refused(|v| v["capacity"] = json!({"overcommit_percent": 99}), "capacity.overcommit_percent");
    refused(|v| v["capacity"] = json!({"overcommit_percent": 401}), "capacity.overcommit_percent");
    for url in
        ["example.com", "ftp://example.com", "https://example.com/", "https://a@example.com", "https://x?y"]
    {
        refused(|v| v["http"] = json!({"listen": "0.0.0.0:8080", "url": url}), "http.url");
    }
    for (field, bad) in [("poll_secs", 0), ("settle_secs", 0), ("health_secs", 9)] {
        refused(|v| v["upgrade"] = json!({field: bad}), "upgrade");
    }
    refused(|v| v["parent"] = json!("http://x"), "is not an address");
    refused(|v| v["unknown"] = json!(1), "unknown field `unknown`");
}

#[test]
fn development_is_refused_under_the_root_of_aws() {
    refused(|v| v["trust_root"] = json!("aws"), "trust_root: aws is refused");
    refused(
        |v| {
            v["trust_root"] = json!("aws");
            v["development"] = json!({"addresses": ["10.0.0.0/8"]});
        },
        "development: is refused",
    );
}

#[test]
fn printed_configuration_masks_the_environment() {
    let text = load(&minimal()).unwrap().masked().unwrap();
    assert!(text.contains(r#""NWC_FAUCET_MSAT": "***""#), "{text}");
}

/// The file that docs/configuration.md shows names every setting, with its default.
#[test]
fn documented_configuration_is_the_default_one() {
    let page = include_str!("../../../docs/configuration.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let shown: Value = serde_json::from_str(rest.split("```").next().unwrap()).unwrap();
    let mut least = shown.clone();
    for optional in [
        "name",
        "nsm",
        "docker_socket",
        "capacity",
        "price",
        "life",
        "launch",
        "network",
        "guest",
        "rate",
        "upgrade",
        "messages",
        "wallet",
    ] {
        assert!(least.as_object_mut().unwrap().remove(optional).is_some(), "{optional} is not shown");
    }
    assert_eq!(serde_json::to_value(load(&least).unwrap()).unwrap(), shown);
}
