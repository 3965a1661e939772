//! The options that every command takes, wherever on the command line they stand.

use std::fmt;
use std::path::PathBuf;

use attestation::Pcr;
use clap::{ArgMatches, Args, FromArgMatches};
use nostr::key::PublicKey;

use super::values;
use crate::error::Failure;

// Shared options. They may stand after any part of the command; lists are joined. Not a doc comment:
// clap would take it for what every command is about.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of all commands")]
pub(crate) struct Options {
    /// A relay to ask; may be given several times.
    #[arg(long, value_name = "URL", value_parser = values::relay)]
    pub(crate) relay: Vec<String>,
    /// Print one JSON value and nothing else.
    #[arg(long)]
    pub(crate) json: bool,
    /// Defaults for these options, as TOML [default: $XDG_CONFIG_HOME/encli/config.toml].
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) config: Option<PathBuf>,
    /// Your key: env:NAME or file:PATH, holding an nsec or hex; to sign releases, builds and instances
    /// also bunker:env:NAME or bunker:file:PATH, holding the bunker:// URL of a remote signer.
    #[arg(long, value_name = "WHERE")]
    pub(crate) key: Option<Unseen>,
    /// The root to trust in place of AWS's: a certificate in DER, for development.
    #[arg(long, value_name = "DER", value_parser = values::path)]
    pub(crate) trust_root: Option<PathBuf>,
    /// The repository whose code must run, or is signed.
    #[arg(long = "ref", id = "ref", value_name = "REPO", value_parser = values::text)]
    pub(crate) repo: Option<String>,
    /// Whose release signature counts; may be given several times.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) maintainer: Vec<PublicKey>,
    /// How many maintainers must have signed [default: 1].
    #[arg(long, value_name = "M", value_parser = values::positive)]
    pub(crate) threshold: Option<u64>,
    /// A register that must have this value; may be given several times.
    #[arg(long, value_name = "N=HEX", value_parser = values::pcr)]
    pub(crate) pcr: Vec<(u8, Pcr)>,
    /// Accept an enclave in debug mode, whose operator reads everything in it.
    #[arg(long)]
    pub(crate) allow_debug: bool,
    /// The oldest attestation to accept, in seconds.
    #[arg(long, value_name = "SECS", value_parser = values::positive)]
    pub(crate) max_age: Option<u64>,
    /// How long to wait for an answer, in seconds.
    #[arg(long, value_name = "SECS", value_parser = values::positive)]
    pub(crate) timeout: Option<u64>,
}

/// The value of an option that should only say where a secret is. If it is the secret itself, no error
/// may repeat it, so it is looked at by us and not by clap.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct Unseen(pub(crate) String);

impl From<&str> for Unseen {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unseen(…)")
    }
}

impl Options {
    /// Gathers the options of all parts of a command line.
    ///
    /// # Errors
    /// A [`Failure`] of usage for an option that stands in two parts and takes one value.
    pub(crate) fn gather(matches: &ArgMatches) -> Result<Self, Failure> {
        let mut gathered = Self::default();
        let mut part = Some(matches);
        while let Some(matches) = part {
            let options =
                Self::from_arg_matches(matches).map_err(|e| Failure::usage("usage", e.to_string()))?;
            gathered = gathered.and(options)?;
            part = matches.subcommand().map(|(_, matches)| matches);
        }
        Ok(gathered)
    }

    fn and(self, inner: Self) -> Result<Self, Failure> {
        Ok(Self {
            relay: [self.relay, inner.relay].concat(),
            json: self.json || inner.json,
            config: one("config", self.config, inner.config)?,
            key: one("key", self.key, inner.key)?,
            trust_root: one("trust-root", self.trust_root, inner.trust_root)?,
            repo: one("ref", self.repo, inner.repo)?,
            maintainer: [self.maintainer, inner.maintainer].concat(),
            threshold: one("threshold", self.threshold, inner.threshold)?,
            pcr: [self.pcr, inner.pcr].concat(),
            allow_debug: self.allow_debug || inner.allow_debug,
            max_age: one("max-age", self.max_age, inner.max_age)?,
            timeout: one("timeout", self.timeout, inner.timeout)?,
        })
    }
}

fn one<T>(name: &str, outer: Option<T>, inner: Option<T>) -> Result<Option<T>, Failure> {
    match (outer, inner) {
        (Some(_), Some(_)) => Err(Failure::usage("usage", format!("--{name} is given twice; give it once"))),
        (outer, inner) => Ok(outer.or(inner)),
    }
}
