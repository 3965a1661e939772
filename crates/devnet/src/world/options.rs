//! What a world is like.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::SealingOptions;
use crate::helper::HelperBinary;

/// Numbers of a world, small enough to watch a container's whole life.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// The program that starts the others, beside which they lie.
    pub helper: HelperBinary,
    /// Price of a unit for an hour, in millisatoshi.
    pub unit_hour_msat: i64,
    /// Length of a period, in seconds.
    pub period_secs: u32,
    /// How often releases are looked for, in seconds.
    pub release_poll_secs: u64,
    /// Units of the server in all, the wallet's among them.
    pub units: u32,
    /// Units of the wallet.
    pub wallet_units: u32,
    /// How long an invoice reserves its units, in seconds.
    pub invoice_secs: u32,
    /// Unpaid launches in all.
    pub unpaid_max: u32,
    /// How long a container may run while the wallet is silent, in seconds.
    pub grace_secs: u64,
    /// How long unpaid data is kept, in seconds.
    pub retention_secs: u64,
    /// How long an invoice is honoured after it expired, in seconds.
    pub late_accept_secs: u64,
    /// What the faucet's account has at the start, in millisatoshi.
    pub faucet_msat: i64,
    /// Requests a second that one key may make.
    pub rate_per_sec: u32,
    /// Quotes and launches that a key which never paid has in a day.
    pub free_quotes_per_key: u32,
    /// Let the wallet serve Lightning addresses ([`super::World::lightning_host`]).
    pub lightning_addresses: bool,
    /// Announce named steps, and wait for a [`super::StepWatch`] at each.
    pub watch_steps: bool,
    /// How state survives; without it, it lies in clear on the disk.
    pub sealing: Option<SealingOptions>,
    /// A certificate authority, in DER, that vouches for the hosts of attested fetches.
    pub fetch_root: Option<PathBuf>,
    /// The daemon's `RUST_LOG`.
    pub log: String,
}

impl WorldOptions {
    /// A world with periods of an hour, as in production.
    #[must_use]
    pub fn new(helper: HelperBinary) -> Self {
        Self {
            helper,
            unit_hour_msat: 5_000,
            period_secs: 3_600,
            release_poll_secs: 1,
            units: 100,
            wallet_units: 2,
            invoice_secs: 600,
            unpaid_max: 32,
            grace_secs: 600,
            retention_secs: 7 * 24 * 3_600,
            late_accept_secs: 0,
            faucet_msat: 100_000_000,
            rate_per_sec: 1_000,
            free_quotes_per_key: 1_000,
            lightning_addresses: false,
            watch_steps: false,
            sealing: None,
            fetch_root: None,
            log: "info".to_owned(),
        }
    }

    /// A world in which a container lives through its whole life in seconds.
    #[must_use]
    pub fn hasty(helper: HelperBinary, period_secs: u32) -> Self {
        // Five satoshi a period, whatever its length.
        let unit_hour_msat = 5_000 * 3_600 / i64::from(period_secs.max(1));
        Self { unit_hour_msat, period_secs, grace_secs: 3, ..Self::new(helper) }
    }

    /// The same with key stores and backups.
    #[must_use]
    pub fn sealed(self, sealing: SealingOptions) -> Self {
        Self { sealing: Some(sealing), ..self }
    }

    /// The folder with our programs.
    ///
    /// # Errors
    /// When the helper is in none.
    pub fn programs(&self) -> Result<PathBuf> {
        Ok(self.helper.path().parent().context("the helper is in no directory")?.to_owned())
    }

    /// The path of one of our programs.
    ///
    /// # Errors
    /// When it is not built.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        let path = self.programs()?.join(name);
        ensure!(path.is_file(), "{} is not there: run `cargo build`", path.display());
        Ok(path)
    }
}
