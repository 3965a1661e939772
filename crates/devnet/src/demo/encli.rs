//! Runs `encli` as a person would, and reads what it prints as a program would.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use serde_json::Value;
use tokio::process::Command;

use crate::world::{KEYCRUX_REPO, REPO, World};

/// A person with a key, a wallet and a list of maintainers.
pub(super) struct Encli {
    program: PathBuf,
    config: PathBuf,
    wallet: PathBuf,
}

impl Encli {
    /// Writes the person's files: configuration, key, wallet.
    pub(super) async fn new(world: &World, keys: &Keys) -> Result<Self> {
        let dir = world.dir().join("person");
        std::fs::create_dir_all(&dir)?;
        let (key, wallet, config) = (dir.join("key"), dir.join("wallet"), dir.join("config.toml"));
        std::fs::write(&key, keys.secret_key().to_secret_hex())?;
        std::fs::write(&wallet, world.connection_of(keys).await?.reveal().as_bytes())?;
        let maintainers = world.operator().maintainers().iter().map(|keys| keys.public_key().to_bech32());
        let maintainers = maintainers.collect::<Result<Vec<_>, _>>()?;
        let text = format!(
            "relay = [{:?}]\nkey = \"file:{}\"\ntrust-root = {:?}\nref = {REPO:?}\nmaintainer = {maintainers:?}\nthreshold = 2\n",
            world.relay_url(),
            key.display(),
            world.trust_root().display().to_string(),
        );
        std::fs::write(&config, text + &keycrux_section(world)?)?;
        Ok(Self { program: world.options().program("encli")?, config, wallet })
    }

    /// The person's configuration file.
    pub(super) fn config(&self) -> &std::path::Path {
        &self.config
    }

    /// The person's wallet, as options name it.
    pub(super) fn wallet(&self) -> String {
        format!("file:{}", self.wallet.display())
    }

    /// Shows the command and runs it.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn run(&self, arguments: &[&str]) -> Result<Value> {
        super::say(&format!("  $ encli {}", arguments.join(" ")));
        self.ask(arguments).await
    }

    /// Runs the command with `--json` besides, and returns what it printed.
    ///
    /// # Errors
    /// What `encli` said, unless it exits with 0 and prints JSON.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = Command::new(&self.program)
            .args(arguments)
            .arg("--json")
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "encli: {}: {} {}",
                output.status,
                printed.trim(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        serde_json::from_str(&printed).with_context(|| format!("encli printed no JSON: {printed}"))
    }
}

/// Which key stores count, in the person's configuration.
fn keycrux_section(world: &World) -> Result<String> {
    let stores = world.key_stores()?;
    let npubs = |keys: &[Keys]| -> Result<Vec<String>> {
        Ok(keys.iter().map(|keys| keys.public_key().to_bech32()).collect::<Result<_, _>>()?)
    };
    let (maintainers, launchers) = (npubs(stores.maintainers())?, npubs(stores.launchers())?);
    Ok(format!(
        "[keycrux]\nref = {KEYCRUX_REPO:?}\nmaintainer = {maintainers:?}\nthreshold = 2\nlauncher = {launchers:?}\n"
    ))
}

/// A text in what a command printed.
pub(super) fn text<'v>(value: &'v Value, path: &str) -> Result<&'v str> {
    value.pointer(path).and_then(Value::as_str).with_context(|| format!("no {path} in {value}"))
}
