use serde_json::{Value, json};

use super::*;

const KEYS: [&str; 3] = [
    "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
    "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
    "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
];

fn smallest() -> Value {
    json!({
        "repo": "https://example.com/keycrux", "relays": ["wss://relay.example.com"],
        "parent": "vsock:3:2080", "maintainers": [KEYS[0]],
        "group": {"members": KEYS, "writes": 2},
    })
}

fn read(config: &Value) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keycrux.json");
    std::fs::write(&path, config.to_string()).unwrap();
    Config::load(Some(&path)).map_err(|e| e.to_string())
}

#[test]
fn smallest_configuration_has_the_documented_defaults() {
    let config = read(&smallest()).unwrap();
    assert_eq!((config.trust_root.as_str(), config.threshold, config.name.as_str()), ("aws", 1, "keycrux"));
    assert_eq!(config.records, Limits::default());
    assert_eq!((config.records.max, config.records.ttl_secs), (10_000, 2_592_000));
    let size = config.size().unwrap();
    assert_eq!((size.members(), size.writes()), (3, 2));
    let again = serde_json::to_value(config.masked()).unwrap();
    assert_eq!(again["group"]["writes"], 2);
}

#[test]
fn configuration_that_cannot_work_names_its_field() {
    let check = |pointer: &str, value: Value, says: &str| {
        let mut config = smallest();
        *config.pointer_mut(pointer).unwrap() = value;
        let error = read(&config).unwrap_err();
        assert!(error.contains(says), "{pointer}: {error}");
    };
    check("/repo", json!(""), "repo");
    check("/relays", json!([]), "relays");
    check("/relays", json!(["http://x"]), "relays");
    check("/maintainers", json!([]), "maintainers");
    check("/group/writes", json!(1), "group");
    check("/group/members", json!(KEYS[..2]), "three members or more");
    check("/group", json!({"members": [KEYS[0]], "writes": 1}), "development");
    check("/parent", json!("nowhere"), "is not an address");
    let mut config = smallest();
    for (field, value, says) in [
        ("threshold", json!(2), "threshold"),
        ("min_version", json!("one"), "min_version"),
        ("records", json!({"max": 0}), "records"),
        ("records", json!({"data_bytes_max": 100_000}), "one event"),
        ("record", json!({}), "unknown field `record`"),
    ] {
        config.as_object_mut().unwrap().insert(field.into(), value);
        assert!(read(&config).unwrap_err().contains(says), "{field}");
        config.as_object_mut().unwrap().remove(field);
    }
    assert!(Config::load(None).unwrap_err().to_string().contains("--config"));
}

#[test]
fn group_of_one_is_for_development() {
    let mut config = smallest();
    config["group"] = json!({"members": [KEYS[0]], "writes": 1});
    config["trust_root"] = json!("/etc/keycrux/root.der");
    assert_eq!(read(&config).unwrap().size().unwrap().members(), 1);
}
