//! What an announcement claims, for its embedded signatures to agree with.

use nostr::event::{Event, Kind};

use crate::event::CheckedEvent;
use crate::kinds;
use crate::nec::{Env, NecError, Policy, tags};

const OLD_ANNOUNCEMENT: Kind = Kind::Custom(63_793);
const OLD_BUILDER_SIGNATURE: Kind = Kind::Custom(63_795);
const OLD_LAUNCHER_SIGNATURE: Kind = Kind::Custom(63_796);
const OLD_RELEASE_SIGNATURE: Kind = Kind::Custom(63_792);

/// Which generation of kinds an announcement speaks. They do not mix.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// 13793 with 23794, 23795, 63794.
    Current,
    /// 63793 with 63795, 63796, 63792.
    Old,
}

impl Form {
    pub(in crate::nec) fn of(event: &Event) -> Result<Self, NecError> {
        if event.kind == kinds::ANNOUNCEMENT {
            Ok(Self::Current)
        } else if event.kind == OLD_ANNOUNCEMENT {
            Ok(Self::Old)
        } else {
            Err(NecError::Event(format!("kind {} is not an announcement", event.kind)))
        }
    }

    pub(in crate::nec) const fn builder_kind(self) -> Kind {
        match self {
            Self::Current => kinds::BUILDER_SIGNATURE,
            Self::Old => OLD_BUILDER_SIGNATURE,
        }
    }

    pub(in crate::nec) const fn launcher_kind(self) -> Kind {
        match self {
            Self::Current => kinds::LAUNCHER_SIGNATURE,
            Self::Old => OLD_LAUNCHER_SIGNATURE,
        }
    }

    pub(in crate::nec) const fn release_kind(self) -> Kind {
        match self {
            Self::Current => kinds::RELEASE_SIGNATURE,
            Self::Old => OLD_RELEASE_SIGNATURE,
        }
    }
}

/// The claims that embedded signatures must repeat.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'e> {
    pub(in crate::nec) form: Form,
    pub(in crate::nec) repo: Option<&'e str>,
    pub(in crate::nec) env: Env,
    pub(in crate::nec) version: Option<&'e str>,
}

impl<'e> Claims<'e> {
    /// Reads an announcement, whose attestation says that it is for `env`.
    pub(in crate::nec) fn read(event: &'e CheckedEvent, form: Form, env: Env) -> Result<Self, NecError> {
        let repo = tags::single(event, "r")?;
        if form == Form::Current && repo.is_none() {
            return Err(NecError::event("it has no `r` tag"));
        }
        if Env::among_topics(event)? != env {
            return Err(NecError::event("its `t` tag is not the one of its `tee_root`"));
        }
        Ok(Self { form, repo, env, version: tags::single(event, "v")? })
    }

    pub(in crate::nec) fn check_policy(&self, policy: &Policy) -> Result<(), NecError> {
        self.check_repo(policy)?;
        policy.check_env(self.env)
    }

    fn check_repo(&self, policy: &Policy) -> Result<(), NecError> {
        match &policy.repo {
            Some(wanted) if self.repo != Some(wanted) => {
                Err(NecError::Ref { wanted: wanted.clone(), found: self.repo.unwrap_or_default().to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A signature must be for the same repository, use and version. The reference's older signatures
    /// do not say the repository, and no NEC asks for the version; what they do say must agree.
    ///
    /// # Errors
    /// Why it does not.
    pub(in crate::nec) fn check_agrees(&self, signature: &CheckedEvent) -> Result<(), String> {
        let repo = tags::single(signature, "r").map_err(NecError::problem)?;
        let silent = self.form == Form::Old && repo.is_none();
        if !silent && repo != self.repo {
            return Err("it is for another repository".to_owned());
        }
        if Env::stated(signature).map_err(NecError::problem)?.unwrap_or_default() != self.env {
            return Err("its `t` tag is not the announcement's".to_owned());
        }
        let version = tags::single(signature, "v").map_err(NecError::problem)?;
        match (version, self.version) {
            (Some(signed), Some(announced)) if signed != announced => {
                Err(format!("it is for version {signed:?}, not for {announced:?}"))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}
