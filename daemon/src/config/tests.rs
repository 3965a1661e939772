use std::path::Path;

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
    refused(|v| v["price"] = json!({"unit_hour_msat": 0, "period_secs": 3_600}), "price");
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

/// A key of which it matters only that it is one.
fn key(seed: u8) -> String {
    nostr::key::Keys::parse(&hex::encode([seed; 32])).unwrap().public_key().to_hex()
}

fn sealed() -> Value {
    let mut value = minimal();
    value["keycrux"] = json!({
        "repo": "https://example.com/keycrux",
        "maintainers": [key(1)],
        "launchers": [key(2), key(3), key(4)],
        "writes": 2,
    });
    value["backup"] = json!({"address": "unix:/run/backup.sock"});
    value["release"] = json!({"maintainers": [key(5), key(6)], "threshold": 2, "min_delay_secs": 60});
    value
}

fn for_aws(mut value: Value) -> Value {
    value["trust_root"] = json!("aws");
    value["builtin"][0]["env"] = json!({"NWC_NETWORK": "bitcoin"});
    value
}

#[test]
fn sealed_configuration_has_its_defaults() {
    let config = load(&sealed()).unwrap();
    let (keycrux, backup) = (config.keycrux.clone().unwrap(), config.backup.clone().unwrap());
    assert_eq!((keycrux.lease_secs, keycrux.margin_secs, keycrux.wait_secs), (60, 6, 600));
    assert_eq!((keycrux.threshold, keycrux.split, keycrux.size().unwrap().writes()), (1, None, 2));
    assert_eq!((backup.interval_secs, backup.bytes_max, backup.stall_secs), (300, 64 << 30, 60));
    let policy = config.release.clone().unwrap().policy(&config.repo, protocol::nec::Env::Dev).unwrap();
    assert_eq!((policy.signers_wanted(), policy.min_delay_secs), (2, 60));
    // Sealed state has a folder of its own, which is replaced as a whole.
    assert_eq!(config.data_dir(), Path::new("/data/data"));
    assert_eq!(load(&minimal()).unwrap().data_dir(), Path::new("/data"));
}

#[test]
fn faults_of_sealing_name_their_field() {
    let check = |change: &dyn Fn(&mut Value), part: &str| {
        let mut value = sealed();
        change(&mut value);
        let error = load(&value).expect_err(part);
        assert!(error.contains(part), "{error}");
    };
    let remove = |name: &'static str| {
        move |v: &mut Value| {
            v.as_object_mut().unwrap().remove(name);
        }
    };
    check(&remove("keycrux"), "keycrux: is missing");
    check(&remove("backup"), "backup: is missing");
    check(
        &|v| {
            remove("keycrux")(v);
            remove("backup")(v);
        },
        "release: means nothing",
    );
    check(&|v| v["keycrux"]["repo"] = json!(""), "keycrux.repo");
    check(&|v| v["keycrux"]["env"] = json!("debug"), "keycrux.env");
    check(&|v| v["keycrux"]["maintainers"] = json!([]), "keycrux.maintainers");
    check(&|v| v["keycrux"]["threshold"] = json!(0), "keycrux.threshold");
    check(&|v| v["keycrux"]["threshold"] = json!(2), "keycrux.threshold");
    check(&|v| v["keycrux"]["min_version"] = json!("1"), "keycrux.min_version");
    check(&|v| v["keycrux"]["launchers"] = json!([key(2), key(3)]), "keycrux.writes");
    check(&|v| v["keycrux"]["writes"] = json!(1), "keycrux.writes");
    check(&|v| v["keycrux"]["writes"] = json!(4), "keycrux.writes");
    let many: Vec<_> = (1..=16).map(key).collect();
    check(&|v| v["keycrux"]["launchers"] = json!(many), "keycrux.launchers");
    check(&|v| v["keycrux"]["relays"] = json!(["http://x"]), "keycrux.relays");
    check(&|v| v["keycrux"]["lease_secs"] = json!(2), "keycrux.lease_secs");
    check(&|v| v["keycrux"]["lease_secs"] = json!(3_601), "keycrux.lease_secs");
    check(&|v| v["keycrux"]["margin_secs"] = json!(0), "keycrux.margin_secs");
    check(&|v| v["keycrux"]["margin_secs"] = json!(61), "keycrux.margin_secs");
    check(&|v| v["keycrux"]["wait_secs"] = json!(66), "keycrux.wait_secs");
    check(&|v| v["keycrux"]["split"] = json!(1), "keycrux.split");
    check(&|v| v["keycrux"]["split"] = json!(3), "keycrux.split");
    check(&|v| v["keycrux"]["launcher"] = json!([]), "unknown field `launcher`");
    check(&|v| v["release"]["maintainers"] = json!([]), "release.maintainers");
    check(&|v| v["release"]["threshold"] = json!(3), "release: policy.threshold");
    check(&|v| v["release"]["min_version"] = json!("x"), "release.min_version");
    check(&|v| v["release"]["min_delay_secs"] = json!(1_u64 << 40), "release: policy.min_delay_secs");
    check(&|v| v["release"]["revoked"] = json!(["x"]), "MAJOR.MINOR.PATCH");
    check(&|v| v["release"]["founders"] = json!({"maintainers": []}), "release.founders");
    check(&|v| v["release"]["delay"] = json!(1), "unknown field `delay`");
    check(&|v| v["backup"]["interval_secs"] = json!(0), "backup.interval_secs");
    check(&|v| v["backup"]["bytes_max"] = json!(0), "backup.bytes_max");
    // A hundred units of ten megabytes.
    check(&|v| v["backup"]["bytes_max"] = json!(999_999_999), "backup.bytes_max: the volumes of 100 units");
    check(&|v| v["backup"]["stall_secs"] = json!(0), "backup.stall_secs");
    check(&|v| v["backup"]["address"] = json!("http://x"), "is not an address");
    check(&|v| v["backup"]["dir"] = json!("/x"), "unknown field `dir`");
}

#[test]
fn root_of_aws_wants_sealed_state_and_no_money_from_nowhere() {
    load(&for_aws(sealed())).unwrap();
    let mut alone = for_aws(sealed());
    alone["keycrux"]["launchers"] = json!([key(2)]);
    alone["keycrux"]["writes"] = json!(1);
    assert!(load(&alone).unwrap_err().contains("keycrux.launchers"));
    alone["trust_root"] = json!("/run/sim-root.der");
    load(&alone).unwrap();
    for (name, value) in [("NWC_FAUCET_MSAT", "5"), ("NWC_FAUCET_PUBKEY", "x"), ("NWC_BACKEND", "internal")] {
        let mut rich = for_aws(sealed());
        rich["builtin"][0]["env"][name] = json!(value);
        assert!(load(&rich).unwrap_err().contains("builtin.env"), "{name}");
    }
    let mut exempt = for_aws(sealed());
    exempt["development"] = json!({});
    assert!(load(&exempt).unwrap_err().contains("development: is refused"));
    assert!(load(&for_aws(minimal())).unwrap_err().contains("trust_root: aws is refused"));
}

#[test]
fn founders_name_the_record_and_not_its_policy() {
    let mut value = sealed();
    value["release"]["founders"] = json!({"maintainers": [key(7)]});
    let config = load(&value).unwrap();
    let release = config.release.unwrap();
    let env = protocol::nec::Env::Dev;
    let (policy, founding) = (release.policy("r", env).unwrap(), release.founding("r", env).unwrap());
    assert_eq!((policy.release_pubkeys.len(), policy.threshold), (2, Some(2)));
    assert_eq!((founding.release_pubkeys.len(), founding.threshold), (1, None));
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

/// What is refused under AWS's root is refused however that root is named: a file may hold it.
#[test]
fn root_of_aws_in_a_file_is_the_root_of_aws() {
    let config = load(&sealed()).unwrap();
    assert!(config.check_root(false).is_ok());
    let refused = config.check_root(true).unwrap_err().to_string();
    assert!(refused.contains("builtin.env"), "{refused}");
    let mut alone = sealed();
    alone["keycrux"]["launchers"] = json!([key(2)]);
    alone["keycrux"]["writes"] = json!(1);
    alone["builtin"][0]["env"] = json!({});
    let refused = load(&alone).unwrap().check_root(true).unwrap_err().to_string();
    assert!(refused.contains("keycrux"), "{refused}");
}

#[test]
fn http_in_clear_is_refused_under_the_root_of_aws() {
    let check = |http: Value| {
        let mut value = for_aws(sealed());
        value["http"] = http;
        load(&value).map(drop)
    };
    check(json!({"listen": "127.0.0.1:8088", "url": "https://x.example"})).unwrap();
    for (http, field) in [
        (json!({"listen": "0.0.0.0:8088", "url": "https://x.example"}), "http.listen"),
        (json!({"listen": "127.0.0.1:8088", "url": "http://x.example"}), "http.url"),
        (json!({"listen": "127.0.0.1:8088"}), "http.url"),
    ] {
        let error = check(http).expect_err(field);
        assert!(error.contains(field), "{error}");
    }
}

#[test]
fn printed_configuration_masks_the_environment() {
    let shown = serde_json::to_value(load(&minimal()).unwrap().masked()).unwrap();
    assert_eq!(shown["builtin"][0]["env"], json!({"NWC_FAUCET_MSAT": "***"}));
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
