//! The people behind an instance, as its parent names them.

use nostr::event::Event;
use protocol::event::CheckedEvent;
use protocol::nec::{NecError, Policy, VerifiedInstance};
use protocol::parent::Meta;

/// What the parent gave to vouch for us, as far as it does.
#[derive(Clone, Debug, Default)]
pub struct Vouchers {
    /// The builder's signature.
    pub build: Option<Event>,
    /// The launcher's signature.
    pub instance: Option<Event>,
    /// The maintainers' signatures.
    pub releases: Vec<Event>,
}

impl From<Meta> for Vouchers {
    fn from(meta: Meta) -> Self {
        Self { build: meta.build, instance: meta.instance, releases: meta.releases }
    }
}

impl Vouchers {
    /// Leaves out what clients would refuse, each with the reason on the log. `announce` makes the
    /// announcement that is shown with given vouchers.
    ///
    /// # Errors
    /// What `announce` says; [`NecError`] if not even an announcement without vouchers verifies.
    pub fn keep_valid<E: From<NecError>>(
        self,
        policy: &Policy,
        announce: impl Fn(&Self) -> Result<CheckedEvent, E>,
    ) -> Result<Self, E> {
        VerifiedInstance::verify(&announce(&Self::default())?, policy)?;
        let passes = |what: &str, vouchers: &Self| -> Result<bool, E> {
            match VerifiedInstance::verify(&announce(vouchers)?, policy) {
                Ok(_) => Ok(true),
                Err(e) => {
                    tracing::error!("the parent's {what} is left out: {e}");
                    Ok(false)
                }
            }
        };
        let mut kept = Self::default();
        let build = Self { build: self.build, ..Self::default() };
        if build.build.is_some() && passes("build.json", &build)? {
            kept.build = build.build;
        }
        let instance = Self { instance: self.instance, ..Self::default() };
        if instance.instance.is_some() && passes("instance.json", &instance)? {
            kept.instance = instance.instance;
        }
        for release in self.releases {
            let one = Self { releases: vec![release], ..Self::default() };
            if passes("release", &one)? {
                kept.releases.extend(one.releases);
            }
        }
        Ok(kept)
    }
}
