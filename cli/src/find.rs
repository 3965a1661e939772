//! Finding servers and containers on the relays.

use std::collections::BTreeSet;

use nostr::event::Kind;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, marked_value};
use protocol::kinds::{ANNOUNCEMENT, CONTAINER};
use protocol::nec::{NecError, VerifiedInstance};

use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;

/// The reference's older announcement.
const OLD_ANNOUNCEMENT: Kind = Kind::Custom(63_793);

/// A server's newest announcement, with the verdict.
#[derive(Debug)]
pub(crate) struct Announced {
    /// The announcement.
    pub(crate) event: CheckedEvent,
    /// What became of verifying it.
    pub(crate) verdict: Result<VerifiedInstance, NecError>,
}

/// The newest announcement of every server, or of one, newest first.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn instances(ctx: &Context, only: Option<PublicKey>) -> Result<Vec<Announced>, Failure> {
    let policy = ctx.policy()?;
    let mut filter = Filter::new().kinds([ANNOUNCEMENT, OLD_ANNOUNCEMENT]);
    if let Some(service) = only {
        filter = filter.author(service);
    }
    let mut seen = BTreeSet::new();
    let events = ctx.fetch("announcements", filter).await?;
    let newest = events.into_iter().filter(|event| seen.insert(event.pubkey));
    Ok(newest
        .map(|event| {
            let verdict = VerifiedInstance::verify(&event, &policy);
            Announced { event, verdict }
        })
        .collect())
}

/// A server's newest announcement.
///
/// # Errors
/// `not_found`, and as [`instances`].
pub(crate) async fn instance(ctx: &Context, service: PublicKey) -> Result<Announced, Failure> {
    let found = instances(ctx, Some(service)).await?.into_iter().next();
    found.ok_or_else(|| {
        let message = format!("no announcement of {} is on these relays", npub(&service));
        Failure::refused("not_found", message).with_hint("check the key, or name the relays that it uses")
    })
}

/// A server's newest announcement, verified.
///
/// # Errors
/// Why it does not verify, and as [`instance`].
pub(crate) async fn verified_instance(
    ctx: &Context,
    service: PublicKey,
) -> Result<VerifiedInstance, Failure> {
    Ok(instance(ctx, service).await?.verdict?)
}

/// A container's newest public event.
///
/// # Errors
/// `not_found`.
pub(crate) async fn container(ctx: &Context, container: PublicKey) -> Result<CheckedEvent, Failure> {
    let filter = Filter::new().kind(CONTAINER).author(container);
    let found = ctx.fetch("the container's event", filter).await?.into_iter().next();
    found.ok_or_else(|| {
        let message = format!("no event of the container {} is on these relays", npub(&container));
        Failure::refused("not_found", message)
            .with_hint("name its server with --instance, or the relays that it uses with --relay")
    })
}

/// The server that a container's event names. What it says is not yet verified.
///
/// # Errors
/// `event_invalid`.
pub(crate) fn service_of(event: &CheckedEvent) -> Result<PublicKey, Failure> {
    let named = marked_value(event, "p", "enclaved").and_then(|hex| PublicKey::from_hex(hex).ok());
    named.ok_or_else(|| {
        let message = "the container's event names no server in a `p … enclaved` tag";
        Failure::refused("event_invalid", message).with_hint("name the server with --instance")
    })
}
