//! Whether the server agreed to what was asked: the manifest, the price, the invoice.

use nostr::key::PublicKey;
use protocol::manifest::{LaunchManifest, MANIFEST_VERSION};
use protocol::rpc::enclaved::{LaunchParams, LaunchReply};
use protocol::secrets::Secrets;
use units::{Msat, UnixSecs};

use super::choose::Offer;
use crate::bill::{Bill, Due};
use crate::error::Failure;
use crate::image::{ImageName, Resolved};

const SECS_PER_HOUR: i64 = 3_600;

/// What was agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    /// The container's key.
    pub(super) container: PublicKey,
    /// `registry/repository@sha256:…`.
    pub(super) image: String,
    /// How that answers what was asked.
    pub(super) resolved: Resolved,
    /// The hash of the manifest, hex.
    pub(super) manifest_sha256: String,
    /// The invoice for the first period.
    pub(super) bill: Bill,
    /// What it asks for.
    pub(super) amount: Msat,
    /// How long a period is.
    pub(super) period_secs: u32,
}

/// Checks a reply against what was asked and what the server announces. The manifest is made anew from
/// what was asked; all that is taken from the reply is the digest.
///
/// # Errors
/// `manifest_mismatch`, `price_mismatch`, and as [`Bill::check`].
pub(super) fn check(
    asked: &LaunchParams,
    hidden: &Secrets,
    owner: &PublicKey,
    reply: &LaunchReply,
    offer: &Offer,
    now: UnixSecs,
) -> Result<Agreed, Failure> {
    let mismatch = |what: &str| {
        let message = format!("the server's launch is not the one that was asked for: {what}; do not pay it");
        Failure::refused("manifest_mismatch", message)
    };
    let resolved = ImageName::of(&asked.docker)
        .answered_by(&reply.image)
        .ok_or_else(|| mismatch(&format!("it would run {:?}", reply.image)))?;
    let expected =
        manifest(asked, hidden, owner, &reply.image).ok_or_else(|| mismatch("it has no salt of ours"))?;
    if asked.salt.as_ref() != Some(&reply.salt) {
        return Err(mismatch("it uses another salt"));
    }
    if reply.manifest != expected {
        return Err(mismatch("its manifest says something else"));
    }
    let sha256 = expected.sha256().map_err(|e| mismatch(&e.to_string()))?;
    if reply.manifest_sha256 != sha256 {
        return Err(mismatch("its hash is not the manifest's"));
    }
    let amount = offer.per_period(asked.units)?;
    check_hourly(reply.price_msat_per_hour, amount, offer.price.period_secs)?;
    let bill = Bill::parse(&reply.invoice.invoice)?;
    // As the server makes it; the wallet signs it, so the payment is for this manifest and no other.
    let description = format!("enclaved launch {sha256}");
    bill.check(&Due { amount, description: &description, wallet: offer.wallet.as_ref() }, now)?;
    Ok(Agreed {
        container: reply.pubkey,
        image: reply.image.clone(),
        resolved,
        manifest_sha256: sha256,
        bill,
        amount,
        period_secs: offer.price.period_secs,
    })
}

/// The manifest of what was asked, for this digest.
fn manifest(
    asked: &LaunchParams,
    hidden: &Secrets,
    owner: &PublicKey,
    image: &str,
) -> Option<LaunchManifest> {
    let salt = asked.salt.as_ref()?;
    let (mut ports, mut volumes) = (asked.ports.clone(), asked.volumes.clone());
    ports.sort_unstable();
    volumes.sort_unstable();
    Some(LaunchManifest {
        version: MANIFEST_VERSION,
        image: image.to_owned(),
        args: asked.args.clone(),
        env: asked.env.iter().map(|(name, value)| (name.clone(), salt.hmac(name, value))).collect(),
        secrets: hidden.hmacs(salt),
        units: asked.units,
        ports,
        volumes,
        egress: asked.egress,
        upgrade: asked.upgrade,
        owner: *owner,
        logs: asked.logs,
        exec: asked.exec,
    })
}

/// The hourly price of the reply must be what a period costs, up to the rounding of short periods.
fn check_hourly(hourly: Msat, per_period: Msat, period_secs: u32) -> Result<(), Failure> {
    let period_secs = i64::from(period_secs).max(1);
    let expected = per_period.msat().saturating_mul(SECS_PER_HOUR) / period_secs;
    let rounding = SECS_PER_HOUR / period_secs + 1;
    if hourly.msat().saturating_sub(expected).unsigned_abs() > rounding.unsigned_abs() {
        let message = format!(
            "the server asks {hourly} sat an hour and announces {} sat; ask again, or choose another",
            Msat::new(expected)
        );
        return Err(Failure::refused("price_mismatch", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
