//! What the daemon refuses to be configured with, asked of the program itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use devnet::helper::HelperBinary;
use devnet::world::WorldOptions;
use serde_json::{Value, json};

/// A complete configuration of a development machine.
fn development() -> Value {
    json!({
        "repo": "https://example.com/enclaved",
        "relays": ["wss://relay.example.com"],
        "state_dir": "/data",
        "nsm": "/run/nsm.sock",
        "trust_root": "/run/sim-root.der",
        "parent": "unix:/run/parent.sock",
        "builtin": [{
            "name": "nwc",
            "docker": format!("registry.example.com/nwc@sha256:{}", "ab".repeat(32)),
            "units": 2,
            "env": {"NWC_FAUCET_MSAT": "987654321"},
        }],
        "development": {
            "addresses": ["198.18.0.0/15"],
            "plain_http_registries": ["198.18.0.1:5000"],
            "version": "0.2.0",
            "checkpoints": "/run/steps.sock",
        },
    })
}

/// Runs `enclaved --check-config`; `Err` is what it says on standard error.
fn check(dir: &Path, config: &Value) -> Result<Result<String, String>> {
    let file = dir.join("enclaved.json");
    std::fs::write(&file, config.to_string())?;
    let program: PathBuf = WorldOptions::new(HelperBinary::find()?).program("enclaved")?;
    let output = Command::new(program).arg("--config").arg(file).arg("--check-config").output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    })
}

#[test]
fn no_development_switch_passes_under_the_root_of_aws() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let shown = check(dir.path(), &development())?.unwrap();
    let shown: Value = serde_json::from_str(&shown)?;
    assert_eq!(shown["development"], development()["development"]);
    assert_eq!(shown["builtin"][0]["env"]["NWC_FAUCET_MSAT"], "***", "what may be secret is not shown");

    let switches = development()["development"].clone();
    let each = switches.as_object().unwrap().iter().map(|(name, value)| json!({name: value}));
    for switch in each.chain([switches.clone(), json!({})]) {
        let mut config = development();
        config["development"] = switch.clone();
        check(dir.path(), &config)?.unwrap();
        for root in ["aws", ""] {
            config["trust_root"] = json!(root);
            // The default is AWS's root.
            if root.is_empty() {
                config.as_object_mut().unwrap().remove("trust_root");
            }
            let refused = check(dir.path(), &config)?.unwrap_err();
            assert!(
                refused.contains("development: is refused when trust_root is aws"),
                "{switch}: {refused}"
            );
        }
    }
    Ok(())
}

#[test]
fn state_in_clear_and_money_from_nowhere_are_refused_under_the_root_of_aws() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut config = development();
    config["trust_root"] = json!("aws");
    config.as_object_mut().unwrap().remove("development");
    let refused = check(dir.path(), &config)?.unwrap_err();
    assert!(refused.contains("trust_root: aws is refused"), "{refused}");
    assert!(!refused.contains("987654321"), "{refused}");
    Ok(())
}

/// The root decides, not how it is named: a file with AWS's root in it lets no more through.
#[test]
fn root_of_aws_in_a_file_starts_no_development_server() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let root = dir.path().join("root.der");
    std::fs::write(&root, attestation::TrustRoot::aws().der())?;
    let mut config = development();
    config["trust_root"] = json!(root);
    config["state_dir"] = json!(dir.path().join("state"));
    // It is no fault that can be seen in the configuration alone.
    check(dir.path(), &config)?.unwrap();
    let file = dir.path().join("enclaved.json");
    let program = WorldOptions::new(HelperBinary::find()?).program("enclaved")?;
    let output = Command::new(program).arg("--config").arg(file).output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "it ended well: {said}");
    assert!(said.contains("development: is refused when trust_root is aws"), "{said}");
    assert!(!dir.path().join("state").exists(), "it began");
    Ok(())
}

#[test]
fn unknown_switch_is_refused_by_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for path in ["/simulated", "/development/trust_everybody", "/launch/free", "/builtin/0/privileged"] {
        let mut config = development();
        config["launch"] = json!({});
        let (parent, name) = path.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[name] = json!(true);
        let refused = check(dir.path(), &config)?.unwrap_err();
        assert!(refused.contains(&format!("unknown field `{name}`")), "{path}: {refused}");
    }
    Ok(())
}
