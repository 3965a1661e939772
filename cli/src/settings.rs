//! What counts: the command line first, then the configuration file, then what is usual.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attestation::{Pcr, TrustRoot};
use nostr::key::PublicKey;
use protocol::nec::Policy;
use units::UnixSecs;

use crate::args::{Options, values};
use crate::config::ConfigFile;
use crate::error::{Failure, with_causes};
use crate::files;
use crate::secrets::KeyRef;

pub(crate) use group::Group;

mod group;

/// How long an answer may take.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long a launch may take: the server asks a registry that it may never have met.
const LAUNCH_WAIT: Duration = Duration::from_secs(90);
/// How long a payment may take: it may travel far.
const PAYMENT_WAIT: Duration = Duration::from_secs(60);
/// How long a remote signer may take: it may ask a person first.
const SIGNER_WAIT: Duration = Duration::from_secs(120);
/// How long relays may take to connect, or to hand out what they hold.
const RELAY_WAIT: Duration = Duration::from_secs(10);

/// Options, complete.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// One JSON value on standard output.
    pub(crate) json: bool,
    /// Where to ask, without doubles.
    pub(crate) relays: Vec<String>,
    /// Where the wallet's connection string is, for the wallet commands.
    pub(crate) wallet: Option<String>,
    key: Option<KeyRef>,
    trust_root: Option<PathBuf>,
    repo: Option<String>,
    maintainers: BTreeSet<PublicKey>,
    threshold: Option<u64>,
    pcrs: Vec<(u8, Pcr)>,
    allow_debug: bool,
    max_age_secs: Option<u64>,
    timeout: Option<Duration>,
    keycrux: Group,
}

impl Settings {
    /// Merges the options with the configuration file that they name.
    ///
    /// # Errors
    /// A [`Failure`] of usage.
    pub(crate) fn load(options: Options) -> Result<Self, Failure> {
        let (config, folder) = ConfigFile::read(options.config.as_deref())?;
        Self::merge(options, config, &folder)
    }

    fn merge(options: Options, config: ConfigFile, folder: &Path) -> Result<Self, Failure> {
        let given = options.clone();
        let key = match (&options.key, &config.key) {
            (Some(given), _) => Some(KeyRef::parse(&given.0)?),
            (None, Some(given)) => Some(KeyRef::parse(given)?.relative_to(folder)),
            (None, None) => None,
        };
        let settings = Self {
            json: options.json || config.json.unwrap_or(false),
            relays: either("relay", options.relay, config.relay.texts(), values::relay)?,
            wallet: config.wallet.map(|wallet| crate::secrets::relative(&wallet, folder)),
            key,
            trust_root: options.trust_root.or(config.trust_root.map(|path| folder.join(path))),
            repo: options.repo.or(non_empty("ref", config.r#ref)?),
            maintainers: either(
                "maintainer",
                options.maintainer,
                config.maintainer.texts(),
                values::public_key,
            )?
            .into_iter()
            .collect(),
            threshold: options.threshold.or(above_zero("threshold", config.threshold)?),
            pcrs: either("pcr", options.pcr, config.pcr.texts(), values::pcr)?,
            allow_debug: options.allow_debug || config.allow_debug.unwrap_or(false),
            max_age_secs: options.max_age.or(above_zero("max-age", config.max_age)?),
            timeout: options.timeout.or(above_zero("timeout", config.timeout)?).map(Duration::from_secs),
            keycrux: Group::merge(given, &config.keycrux)?,
        };
        settings.check()
    }

    fn check(mut self) -> Result<Self, Failure> {
        if self.threshold.is_some() && self.maintainers.is_empty() {
            return Err(Failure::usage(
                "usage",
                "a threshold counts maintainers: name them with --maintainer",
            ));
        }
        for (at, (index, value)) in self.pcrs.iter().enumerate() {
            if self.pcrs.iter().take(at).any(|(other, earlier)| other == index && earlier != value) {
                let message = format!("PCR{index} cannot have two values: give it once with --pcr");
                return Err(Failure::usage("usage", message));
            }
        }
        let mut seen = BTreeSet::new();
        self.relays.retain(|relay| seen.insert(relay.trim_end_matches('/').to_owned()));
        Ok(self)
    }

    /// The root to trust.
    ///
    /// # Errors
    /// A [`Failure`] of usage if the file is not a root certificate.
    pub(crate) fn trust_root(&self) -> Result<TrustRoot, Failure> {
        let Some(path) = &self.trust_root else { return Ok(TrustRoot::aws()) };
        let shown = path.display();
        let invalid = |why: String| Failure::usage("trust_root_invalid", format!("{shown}: {why}"));
        let der = files::read(path).map_err(|e| invalid(e.message().to_owned()))?;
        TrustRoot::from_der(&der).map_err(|e| invalid(with_causes(&e)))
    }

    /// What evidence must show at that moment.
    ///
    /// # Errors
    /// As [`Self::trust_root`].
    pub(crate) fn policy(&self, at: UnixSecs) -> Result<Policy, Failure> {
        Ok(Policy {
            repo: self.repo.clone(),
            maintainers: self.maintainers.clone(),
            // More than there can be maintainers is never reached, as it should be.
            threshold: self.threshold.map_or(1, |threshold| usize::try_from(threshold).unwrap_or(usize::MAX)),
            pcrs: self.pcrs.clone(),
            allow_debug: self.allow_debug,
            max_age_secs: self.max_age_secs,
            ..Policy::new(self.trust_root()?, at)
        })
    }

    /// Which key stores count. What the configuration file expects of servers is not expected of them.
    pub(crate) const fn keycrux(&self) -> &Group {
        &self.keycrux
    }

    /// The registers that were pinned.
    pub(crate) fn pcrs(&self) -> &[(u8, Pcr)] {
        &self.pcrs
    }

    /// True if an enclave in debug mode passes.
    pub(crate) const fn allow_debug(&self) -> bool {
        self.allow_debug
    }

    /// The oldest attestation that passes.
    pub(crate) const fn max_age_secs(&self) -> Option<u64> {
        self.max_age_secs
    }

    /// Where the user's key is.
    pub(crate) const fn key(&self) -> Option<&KeyRef> {
        self.key.as_ref()
    }

    /// How long an answer may take.
    pub(crate) fn answer_wait(&self) -> Duration {
        self.timeout.unwrap_or(ANSWER_WAIT)
    }

    /// How long a launch may take.
    pub(crate) fn launch_wait(&self) -> Duration {
        self.timeout.unwrap_or(LAUNCH_WAIT)
    }

    /// How long a payment may take.
    pub(crate) fn payment_wait(&self) -> Duration {
        self.timeout.unwrap_or(PAYMENT_WAIT)
    }

    /// How long a remote signer may take.
    pub(crate) fn signer_wait(&self) -> Duration {
        self.timeout.unwrap_or(SIGNER_WAIT)
    }

    /// How long relays may take.
    pub(crate) fn relay_wait(&self) -> Duration {
        self.timeout.unwrap_or(RELAY_WAIT).min(RELAY_WAIT)
    }
}

/// The list on the command line, or the one in the file.
fn either<T>(
    name: &str,
    given: Vec<T>,
    configured: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, Failure> {
    if !given.is_empty() {
        return Ok(given);
    }
    configured.iter().map(|text| parse(text).map_err(|why| field(name, &why))).collect()
}

fn above_zero(name: &str, number: Option<u64>) -> Result<Option<u64>, Failure> {
    if number == Some(0) { Err(field(name, "give a whole number above 0")) } else { Ok(number) }
}

fn non_empty(name: &str, text: Option<String>) -> Result<Option<String>, Failure> {
    text.map(|text| values::text(&text).map_err(|why| field(name, &why))).transpose()
}

fn field(name: &str, why: &str) -> Failure {
    Failure::usage("config_invalid", format!("`{name}` in the configuration file: {why}"))
}

#[cfg(test)]
mod tests;
