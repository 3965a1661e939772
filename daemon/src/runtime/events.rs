//! Hears from the engine which processes ended.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use nostr::key::PublicKey;
use tokio::sync::mpsc;

use super::LABEL_PUBKEY;

/// Exits that wait for their reader; more than containers fit on a server.
const EXITS_MAX: usize = 1_024;
/// How long to wait before listening again to an engine that is gone.
const LISTEN_AGAIN: Duration = Duration::from_millis(500);

/// What the engine tells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exits {
    /// The process of this container ended.
    One(PublicKey),
    /// The engine was away: look at all of them.
    Unknown,
}

/// Follows the engine's events until the receiver is gone.
#[must_use]
pub fn watch_exits(docker: Docker) -> mpsc::Receiver<Exits> {
    let (exits, receiver) = mpsc::channel(EXITS_MAX);
    tokio::spawn(async move {
        while !exits.is_closed() {
            follow(&docker, &exits).await;
            if exits.send(Exits::Unknown).await.is_err() {
                return;
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    });
    receiver
}

async fn follow(docker: &Docker, exits: &mpsc::Sender<Exits>) {
    let filters = HashMap::from([
        ("type".to_owned(), vec!["container".to_owned()]),
        ("event".to_owned(), vec!["die".to_owned()]),
        ("label".to_owned(), vec![LABEL_PUBKEY.to_owned()]),
    ]);
    let options = EventsOptionsBuilder::default().filters(&filters).build();
    let mut events = docker.events(Some(options));
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(e) => {
                tracing::debug!("the engine's events ended: {e}");
                return;
            }
        };
        let attributes = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
        let Some(pubkey) = attributes.get(LABEL_PUBKEY).and_then(|hex| PublicKey::from_hex(hex).ok()) else {
            continue;
        };
        if exits.send(Exits::One(pubkey)).await.is_err() {
            return;
        }
    }
}
