//! What every command works with.

use std::sync::Arc;
use std::time::Duration;

use guard::AddressGuard;
use nostr::filter::Filter;
use nostr::key::Keys;
use nostr::types::RelayUrl;
use protocol::event::CheckedEvent;
use protocol::nec::Policy;
use relay::Pool;
use tokio::sync::OnceCell;
use units::{Clock, Stopwatch, UnixSecs};

use crate::error::Failure;
use crate::output::{Format, View};
use crate::progress::Progress;
use crate::secrets::KeyRef;
use crate::settings::Settings;

/// Once one relay is there, how long the others may take.
const OTHERS_WAIT: Duration = Duration::from_millis(1_500);
/// How often connections are looked at: there is no event to wait for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How many of a server's own relays are connected to.
const ANNOUNCED_RELAYS_MAX: usize = 8;

/// Settings, clock, output and connections of one run.
#[derive(Debug)]
pub(crate) struct Context {
    /// Options, complete.
    pub(crate) settings: Settings,
    /// How results are written.
    pub(crate) format: Format,
    /// What is going on.
    pub(crate) progress: Progress,
    /// The time.
    pub(crate) clock: Arc<dyn Clock>,
    pool: OnceCell<Pool>,
}

impl Context {
    /// A context without connections.
    pub(crate) fn new(settings: Settings, format: Format, clock: Arc<dyn Clock>) -> Self {
        Self { settings, format, progress: Progress::detect(), clock, pool: OnceCell::new() }
    }

    /// The time.
    pub(crate) fn now(&self) -> UnixSecs {
        self.clock.now()
    }

    /// What evidence must show now.
    ///
    /// # Errors
    /// A [`Failure`] of usage.
    pub(crate) fn policy(&self) -> Result<Policy, Failure> {
        self.settings.policy(self.now())
    }

    /// The user's key.
    ///
    /// # Errors
    /// `key_missing`, or why it cannot be read.
    pub(crate) fn keys(&self) -> Result<Keys, Failure> {
        self.key()?.keys()
    }

    /// Where the user's key is.
    ///
    /// # Errors
    /// `key_missing`.
    pub(crate) fn key(&self) -> Result<&KeyRef, Failure> {
        self.settings.key().ok_or_else(|| {
            Failure::usage(
                "key_missing",
                "this needs your key: make one with `encli key create --out FILE`, then give --key file:FILE, \
                 or write `key = \"file:FILE\"` into the configuration file",
            )
        })
    }

    /// Renders a result.
    ///
    /// # Errors
    /// As [`Format::render`].
    pub(crate) fn render(&self, view: &impl View) -> Result<String, Failure> {
        self.format.render(view, self.now())
    }

    /// Connections to the user's relays, at least one of them up.
    ///
    /// # Errors
    /// `relay_missing` and `relays_unreachable`.
    pub(crate) async fn pool(&self) -> Result<&Pool, Failure> {
        let connect = || async {
            let relays = &self.settings.relays;
            if relays.is_empty() {
                let message = "no relay is named: give --relay URL, or write `relay = [\"wss://…\"]` into the \
                               configuration file";
                return Err(Failure::usage("relay_missing", message));
            }
            let _doing = self.progress.begin("connecting to the relays");
            let pool = Pool::connect(relays.clone()).await?;
            self.wait_connected(&pool, "check --relay and the network").await?;
            Ok(pool)
        };
        self.pool.get_or_try_init(connect).await
    }

    /// Connections to where a server listens: the user's relays if one of them is among its own,
    /// otherwise its own, which only pass if they are on the public internet.
    ///
    /// # Errors
    /// As [`Self::pool`].
    pub(crate) async fn pool_of(&self, announced: &[String]) -> Result<Pool, Failure> {
        let ours: Vec<_> = self.settings.relays.iter().filter_map(|url| plain(url)).collect();
        if announced.is_empty()
            || announced.iter().filter_map(|url| plain(url)).any(|url| ours.contains(&url))
        {
            return self.pool().await.cloned();
        }
        let _doing = self.progress.begin("connecting to the server's relays");
        let relays = announced.iter().filter_map(|url| plain(url)).take(ANNOUNCED_RELAYS_MAX);
        let pool = Pool::builder().guard(AddressGuard::public_only()).relays(relays).build().await?;
        self.wait_connected(&pool, "the server listens on relays that cannot be reached from here").await?;
        Ok(pool)
    }

    /// Connections to relays that something of the user's own names: the wallet, or the bunker.
    ///
    /// # Errors
    /// As [`Self::pool`].
    pub(crate) async fn pool_at(&self, whose: &str, relays: &[RelayUrl]) -> Result<Pool, Failure> {
        let _doing = self.progress.begin(format!("connecting to the {whose}'s relays"));
        let pool = Pool::connect(relays.iter().map(RelayUrl::to_string)).await?;
        self.wait_connected(&pool, &format!("the {whose}'s relays cannot be reached")).await?;
        Ok(pool)
    }

    /// Waits for one relay, and a little longer for the others, which may hold what it does not.
    async fn wait_connected(&self, pool: &Pool, hint: &str) -> Result<(), Failure> {
        let wait = self.settings.relay_wait();
        if !pool.wait_connected(wait).await {
            let names: Vec<_> = pool.status().await.into_iter().map(|relay| relay.url).collect();
            let message = format!("no relay answered within {} s ({})", wait.as_secs(), names.join(", "));
            return Err(Failure::no_answer("relays_unreachable", message).with_hint(hint));
        }
        let all = async {
            while pool.status().await.iter().any(|relay| !relay.connected) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Whoever is not there by then is not waited for.
        drop(tokio::time::timeout(OTHERS_WAIT, all).await);
        Ok(())
    }

    /// What the user's relays hold, newest first.
    ///
    /// # Errors
    /// `no_answer` if none of them answers in time.
    pub(crate) async fn fetch(&self, what: &str, filter: Filter) -> Result<Vec<CheckedEvent>, Failure> {
        let pool = self.pool().await?;
        let _doing = self.progress.begin(format!("asking the relays for {what}"));
        let (wait, took) = (self.settings.relay_wait(), Stopwatch::start());
        let events = pool.fetch(filter, wait).await?;
        if events.is_empty() && took.elapsed() >= wait {
            let message = format!("the relays gave no {what} within {} s", wait.as_secs());
            return Err(Failure::no_answer("no_answer", message).with_hint("try again, or name other relays"));
        }
        Ok(events)
    }
}

/// An address as it is compared with others.
fn plain(url: &str) -> Option<String> {
    Some(RelayUrl::parse(url).ok()?.as_str_without_trailing_slash().to_owned())
}
