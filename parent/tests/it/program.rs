//! Its command line and its configuration.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn parent(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_enclaved-parent")).args(arguments).output().unwrap()
}

/// `--check-config` on a configuration with this section `backup`.
fn check(dir: &Path, backup: &Value) -> Output {
    let config = json!({"listen": "unix:/run/parent.sock", "instance_dir": dir, "ip": "203.0.113.7",
        "backup": backup});
    let path = dir.join("parent.json");
    std::fs::write(&path, config.to_string()).unwrap();
    parent(&["--config", path.to_str().unwrap(), "--check-config"])
}

#[track_caller]
fn refused(output: &Output, field: &str, problem: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(64), &b""[..]), "{output:?}");
    assert!(said.contains(field) && said.contains(problem), "{said}");
}

#[test]
fn folder_for_backups_is_checked_and_shown_with_its_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let output = check(dir.path(), &json!({"listen": "vsock:3:2081", "dir": dir.path()}));
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let backup = &shown["backup"];
    assert_eq!((&backup["keep_count"], &backup["keep_days"]), (&json!(16), &json!(1)));
    assert_eq!((&backup["min_free_bytes"], &backup["listen"]), (&json!(1 << 30), &json!("vsock:3:2081")));
    // Nothing was opened: a folder in use by another process is no fault of the configuration.
    let mut left: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["parent.json"]);
}

#[test]
fn bucket_is_checked_and_its_keys_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = |endpoint: &str, secret: &str| {
        json!({"listen": "unix:/x", "bucket": {"endpoint": endpoint, "name": "b", "access_key_id": "env:ID",
            "secret_access_key": secret}})
    };
    let output = check(dir.path(), &bucket("https://s3.example.com", "env:SECRET"));
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    // Where they are, and never what they are: the environment of this run has none.
    assert_eq!(shown["backup"]["bucket"]["secret_access_key"], "env:SECRET");
    refused(
        &check(dir.path(), &bucket("http://s3.example.com", "env:SECRET")),
        "backup.bucket.endpoint",
        "https",
    );
    let output = check(dir.path(), &bucket("https://s3.example.com", "hunter2"));
    refused(&output, "backup.bucket.secret_access_key", "");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("hunter2"), "{output:?}");
}

#[test]
fn faults_of_the_section_are_named_by_their_field() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (json!({"listen": "unix:/x"}), "backup", "either `dir` or `bucket`"),
        (json!({"listen": "unix:/x", "dir": "/nowhere/at/all"}), "backup.dir", "create it"),
        (json!({"listen": "unix:/x", "dir": dir.path(), "keep_count": 1}), "backup.keep_count", "at least 2"),
        (json!({"listen": "nonsense", "dir": dir.path()}), "", "nonsense"),
        (json!({"listen": "unix:/x", "dir": dir.path(), "keep": 3}), "", "unknown field `keep`"),
    ];
    for (backup, field, problem) in cases {
        refused(&check(dir.path(), &backup), field, problem);
    }
}

#[test]
fn it_says_its_version() {
    let output = parent(&["--version"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")), "{output:?}");
}
