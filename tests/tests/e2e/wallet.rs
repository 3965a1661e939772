//! `encli wallet create` and what follows, against the wallet that a server runs.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use devnet::world::{REPO, World};
use nostr::nips::nip19::ToBech32;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::in_world::{calm, in_world};

/// Runs `encli` in `dir`, where its configuration is; what it printed, and its exit code.
async fn encli(world: &World, dir: &Path, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
    let output = Command::new(world.options().program("encli")?)
        .args(arguments)
        .args(["--json", "--config", "config.toml"])
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok((serde_json::from_str(&printed).with_context(|| printed)?, output.status.code()))
}

#[tokio::test(flavor = "multi_thread")]
async fn wallet_that_is_made_at_a_server_is_paid_and_pays() -> Result<()> {
    in_world(calm()?, async |world| {
        let dir = world.dir().join("person");
        std::fs::create_dir_all(&dir)?;
        let maintainers = world.operator().maintainers().iter().map(|keys| keys.public_key().to_bech32());
        let config = format!(
            "relay = [{:?}]\ntrust-root = {:?}\nref = {REPO:?}\nmaintainer = {:?}\nthreshold = 2\n",
            world.relay_url(),
            world.trust_root().display().to_string(),
            maintainers.collect::<Result<Vec<_>, _>>()?,
        );
        std::fs::write(dir.join("config.toml"), config)?;
        let service = world.service()?.to_bech32()?;
        // The server announces its wallet when that is ready.
        let wallet_service = world.wallet_tag().await?.service;
        let create = ["wallet", "create", "--instance", &service, "--out", "wallet"];
        let (made, code) = encli(world, &dir, &create).await?;
        ensure!(code == Some(0), "{made}");
        assert_eq!((&made["file"], &made["pinned"]), (&json!("wallet"), &json!(true)));
        assert_eq!(made["wallet_service"], json!(wallet_service.to_hex()));
        assert_eq!(made.get("connection"), None, "the key to the money is not shown");
        assert_eq!(std::fs::metadata(dir.join("wallet"))?.mode() & 0o777, 0o600);
        let connection = std::fs::read_to_string(dir.join("wallet"))?;

        // Made again, it does not take the place of the one that may have money.
        let (refused, code) = encli(world, &dir, &create).await?;
        ensure!(code != Some(0), "{refused}");
        assert_eq!(std::fs::read_to_string(dir.join("wallet"))?, connection);

        let choose = ["--wallet", "file:wallet"];
        let ask = async |arguments: &[&str]| encli(world, &dir, &[arguments, &choose].concat()).await;
        assert_eq!(ask(&["wallet", "balance"]).await?, (json!({"balance_msat": 0}), Some(0)));
        let (bill, _) = ask(&["wallet", "invoice", "100", "--description", "first money"]).await?;
        world.pay_from_faucet(bill["invoice"].as_str().context("no invoice")?).await?;
        assert_eq!(ask(&["wallet", "balance"]).await?, (json!({"balance_msat": 100_000}), Some(0)));
        let (history, _) = ask(&["wallet", "history"]).await?;
        assert_eq!(history["transactions"][0]["description"], "first money");
        Ok(())
    })
    .await
}
