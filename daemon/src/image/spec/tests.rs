use serde_json::json;

use super::*;

const DIFF_ID: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn config() -> Value {
    json!({
        "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
        "config": {
            "User": "app:app", "WorkingDir": "/srv",
            "Env": ["PATH=/bin", "A=b=c"], "Entrypoint": ["/app"], "Cmd": ["--serve"],
            "ExposedPorts": {"8080/tcp": {}, "53/udp": {}, "80": {}},
            "Volumes": {"/data": {}}, "Labels": {"a": "b", "B": "", "b": null},
            "Healthcheck": {"Test": ["NONE"]}, "StopSignal": "SIGTERM",
        },
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "history": [{"created_by": "x"}],
    })
}

fn parse(document: &Value) -> Result<ImageConfig, ResolveError> {
    ImageConfig::parse(document.to_string().as_bytes(), 1, &Platform::default())
}

/// Parses the valid document with one change.
fn code_after(change: impl FnOnce(&mut Value)) -> Result<(), &'static str> {
    let mut document = config();
    change(&mut document);
    parse(&document).map(|_| ()).map_err(|error| error.code())
}

#[test]
fn settings_are_read() {
    let config = parse(&config()).unwrap();
    assert_eq!(config.diff_ids, [Digest::of(b"")]);
    let spec = config.spec;
    assert_eq!((spec.user.as_str(), spec.working_dir.as_str()), ("app:app", "/srv"));
    assert_eq!(spec.env, ["PATH=/bin", "A=b=c"]);
    assert_eq!((spec.entrypoint, spec.cmd), (vec!["/app".to_owned()], vec!["--serve".to_owned()]));
    let ports: Vec<_> = spec.exposed_ports.iter().map(ToString::to_string).collect();
    assert_eq!(ports, ["53/udp", "80/tcp", "8080/tcp"]);
    assert_eq!(spec.volumes, ["/data".to_owned()].into());
    assert_eq!(spec.labels["a"], "b");
    assert_eq!((spec.labels["B"].as_str(), spec.labels["b"].as_str()), ("", ""));
}

#[test]
fn settings_may_be_missing_or_null() {
    for settings in
        [Value::Null, json!({}), json!({"Env": null, "Cmd": null, "Volumes": null, "Labels": null})]
    {
        let mut document = config();
        document["config"] = settings;
        assert_eq!(parse(&document).unwrap().spec, ImageSpec::default());
    }
}

#[test]
fn platform_must_be_ours() {
    assert_eq!(code_after(|it| it["architecture"] = "arm64".into()), Err("image_platform"));
    assert_eq!(code_after(|it| it["os"] = "windows".into()), Err("image_platform"));
    let arm = Platform { architecture: "arm64".to_owned(), ..Platform::default() };
    let mut document = config();
    document["architecture"] = "arm64".into();
    assert!(ImageConfig::parse(document.to_string().as_bytes(), 1, &arm).is_ok());
}

#[test]
fn layers_must_be_as_many_as_in_the_manifest() {
    for layers in [0, 2] {
        let error = ImageConfig::parse(config().to_string().as_bytes(), layers, &Platform::default());
        assert_eq!(error.unwrap_err().code(), "image_malformed");
    }
}

#[test]
fn wrong_types_and_values_are_refused() {
    let changes: [fn(&mut Value); 12] = [
        |it| it["os"] = Value::Null,
        |it| it["config"] = json!([]),
        |it| it["config"]["Env"] = "A=b".into(),
        |it| it["config"]["Env"] = json!([1]),
        |it| it["config"]["Cmd"] = "sh".into(),
        |it| it["config"]["Labels"] = json!({"a": 1}),
        |it| it["config"]["Volumes"] = json!(["/data"]),
        |it| it["config"]["User"] = 0.into(),
        |it| it["rootfs"]["type"] = "base".into(),
        |it| it["rootfs"]["diff_ids"] = json!(["sha256:00"]),
        |it| it["rootfs"]["diff_ids"] = Value::Null,
        |it| it["rootfs"] = Value::Null,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(code_after(change), Err("image_malformed"), "change {number}");
    }
    for port in ["0/tcp", "65536/tcp", "80/http", "", "/tcp", "+80/tcp", "80-90/tcp", "80/tcp/", " 80"] {
        let refused = code_after(|it| it["config"]["ExposedPorts"] = json!({port: {}}));
        assert_eq!(refused, Err("image_malformed"), "{port}");
    }
}

#[test]
fn fields_that_only_go_would_see_are_refused() {
    let changes: [fn(&mut Value); 6] = [
        |it| it["config"]["volumes"] = json!({"/hidden": {}}),
        |it| it["config"]["USER"] = "root".into(),
        |it| it["config"]["Label\u{17f}"] = json!({}),
        |it| it["Config"] = json!({"User": "root"}),
        |it| it["RootFS"] = json!({}),
        |it| it["rootfs"]["Diff_IDs"] = json!([]),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert_eq!(code_after(change), Err("image_malformed"), "change {number}");
    }
    let twice = config().to_string().replace("\"User\":", "\"User\":\"root\",\"User\":");
    let error = ImageConfig::parse(twice.as_bytes(), 1, &Platform::default()).unwrap_err();
    assert_eq!(error.code(), "image_malformed");
}
