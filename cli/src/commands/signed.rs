//! Events that people signed: written, shown, sent.

use std::path::PathBuf;

use nostr::nips::nip19::ToBech32;
use protocol::event::CheckedEvent;
use relay::PublishReport;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::{Options, Signing};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::output::{Page, View};

/// A signed event. As JSON it is the event itself, and what relays said of it, if they were asked.
#[derive(Debug, Serialize)]
pub(crate) struct Signed {
    #[serde(flatten)]
    json: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<Published>,
    #[serde(skip)]
    event: CheckedEvent,
    #[serde(skip)]
    file: Option<PathBuf>,
    #[serde(skip)]
    next: &'static str,
}

/// What relays said.
#[derive(Debug, Serialize)]
struct Published {
    accepted: Vec<String>,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    relay: String,
    reason: String,
}

impl Signed {
    /// Writes the event where it was asked for. `next` says what to do with it.
    ///
    /// # Errors
    /// If the file exists or cannot be written.
    pub(super) fn write(event: CheckedEvent, signing: &Signing, next: &'static str) -> Result<Self, Failure> {
        let text = event.as_json();
        let json = serde_json::from_str(&text)
            .map_err(|e| Failure::refused("output", format!("the event cannot be written: {e}")))?;
        if let Some(path) = &signing.out {
            files::write_public(path, &text)?;
        }
        Ok(Self { json, published: None, event, file: signing.out.clone(), next })
    }

    /// Sends it to the user's relays.
    ///
    /// # Errors
    /// `not_published` if none of them took it.
    pub(super) async fn publish(self, ctx: &Context) -> Result<Self, Failure> {
        let pool = ctx.pool().await?;
        let doing = ctx.progress.begin("publishing");
        let report = pool.publish(&self.event).await;
        drop(doing);
        if !report.is_published() {
            let whys: Vec<_> = report.refused.iter().map(|(url, why)| format!("{url}: {why}")).collect();
            let message = format!("no relay took the event ({})", whys.join(", "));
            return Err(
                Failure::refused("not_published", message).with_hint("name other relays with --relay")
            );
        }
        Ok(Self { published: Some(report.into()), ..self })
    }
}

impl From<PublishReport> for Published {
    fn from(report: PublishReport) -> Self {
        let refused = report.refused.into_iter().map(|(relay, reason)| Refused { relay, reason });
        Self { accepted: report.accepted, refused: refused.collect() }
    }
}

impl View for Signed {
    fn show(&self, page: &mut Page) {
        page.good("Signed.");
        page.key("by", &self.event.pubkey);
        page.field("kind", self.event.kind);
        page.maybe("event", self.event.id.to_bech32().ok());
        for tag in self.event.tags.iter().map(nostr::event::Tag::as_slice) {
            match tag {
                [name, value] if name != "cert" => page.field(name, value),
                [_, value, marker] => page.field(marker, value),
                _ => {}
            }
        }
        for relay in self.published.iter().flat_map(|published| &published.accepted) {
            page.field("published", relay);
        }
        for Refused { relay, reason } in self.published.iter().flat_map(|published| &published.refused) {
            page.warn(format!("{relay} did not take it: {reason}"));
        }
        match &self.file {
            Some(file) => page.field("file", file.display()),
            None => {
                page.gap();
                page.json(&self.event.as_json());
                page.gap();
            }
        }
        page.line(self.next);
    }
}

/// The repository that the command line names. What the configuration file expects of servers is not
/// signed unasked.
///
/// # Errors
/// A [`Failure`] of usage.
pub(super) fn repo(given: &Options) -> Result<&str, Failure> {
    let message = "a signature names the repository of the code: give it with --ref";
    given.repo.as_deref().ok_or_else(|| Failure::usage("usage", message))
}

/// Refuses options that a command would not look at: dropping them would look like a check that passed.
///
/// # Errors
/// A [`Failure`] of usage.
pub(super) fn refuse_given(options: &[(&str, bool)], why: &str) -> Result<(), Failure> {
    match options.iter().find(|(_, is_given)| *is_given) {
        Some((name, _)) => Err(Failure::usage("usage", format!("{name} {why}"))),
        None => Ok(()),
    }
}

/// A key in hex for programs, beside which people see an npub.
pub(super) fn names(keys: impl IntoIterator<Item = nostr::key::PublicKey>) -> String {
    keys.into_iter().map(|key| npub(&key)).collect::<Vec<_>>().join(", ")
}
