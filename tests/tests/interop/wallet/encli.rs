//! `encli wallet` against the real wallet: what a person types.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use devnet::helper::HelperBinary;
use nostr::event::{EventId, Kind};
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::event::sign;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use units::{Clock, SystemClock};

use super::stage::{DEADLINE, Stage, hash_of, program};

/// A person with a key, a wallet and a relay.
struct Person {
    keys: Keys,
    home: TempDir,
    program: PathBuf,
}

impl Person {
    fn new(stage: &Stage) -> Result<Self> {
        let (keys, home) = (Keys::generate(), TempDir::new()?);
        std::fs::write(home.path().join("wallet"), stage.uri(&keys)?)?;
        std::fs::write(home.path().join("key"), keys.secret_key().to_secret_hex())?;
        let config = format!(
            "relay = [{:?}]\nkey = \"file:{home}/key\"\nwallet = \"file:{home}/wallet\"\n",
            stage.relay_url,
            home = home.path().display(),
        );
        std::fs::write(home.path().join("config.toml"), config)?;
        Ok(Self { keys, home, program: program(&HelperBinary::find()?, "encli")? })
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let run = Command::new(&self.program)
            .args(arguments)
            .arg("--config")
            .arg(self.home.path().join("config.toml"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        Ok(tokio::time::timeout(DEADLINE, run).await??)
    }

    /// What it shows on a terminal, which `script` is for it.
    async fn on_terminal(&self, arguments: &[&str]) -> Result<String> {
        let config = self.home.path().join("config.toml").display().to_string();
        let program = self.program.display().to_string();
        let line = [&[program.as_str()], arguments, &["--config", &config]].concat().join(" ");
        let run = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(DEADLINE, run).await??;
        let shown = String::from_utf8(output.stdout)?;
        ensure!(output.status.success(), "{line}: {shown}");
        Ok(shown)
    }

    async fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.run(&[arguments, &["--json"]].concat()).await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success(), "encli {arguments:?}: {printed}");
        serde_json::from_str(&printed).with_context(|| printed)
    }

    /// The code of a refusal, and the exit code.
    async fn refusal(&self, arguments: &[&str]) -> Result<(String, Option<i32>)> {
        let output = self.run(&[arguments, &["--json"]].concat()).await?;
        let printed: Value = serde_json::from_slice(&output.stdout)?;
        let Some(code) = printed["error"]["code"].as_str() else { bail!("not refused: {printed}") };
        Ok((code.to_owned(), output.status.code()))
    }

    fn npub(&self) -> Result<String> {
        Ok(self.keys.public_key().to_bech32()?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encli_wallet_pays_and_is_paid() -> Result<()> {
    let stage = Stage::start().await?;
    invoices(&stage).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn invoices(stage: &Stage) -> Result<()> {
    let (alice, bob) = (Person::new(stage)?, Person::new(stage)?);
    assert_eq!(alice.ask(&["wallet", "balance"]).await?, json!({"balance_msat": 0}));
    let empty = alice.ask(&["wallet", "history"]).await?;
    assert_eq!(empty, json!({"transactions": [], "balance_msat": 0}));
    let asked = alice.ask(&["wallet", "invoice", "100", "--description", "pocket money"]).await?;
    assert_eq!((&asked["amount_msat"], &asked["network"]), (&json!(100_000), &json!("regtest")));
    stage.pay(asked["invoice"].as_str().context("no invoice")?).await?;

    let bill = bob.ask(&["wallet", "invoice", "30", "--description", "tea"]).await?;
    let invoice = bill["invoice"].as_str().context("no invoice")?;
    let paid = alice.ask(&["wallet", "pay", invoice]).await?;
    let fees = paid["fees_msat"].as_i64().context("no fees")?;
    assert_eq!(json!(hash_of(&paid["preimage"])?), bill["payment_hash"]);
    assert_eq!((&paid["amount_msat"], paid.get("zap")), (&json!(30_000), None));
    assert_eq!(alice.ask(&["wallet", "balance"]).await?["balance_msat"], 70_000 - fees);

    // Newest first, with what was there after each.
    let history = alice.ask(&["wallet", "history"]).await?;
    let rows: Vec<_> = history["transactions"].as_array().context("no list")?.iter().collect();
    let short =
        |row: &Value| (row["direction"].clone(), row["balance_msat"].clone(), row["description"].clone());
    assert_eq!(rows.len(), 2, "{history}");
    assert_eq!(short(rows[0]), (json!("outgoing"), json!(70_000 - fees), json!("tea")));
    assert_eq!(short(rows[1]), (json!("incoming"), json!(100_000), json!("pocket money")));
    let shown = String::from_utf8(alice.run(&["wallet", "history"]).await?.stdout)?;
    ensure!(shown.starts_with("WHEN") && shown.contains("BALANCE"), "{shown}");
    let one = alice.ask(&["wallet", "history", "--limit", "1"]).await?;
    assert_eq!(one["transactions"].as_array().map(Vec::len), Some(1));

    // No terminal, no picture.
    let shown = String::from_utf8(bob.run(&["wallet", "invoice", "5"]).await?.stdout)?;
    ensure!(shown.contains("lnbcrt") && !shown.contains('█'), "{shown}");
    // On a terminal there is one.
    let shown = bob.on_terminal(&["wallet", "invoice", "5"]).await?;
    let rows = shown.lines().filter(|line| line.contains(['█', '▀', '▄'])).count();
    // A version 5 code has 37 modules, two in a row of text; an invoice needs more.
    ensure!(shown.contains("lnbcrt") && rows >= 19, "{rows} rows: {shown}");
    let large = bob.ask(&["wallet", "invoice", "5000"]).await?;
    let refused = alice.refusal(&["wallet", "pay", large["invoice"].as_str().context("no invoice")?]).await?;
    assert_eq!(refused, ("insufficient_balance".to_owned(), Some(1)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn encli_wallet_pays_addresses_and_zaps_profiles() -> Result<()> {
    let stage = Stage::start().await?;
    addresses(&stage).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn addresses(stage: &Stage) -> Result<()> {
    let (alice, bob) = (Person::new(stage)?, Person::new(stage)?);
    stage.give(&alice.keys, 100_000).await?;
    let npub = bob.npub()?;
    let address = format!("{npub}@{}", stage.web);
    let paid = alice.ask(&["wallet", "pay", &address, "--sats", "5", "--comment", "hello"]).await?;
    assert_eq!((&paid["amount_msat"], paid.get("zap")), (&json!(5_000), None));
    let history = bob.ask(&["wallet", "history"]).await?;
    assert_eq!(history["transactions"][0]["description"], "hello");

    // Somebody's profile names the address; a zap of it is told to the world.
    assert_eq!(alice.refusal(&["wallet", "pay", &npub, "--sats", "7"]).await?.0, "address_missing");
    let profile = json!({"name": "bob", "lud16": address}).to_string();
    let profile = sign(&bob.keys, Kind::Metadata, SystemClock.now(), Vec::new(), profile)?;
    ensure!(stage.pool().await?.publish(&profile).await.is_published());
    let zapped = alice.ask(&["wallet", "pay", &npub, "--sats", "7", "--zap", "--comment", "nice"]).await?;
    let receipt = EventId::from_hex(zapped["zap"]["receipt"].as_str().context("no receipt")?)?;
    let found = stage.pool().await?.fetch(Filter::new().id(receipt), DEADLINE).await?;
    let receipt = found.first().context("no such event")?;
    assert_eq!((receipt.kind, receipt.pubkey), (Kind::ZapReceipt, stage.service));
    assert_eq!(bob.ask(&["wallet", "balance"]).await?, json!({"balance_msat": 12_000}));

    let nobody = format!("nobody@{}", stage.web);
    for (arguments, code, exit) in [
        (vec!["wallet", "pay", &address], "usage", 64),
        (vec!["wallet", "pay", &address, "--sats", "200000000"], "amount_invalid", 1),
        (
            vec!["wallet", "pay", &address, "--sats", "1", "--comment", &"x".repeat(145)],
            "comment_too_long",
            1,
        ),
        (vec!["wallet", "pay", &nobody, "--sats", "1"], "address_refused", 1),
        (vec!["wallet", "pay", "bob@host/path", "--sats", "1"], "address_invalid", 64),
        (vec!["wallet", "pay", "bob@127.0.0.1:1", "--sats", "1"], "address_unreachable", 69),
    ] {
        assert_eq!(alice.refusal(&arguments).await?, (code.to_owned(), Some(exit)), "{arguments:?}");
    }
    assert_eq!(bob.ask(&["wallet", "balance"]).await?, json!({"balance_msat": 12_000}));
    Ok(())
}
