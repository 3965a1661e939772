use serde_json::json;

use super::*;

fn with(extra: Value) -> Value {
    let mut params = json!({"docker": "echo:1", "units": 1});
    for (name, value) in extra.as_object().unwrap() {
        params[name] = value.clone();
    }
    params
}

#[track_caller]
fn refused(extra: Value, code: Code) {
    let params = with(extra);
    let failure = LaunchParams::parse(&params).expect_err("must be refused");
    assert_eq!(failure.code, code, "{params}: {failure}");
}

#[test]
fn reference_shapes_are_accepted() {
    for extra in [
        json!({}),
        json!({"name": "x", "env": {"A": "1"}, "upgrade": ""}),
        json!({"env": null, "name": null, "upgrade": null}),
        json!({"exec": false, "egress": "none", "upgrade": "none", "ports": [80, 443], "volumes": ["/data", "/db"]}),
    ] {
        LaunchParams::parse(&with(extra)).unwrap();
    }
}

#[test]
fn units_of_every_wrong_kind_are_refused() {
    for units in [
        json!(0),
        json!(51),
        json!("abc"),
        json!("1"),
        json!(1_000_000_000),
        json!(1e9),
        json!(1.5),
        json!(-1),
        json!(null),
        json!([1]),
    ] {
        refused(json!({ "units": units }), Code::UnitsInvalid);
    }
    assert_eq!(LaunchParams::parse(&json!({"docker": "x"})).unwrap_err().code, Code::UnitsInvalid);
}

#[test]
fn environment_that_could_break_out_is_refused() {
    for (name, value) in [
        ("A\nprivileged", "1"),
        ("A", "1\nprivileged: true"),
        ("A", "1\r"),
        ("A\0", "1"),
        ("A", "1\0"),
        ("", "1"),
        ("1A", "1"),
        ("A=B", "1"),
        ("A B", "1"),
        ("ENCLAVED_TOKEN", "1"),
    ] {
        refused(json!({"env": {name: value}}), Code::EnvInvalid);
    }
    refused(json!({"env": {"A": 1}}), Code::ParamsInvalid);
    refused(json!({"env": {"A": "x".repeat(TEXT_BYTES_MAX)}}), Code::ParamsInvalid);
}

#[test]
fn arguments_count_as_every_answer_repeats_them() {
    for arg in ["\u{1}".repeat(6_000), "\"".repeat(20_000), "x".repeat(TEXT_BYTES_MAX)] {
        refused(json!({"args": [arg]}), Code::ParamsInvalid);
    }
    for arg in ["\u{1}".repeat(5_000), "\"".repeat(16_000), "x".repeat(32_000)] {
        let params = json!({"docker": "alpine", "units": 1, "args": [arg]});
        let args = LaunchParams::parse(&params).unwrap().args;
        assert!(serde_json::to_vec(&args).unwrap().len() <= TEXT_BYTES_MAX + 2);
    }
}

#[test]
fn policies_that_are_not_built_are_refused_by_name() {
    refused(json!({"egress": "example.com"}), Code::EgressUnsupported);
    refused(json!({"upgrade": "sometimes"}), Code::UpgradeUnsupported);
    refused(json!({"upgrade": "AUTO"}), Code::UpgradeUnsupported);
    refused(json!({"upgrade": 1}), Code::ParamsInvalid);
    refused(json!({"exec": "yes"}), Code::ParamsInvalid);
}

#[test]
fn ports_and_volumes_are_checked() {
    for ports in [json!([0]), json!([80, 80]), json!([70_000]), json!((1..=17).collect::<Vec<u16>>())] {
        refused(json!({ "ports": ports }), Code::ParamsInvalid);
    }
    for path in [
        "data",
        "/",
        "/../etc",
        "/a//b",
        "/a/",
        "/a:b",
        "/proc",
        "/sys/kernel",
        "/etc/passwd",
        "/run/enclaved",
        "/a\nb",
    ] {
        refused(json!({ "volumes": [path] }), Code::ParamsInvalid);
    }
    refused(json!({"volumes": ["/a", "/a/b"]}), Code::ParamsInvalid);
    refused(json!({"volumes": ["/a", "/a"]}), Code::ParamsInvalid);
}

#[test]
fn unknown_fields_and_names_are_refused() {
    refused(json!({"privileged": true}), Code::ParamsInvalid);
    refused(json!({"name": "a\u{1b}[31m"}), Code::ParamsInvalid);
    refused(json!({"docker": ""}), Code::ImageReferenceInvalid);
    refused(json!({"docker": 5}), Code::ParamsInvalid);
}

#[test]
fn debug_does_not_show_values() {
    let launch = LaunchParams::parse(&with(json!({"env": {"KEY": "hunter2"}}))).unwrap();
    let shown = format!("{launch:?}");
    assert!(shown.contains("KEY") && !shown.contains("hunter2"), "{shown}");
}
