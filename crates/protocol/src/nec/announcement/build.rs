//! Building announcements.

use attestation::{Pcr, VerifiedDocument};
use nostr::event::{Event, EventId};
use nostr::key::{Keys, PublicKey};
use serde::{Deserialize, Serialize};
use units::{Msat, UnixSecs};

use super::ANNOUNCED_PCRS;
use crate::event::{CheckedEvent, SignError, expiration, sign, tags_named};
use crate::kinds::ANNOUNCEMENT;
use crate::nec::{Env, Version};
use crate::rpc::keycrux::Build;
use crate::tag;

/// What a service announces of itself, beside its evidence.
#[derive(Clone, Debug)]
pub struct Announcement<'a> {
    /// A sentence for people.
    pub description: &'a str,
    /// The repository of its code.
    pub repo: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// What it is for.
    pub env: Env,
    /// The relays on which it takes requests.
    pub relays: &'a [String],
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
    /// The limits on containers that this server's kernel does not enforce, by name.
    pub limits_not_enforced: &'a [String],
    /// The builder's signature.
    pub build: Option<&'a Event>,
    /// The launcher's signature.
    pub instance: Option<&'a Event>,
    /// The maintainers' signatures.
    pub releases: &'a [Event],
    /// What became of it and what will, of a service whose state outlives its builds.
    pub history: Option<&'a History>,
}

/// What became of a service whose state outlives its builds, and what will (NEC-07).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    /// The launcher's permission of the fresh start with which state and service key began.
    pub genesis: Option<EventId>,
    /// The builds that had the service key, oldest first; this one is the last.
    pub lineage: Vec<Build>,
    /// Releases that wait for their delay to end.
    pub upgrades: Vec<Upgrade>,
}

/// `["upgrade", version, PCR0, seen at, not before]`: a release that will get state and key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upgrade {
    /// Its version.
    pub version: Version,
    /// Its image.
    pub pcr0: Pcr,
    /// When its delay began.
    pub seen_at: UnixSecs,
    /// When it ends.
    pub not_before: UnixSecs,
}

impl History {
    fn tags(&self) -> Vec<Vec<String>> {
        let genesis = self.genesis.iter().map(|id| tag!["genesis", id.to_hex()]);
        let lineage = self.lineage.iter().map(|build| {
            let [pcr0, pcr1, pcr2] = &build.pcrs;
            let version = build.version.as_ref().map(ToString::to_string).unwrap_or_default();
            tag!["lineage", pcr0, pcr1, pcr2, version, build.since]
        });
        let upgrades = self.upgrades.iter().map(|upgrade| {
            tag!["upgrade", upgrade.version, upgrade.pcr0, upgrade.seen_at, upgrade.not_before]
        });
        genesis.chain(lineage).chain(upgrades).collect()
    }
}

/// `["price", unit-hour in msat, period in seconds]`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PriceTag {
    /// Price of one unit for one hour.
    pub unit_hour_msat: Msat,
    /// How long one prepayment lasts, in seconds.
    pub period_secs: u32,
}

impl PriceTag {
    pub(super) fn read(event: &Event) -> Option<Self> {
        let tag = tags_named(event, "price").next()?;
        let unit_hour_msat = Msat::new(tag.get(1)?.parse().ok()?);
        Some(Self { unit_hour_msat, period_secs: tag.get(2)?.parse().ok()? })
    }
}

/// `["wallet", wallet service key, Lightning node key]`: whose invoices to pay.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WalletTag {
    /// The NIP-47 service.
    pub service: PublicKey,
    /// The key that signs its BOLT11 invoices: compressed secp256k1, hex.
    pub node: String,
}

impl WalletTag {
    pub(super) fn read(event: &Event) -> Option<Self> {
        let tag = tags_named(event, "wallet").next()?;
        Some(Self { service: PublicKey::from_hex(tag.get(1)?).ok()?, node: tag.get(2)?.clone() })
    }
}

/// Signs an announcement of the service whose attestation event is `root`, made from `document`.
///
/// # Errors
/// [`SignError`].
pub fn build(
    keys: &Keys,
    announcement: &Announcement<'_>,
    root: &CheckedEvent,
    document: &VerifiedDocument,
    now: UnixSecs,
) -> Result<CheckedEvent, SignError> {
    let a = announcement;
    // Never past the leaf certificate: the root's own expiration is that, or earlier.
    let until = expiration(root).ok().flatten().unwrap_or(now).min(document.leaf_not_after());
    let mut tags = vec![
        tag!["r", a.repo],
        tag!["name", a.name],
        tag!["v", a.version],
        tag!["t", a.env],
        tag!["expiration", until],
        tag!["alt", a.description],
        tag!["o", a.open],
        tag!["tee_root", root.as_json()],
    ];
    tags.extend(a.relays.iter().map(|relay| tag!["relay", relay]));
    tags.extend(
        ANNOUNCED_PCRS
            .iter()
            .filter_map(|index| Some(tag!["x", document.pcr(*index)?, format!("PCR{index}")])),
    );
    tags.extend(a.price.map(|price| tag!["price", price.unit_hour_msat.msat(), price.period_secs]));
    tags.extend(a.units_free.map(|(free, total)| tag!["units_free", free, total]));
    tags.extend(a.overcommit_percent.map(|percent| tag!["overcommit", percent]));
    tags.extend(a.ends_at.map(|at| tag!["ends_at", at]));
    tags.extend(a.wallet.as_ref().map(|wallet| tag!["wallet", wallet.service.to_hex(), wallet.node]));
    if !a.limits_not_enforced.is_empty() {
        tags.push([tag!["limits_not_enforced"], a.limits_not_enforced.to_vec()].concat());
    }
    for (name, role, signature) in [("build", "builder", a.build), ("instance", "launcher", a.instance)] {
        if let Some(signature) = signature {
            tags.push(tag![name, signature.as_json()]);
            tags.push(tag!["p", signature.pubkey.to_hex(), role]);
        }
    }
    for release in a.releases {
        tags.push(tag!["release", release.as_json()]);
        tags.push(tag!["p", release.pubkey.to_hex(), "releaser"]);
    }
    tags.extend(a.history.iter().flat_map(|history| history.tags()));
    sign(keys, ANNOUNCEMENT, now, tags, a.description.to_owned())
}
