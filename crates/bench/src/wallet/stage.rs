//! A relay and a wallet, each a process of its own.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use devnet::helper::HelperBinary;
use nostr::key::{Keys, PublicKey};
use relay::Pool;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::cpu::Used;
use crate::echo;

/// What the wallet is configured with, wherever it runs. What a bench does within minutes people do within weeks, and
/// is what the limits are against.
pub(super) const TERMS: [(&str, &str); 12] = [
    ("NWC_NETWORK", "regtest"),
    ("NWC_BACKEND", "internal"),
    // What the faucet holds: enough for everybody.
    ("NWC_FAUCET_MSAT", "10000000000"),
    ("NWC_RATE_PER_SEC", "100000"),
    ("NWC_RATE_BURST", "100000"),
    ("NWC_BOOKS_BYTES_MAX", "4000000000"),
    ("NWC_MAX_ANSWERS_PER_KEY", "10000000"),
    ("NWC_MAX_OPEN_INVOICES_PER_KEY", "1000000"),
    ("NWC_MAX_OPEN_INVOICES_UNFUNDED", "1000000"),
    ("NWC_MAX_OPEN_INVOICES", "1000000"),
    ("NWC_RELAY_RATE_PER_SEC", "100000"),
    ("NWC_RELAY_RATE_BURST", "100000"),
];

pub(super) struct Stage {
    relay: Child,
    wallet: Child,
    relay_url: String,
    service: PublicKey,
    rich: Keys,
}

impl Stage {
    pub(super) async fn start(helper: &HelperBinary, dir: &Path) -> Result<Self> {
        let mut relay = Command::new(helper.path())
            .args(["relay", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the relay")?;
        let ready = word_after(relay.stderr.take().context("no log")?, " on ").await?;
        let rich = Keys::generate();
        let program = helper.path().with_file_name("nwc");
        let mut wallet = Command::new(&program)
            .env_clear()
            .envs([
                ("NWC_RELAYS", ready.as_str()),
                ("NWC_FAUCET_PUBKEY", rich.public_key().to_hex().as_str()),
            ])
            .envs(TERMS)
            .env("NWC_DATA_DIR", dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| program.display().to_string())?;
        let service = word_after(wallet.stdout.take().context("no log")?, "service=").await?;
        let service = PublicKey::from_hex(&service)?;
        Ok(Self { relay, wallet, relay_url: ready, service, rich })
    }

    pub(super) const fn wallet(&self) -> PublicKey {
        self.service
    }

    pub(super) fn rich(&self) -> Keys {
        self.rich.clone()
    }

    pub(super) fn relay_url(&self) -> &str {
        &self.relay_url
    }

    /// The processor time that everybody used so far.
    pub(super) fn used(&self) -> Result<Used> {
        Used::read(self.relay.id(), self.wallet.id())
    }

    pub(super) async fn pool(&self) -> Result<Pool> {
        echo::connect(&self.relay_url).await
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        self.wallet.kill().await?;
        Ok(self.relay.kill().await?)
    }
}

/// The word behind `mark` in a log, once it is there. What follows is read on, so that the writer does not
/// wait.
async fn word_after(log: impl AsyncRead + Unpin + Send + 'static, mark: &str) -> Result<String> {
    let mut lines = BufReader::new(log).lines();
    while let Some(line) = lines.next_line().await? {
        let Some((_, rest)) = line.split_once(mark) else { continue };
        let word = rest.split_whitespace().next().unwrap_or_default().to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        return Ok(word);
    }
    bail!("it ended without a word")
}
