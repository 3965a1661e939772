//! NEC-02: the announcement of a service, kind 13793.

mod build;
mod claims;

use std::collections::BTreeSet;

use attestation::Pcr;
use nostr::key::PublicKey;
use units::UnixSecs;

pub use build::{Announcement, History, PriceTag, Upgrade, WalletTag, build};
pub use claims::{Claims, Form};

use super::{Env, NecError, Policy, VerifiedRoot, all_embedded, builder, embedded, launcher, release, tags};
use crate::event::{CheckedEvent, tag_value, tags_named};

/// The registers that an announcement may name in `x` tags.
pub(super) const ANNOUNCED_PCRS: [u8; 5] = [0, 1, 2, 4, 8];

/// An announcement that was verified: this service key lives in this build on this machine, and these
/// people vouch for it.
#[derive(Clone, Debug)]
pub struct VerifiedInstance {
    root: VerifiedRoot,
    expires_at: UnixSecs,
    builder: Option<PublicKey>,
    launcher: Option<PublicKey>,
    releasers: BTreeSet<PublicKey>,
    pinned: bool,
    announced: Announced,
}

/// What a verified service says of itself. True only as far as the service's code is to be believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Announced {
    /// The repository of its code.
    pub repo: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The relays on which it takes requests.
    pub relays: Vec<String>,
    /// True if it takes new containers.
    pub open: bool,
    /// What a unit costs.
    pub price: Option<PriceTag>,
    /// Units free, and in all.
    pub units_free: Option<(u32, u32)>,
    /// Units sold for each hundred that the machine has, where that is more than a hundred.
    pub overcommit_percent: Option<u32>,
    /// When it ends to be replaced, once that is known.
    pub ends_at: Option<UnixSecs>,
    /// Its wallet.
    pub wallet: Option<WalletTag>,
}

impl VerifiedInstance {
    /// Verifies an announcement.
    ///
    /// # Errors
    /// [`NecError`] with the first reason to refuse.
    pub fn verify(event: &CheckedEvent, policy: &Policy) -> Result<Self, NecError> {
        let form = Form::of(event)?;
        let root = read_root(event, form, policy)?;
        if root.service() != event.pubkey {
            return Err(NecError::Key(format!(
                "`tee_root` is by {}, not by {}",
                root.service(),
                event.pubkey
            )));
        }
        let expires_at = check_expiration(event, form, &root, policy.at)?;
        check_pcr_tags(event, form, &root)?;
        let claims = Claims::read(event, form, root.env())?;
        claims.check_policy(policy)?;
        let document = root.document();
        let builder = match embedded(event, "build").map_err(|e| NecError::Builder(e.problem()))? {
            Some(signature) => Some(builder::verify(&signature, document, &claims, policy.at)?),
            None => None,
        };
        let launcher = match embedded(event, "instance").map_err(|e| NecError::Launcher(e.problem()))? {
            Some(signature) => Some(launcher::verify(&signature, document, &claims)?),
            None => None,
        };
        let releasers = all_embedded(event, "release")
            .map_err(|e| NecError::Release(e.problem()))?
            .iter()
            .map(|signature| release::verify(signature, document, &claims, policy))
            .collect::<Result<BTreeSet<_>, _>>()?;
        release::check_threshold(&releasers, policy)?;
        let announced = read_announced(event);
        Ok(Self { root, expires_at, builder, launcher, releasers, pinned: policy.pins_code(), announced })
    }

    /// The attestation.
    #[must_use]
    pub const fn root(&self) -> &VerifiedRoot {
        &self.root
    }

    /// The service key.
    #[must_use]
    pub const fn service(&self) -> PublicKey {
        self.root.service()
    }

    /// What the instance is for.
    #[must_use]
    pub const fn env(&self) -> Env {
        self.root.env()
    }

    /// When this evidence ends.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSecs {
        self.expires_at
    }

    /// Who built the image, if a builder signed it.
    #[must_use]
    pub const fn builder(&self) -> Option<PublicKey> {
        self.builder
    }

    /// Who runs the machine, if a launcher signed it.
    #[must_use]
    pub const fn launcher(&self) -> Option<PublicKey> {
        self.launcher
    }

    /// Whose release signatures it shows, expected or not.
    #[must_use]
    pub const fn releasers(&self) -> &BTreeSet<PublicKey> {
        &self.releasers
    }

    /// True if the policy said which code may run. If not, any enclave with any code passes.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// What the service says of itself.
    #[must_use]
    pub const fn announced(&self) -> &Announced {
        &self.announced
    }
}

fn read_root(event: &CheckedEvent, form: Form, policy: &Policy) -> Result<VerifiedRoot, NecError> {
    match embedded(event, "tee_root")? {
        Some(root) => VerifiedRoot::verify(&root, policy),
        None if form == Form::Old => {
            let root = VerifiedRoot::from_content(event, policy)?;
            let env = Env::among_topics(event)?;
            if (env == Env::Debug) != root.document().is_debug() {
                return Err(NecError::event("the `t` tag contradicts the document about debug mode"));
            }
            Ok(root.with_env(env))
        }
        None => Err(NecError::event("it has no `tee_root` tag")),
    }
}

/// The reference's older events claim an hour more than their certificate has; theirs is cut, while
/// newer ones that do so are refused.
fn check_expiration(
    event: &CheckedEvent,
    form: Form,
    root: &VerifiedRoot,
    at: UnixSecs,
) -> Result<UnixSecs, NecError> {
    let stated = tags::expiration(event, "the announcement")?;
    if form == Form::Current && stated > root.expires_at() {
        return Err(NecError::event("the announcement claims to outlive its attestation"));
    }
    if at > stated {
        return Err(NecError::Expired { what: "the announcement", until: stated });
    }
    Ok(stated.min(root.expires_at()))
}

/// Every register that it names must be the attested one, and it must name those of the image: by them
/// it is found.
fn check_pcr_tags(event: &CheckedEvent, form: Form, root: &VerifiedRoot) -> Result<(), NecError> {
    let attested = |index| root.document().pcr(index).as_ref().map(Pcr::to_string);
    for tag in tags_named(event, "x") {
        let Some(marker) = tag.get(2).filter(|marker| marker.starts_with("PCR")) else { continue };
        let index = marker.strip_prefix("PCR").and_then(|index| index.parse().ok());
        if index.and_then(attested).as_ref() != tag.get(1) {
            return Err(NecError::Event(format!("its `x` tag for {marker} is not the attested value")));
        }
    }
    let names = |index: u8| {
        let marker = format!("PCR{index}");
        tags_named(event, "x").any(|tag| tag.get(2) == Some(&marker))
    };
    match release::IMAGE_PCRS.into_iter().find(|index| !names(*index)) {
        Some(index) if form == Form::Current => {
            Err(NecError::Event(format!("it has no `x` tag for PCR{index}")))
        }
        Some(_) | None => Ok(()),
    }
}

fn read_announced(event: &CheckedEvent) -> Announced {
    let text = |name| tag_value(event, name).map(ToOwned::to_owned);
    let numbers = |name| {
        let tag = tags_named(event, name).next()?;
        Some((tag.get(1)?.parse().ok()?, tag.get(2)?.parse().ok()?))
    };
    Announced {
        repo: text("r"),
        name: text("name"),
        version: text("v"),
        relays: tags_named(event, "relay").filter_map(|tag| tag.get(1).cloned()).collect(),
        open: tag_value(event, "o") == Some("true"),
        price: PriceTag::read(event),
        units_free: numbers("units_free"),
        overcommit_percent: tag_value(event, "overcommit").and_then(|percent| percent.parse().ok()),
        ends_at: tag_value(event, "ends_at").and_then(|at| at.parse().ok()).map(UnixSecs),
        wallet: WalletTag::read(event),
    }
}
