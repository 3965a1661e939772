//! The program, as an operator sees it.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::world::{SOON, World};

fn keycrux(arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_keycrux")).args(arguments).output().unwrap()
}

#[tokio::test]
async fn it_checks_its_configuration_and_says_its_version() {
    let mut world = World::new(3, 2).await;
    let path = world.write_config(world.dir.path());
    let output = keycrux(&["--config", path.to_str().unwrap(), "--check-config"]);
    assert!(output.status.success(), "{output:?}");
    let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["records"]["max"], 10_000);
    for (config, said) in [
        (serde_json::json!({"threshold": 7}), "threshold"),
        (serde_json::json!({"records": {"max": 0}}), "records"),
        (serde_json::json!({"group": {"members": [], "writes": 1}}), "group"),
        (serde_json::json!({"recrods": {}}), "unknown field `recrods`"),
    ] {
        world.config = config;
        let path = world.write_config(world.dir.path());
        let output = keycrux(&["--config", path.to_str().unwrap(), "--check-config"]);
        assert_eq!(output.status.code(), Some(64));
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    let output = keycrux(&["--version"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")), "{output:?}");
}

#[tokio::test]
async fn it_warns_of_a_group_of_one_and_ends_in_order() {
    let world = World::new(1, 1).await;
    let keycrux = world.start_all().await.remove(0);
    assert!(keycrux.log().contains("a group of one, for development"), "{}", keycrux.log());
    keycrux.signal(Signal::SIGTERM);
    assert_eq!(keycrux.wait().await, Some(0));
}

#[tokio::test]
async fn build_that_the_group_would_not_accept_does_not_start() {
    let world = World::new(3, 2).await;
    let (folder, _nsm) = world.prepare(0, "another build").await;
    let (mut child, log) = world.spawn(&folder);
    let ended = tokio::task::spawn_blocking(move || child.wait());
    let status = tokio::time::timeout(SOON, ended).await.unwrap().unwrap().unwrap();
    assert_eq!(status.code(), Some(1));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("the group would not accept this key store"), "{log}");
}
