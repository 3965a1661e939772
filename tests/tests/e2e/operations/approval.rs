//! What maintainers approve with `encli` is what a server writes.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use enclaved::config::Release;
use nostr::key::Keys;
use protocol::event::CheckedEvent;
use protocol::nec::{Env, PolicyApproval};
use serde_json::{Value, json};

const REPO: &str = "https://example.com/enclaved";

#[test]
fn approval_names_the_policies_that_a_server_writes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let alice = Keys::generate();
    std::fs::write(dir.path().join("alice"), alice.secret_key().to_secret_hex())?;
    let (alice, bob) = (alice.public_key(), Keys::generate().public_key());
    let strict = json!({"maintainers": [alice, bob], "threshold": 2, "min_delay_secs": 60, "min_version": "1.2.0",
        "revoked": ["1.3.0", "ab".repeat(48)]});
    let lax = json!({"maintainers": [alice, bob]});
    let helper = HelperBinary::find()?;
    let encli = helper.path().parent().context("a folder")?.join("encli");
    let write = |name: &str, release: &Value| {
        std::fs::write(dir.path().join(name), json!({"repo": REPO, "release": release}).to_string())
    };
    write("from.json", &strict)?;
    write("to.json", &lax)?;
    for env in [Env::Prod, Env::Dev] {
        let output = Command::new(&encli)
            .args(["keycrux", "approve", "--from", "from.json", "--to", "to.json", "--key", "file:alice"])
            .args(["--env", env.as_str(), "--json"])
            .current_dir(dir.path())
            .env_clear()
            .output()?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{printed}");
        let approval = PolicyApproval::read(&CheckedEvent::parse(printed.trim())?)?;
        let written = |release: &Value| -> Result<[u8; 32]> {
            let release: Release = serde_json::from_value(release.clone())?;
            Ok(release.policy(REPO, env)?.digest()?)
        };
        assert_eq!((approval.change.from, approval.change.to), (written(&strict)?, written(&lax)?));
        assert_eq!((approval.repo.as_str(), approval.env, approval.signer), (REPO, env, alice));
    }
    Ok(())
}
