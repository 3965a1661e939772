//! A person who uses a world's server by `encli`.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use devnet::world::{REPO, World};
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use serde_json::Value;
use tokio::process::Command;

/// Their key, their wallet, and a configuration that names what they trust.
pub(crate) struct Person {
    pub(crate) keys: Keys,
    dir: PathBuf,
    program: PathBuf,
}

impl Person {
    pub(crate) async fn new(world: &World, name: &str, keys: Keys) -> Result<Self> {
        let dir = world.dir().join(name);
        std::fs::create_dir_all(&dir)?;
        let maintainers = world.operator().maintainers().iter().map(|keys| keys.public_key().to_bech32());
        let config = format!(
            "relay = [{:?}]\ntrust-root = {:?}\nref = {REPO:?}\nmaintainer = {:?}\nthreshold = 2\nkey = {:?}\n",
            world.relay_url(),
            world.trust_root().display().to_string(),
            maintainers.collect::<Result<Vec<_>, _>>()?,
            format!("file:{}", dir.join("key").display()),
        );
        std::fs::write(dir.join("config.toml"), config)?;
        std::fs::write(dir.join("key"), keys.secret_key().to_secret_hex())?;
        std::fs::write(dir.join("wallet"), world.connection_of(&keys).await?.reveal().as_str())?;
        Ok(Self { keys, dir, program: world.options().program("encli")? })
    }

    /// Where they are.
    pub(crate) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    async fn run(&self, arguments: &[&str]) -> Result<(Value, Option<i32>)> {
        // What stands behind `--` is the container's.
        let at = arguments.iter().position(|one| *one == "--").unwrap_or(arguments.len());
        let (ours, theirs) = arguments.split_at(at);
        let output = Command::new(&self.program)
            .args(ours)
            .args(["--json", "--config", "config.toml"])
            .args(theirs)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let value = serde_json::from_str(&printed).with_context(|| format!("{arguments:?}: {printed}"))?;
        Ok((value, output.status.code()))
    }

    /// What it prints, which must be one JSON value; it must end well.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let (value, code) = self.run(arguments).await?;
        ensure!(code == Some(0), "encli {arguments:?}: {code:?} {value}");
        Ok(value)
    }

    /// The code with which it is refused.
    pub(crate) async fn refused(&self, arguments: &[&str]) -> Result<String> {
        let (value, code) = self.run(arguments).await?;
        ensure!(code == Some(1), "encli {arguments:?}: {code:?} {value}");
        let Some(refusal) = value["error"]["code"].as_str() else { bail!("{value}") };
        Ok(refusal.to_owned())
    }
}
