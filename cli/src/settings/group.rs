//! Which key stores count.

use std::collections::BTreeSet;

use attestation::Pcr;
use nostr::key::PublicKey;
use protocol::nec::Policy;
use units::UnixSecs;

use super::{Settings, above_zero, either, field, non_empty};
use crate::args::{Options, values};
use crate::config::KeycruxSection;
use crate::error::Failure;

/// What is expected of key stores: on the command line, or in the section `keycrux` of the file.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    repo: Option<String>,
    maintainers: BTreeSet<PublicKey>,
    threshold: Option<u64>,
    launchers: BTreeSet<PublicKey>,
    pcrs: Vec<(u8, Pcr)>,
}

impl Group {
    pub(super) fn merge(options: Options, section: &KeycruxSection) -> Result<Self, Failure> {
        let named = |name: &str| format!("keycrux.{name}");
        let maintainers =
            either(&named("maintainer"), options.maintainer, section.maintainer.texts(), values::public_key)?;
        let launchers = section.launcher.texts().iter();
        let launchers = launchers
            .map(|text| values::public_key(text).map_err(|why| field("keycrux.launcher", &why)))
            .collect::<Result<_, _>>()?;
        let threshold = options.threshold.or(above_zero("keycrux.threshold", section.threshold)?);
        if threshold.is_some() && maintainers.is_empty() && section.threshold.is_some() {
            return Err(field("keycrux.threshold", "it counts maintainers: name them, too"));
        }
        Ok(Self {
            repo: options.repo.or(non_empty("keycrux.ref", section.r#ref.clone())?),
            maintainers: maintainers.into_iter().collect(),
            threshold,
            launchers,
            pcrs: options.pcr,
        })
    }

    /// The repository of their code, without which they are not told from other services.
    ///
    /// # Errors
    /// `ref_missing`.
    pub(crate) fn repo(&self) -> Result<&str, Failure> {
        self.repo.as_deref().ok_or_else(|| {
            let message = "key stores are found by their code: give its repository with --ref, or as `ref` in \
                           the section `[keycrux]` of the configuration file";
            Failure::usage("ref_missing", message)
        })
    }

    /// Who has a vote: those who were named, or those of the file. Nobody, if it is not said.
    pub(crate) fn launchers(&self, given: &[PublicKey]) -> BTreeSet<PublicKey> {
        if given.is_empty() { self.launchers.clone() } else { given.iter().copied().collect() }
    }
}

impl Settings {
    /// What evidence of a key store must show at that moment.
    ///
    /// # Errors
    /// As [`Group::repo`], and [`Settings::trust_root`].
    pub(crate) fn keycrux_policy(&self, at: UnixSecs) -> Result<Policy, Failure> {
        let group = &self.keycrux;
        Ok(Policy {
            repo: Some(group.repo()?.to_owned()),
            maintainers: group.maintainers.clone(),
            threshold: group.threshold.map_or(1, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX)),
            pcrs: group.pcrs.clone(),
            ..self.policy(at)?
        })
    }
}
