//! The ways in besides RPC, opened and closed together: direct messages and HTTP.

use std::sync::Arc;
use std::time::Duration;

use guard::AddressGuard;
use relay::request_log::RequestLog;
use relay::{Pool, PoolError};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use units::Stopwatch;

use crate::api::Api;
use crate::context::Context;
use crate::dm::{Delivery, MessageServer, Speaker};
use crate::http::{self, HttpServer};
use crate::notices::{self, Notice};

/// How long notices of the end may take to be sent.
const TELL_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked whether they are.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A way in cannot be opened.
#[derive(Debug, Error)]
pub(crate) enum DoorError {
    /// The relays cannot be used.
    #[error("messages")]
    Pool(#[from] PoolError),
    /// The address cannot be listened on.
    #[error("http.listen")]
    Listen(#[from] std::io::Error),
}

/// The open ways in.
#[derive(Debug)]
pub(crate) struct Doors {
    ctx: Arc<Context>,
    messages: Option<Arc<MessageServer>>,
    speaker: Option<Arc<Speaker>>,
    http: Option<Arc<HttpServer>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Opens what the configuration names, with the log of messages and requests.
    ///
    /// # Errors
    /// [`DoorError`].
    pub(crate) async fn open(
        api: &Api,
        log: RequestLog,
        pool: Pool,
        notices: mpsc::Receiver<Notice>,
    ) -> Result<Self, DoorError> {
        let ctx = Arc::clone(api.context());
        let log = Arc::new(log);
        let development = ctx.config.development.clone().unwrap_or_default();
        let guard = AddressGuard::with_exceptions(development.addresses);
        let delivery = Delivery::new(pool.clone(), guard, Arc::clone(&ctx));
        let speaker = Speaker::new(Arc::clone(&ctx), delivery);
        let mut doors =
            Self { ctx: Arc::clone(&ctx), messages: None, speaker: None, http: None, tasks: Vec::new() };
        if ctx.config.messages.enabled {
            let server = MessageServer::new(api.clone(), Arc::clone(&speaker), pool, Arc::clone(&log));
            let letters = server.subscribe().await?;
            (doors.messages, doors.speaker) = (Some(Arc::clone(&server)), Some(Arc::clone(&speaker)));
            doors.tasks.push(tokio::spawn(server.run(letters)));
            let (clock, hold) = (Arc::clone(&ctx.clock), ctx.hold.clone());
            doors.tasks.push(tokio::spawn(notices::send(notices, speaker, clock, hold)));
        }
        if let Some(http) = &ctx.config.http {
            let listener = http::listen(http.listen)?;
            let own = || format!("http://{}", std::net::SocketAddr::new(ctx.host, http.listen.port()));
            let server = HttpServer::new(api.clone(), log, http.url.clone().unwrap_or_else(own), http);
            doors.http = Some(Arc::clone(&server));
            doors.tasks.push(tokio::spawn(server.listen(listener)));
        }
        Ok(doors)
    }

    /// Tells owners and clients that the server ends, and gives them a while to hear of it: a third of
    /// what is left before `deadline`, at most what is configured.
    pub(crate) async fn announce_end(&self, deadline: Duration) {
        let waits = (deadline / 3).min(Duration::from_secs(self.ctx.config.launch.drain_secs));
        let at = self.ctx.clock.now().plus_secs(waits.as_secs());
        // Before anybody is counted: what is launched later is refused, and what was launched before is told.
        self.ctx.notices.set_end(at);
        let containers = self.ctx.store.containers().unwrap_or_else(|e| {
            tracing::error!("containers not read: {e}");
            Vec::new()
        });
        self.ctx.notices.ends(at, &containers);
        self.ctx.changes.server();
        let took = Stopwatch::start();
        if let Some(speaker) = &self.speaker {
            let told = async {
                while !self.ctx.notices.are_told() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                speaker.all_sent().await;
            };
            // Whoever cannot be told now finds it in the announcement.
            drop(tokio::time::timeout(TELL_WAIT, told).await);
        }
        tokio::time::sleep(waits.saturating_sub(took.elapsed())).await;
    }

    /// Takes nothing more.
    pub(crate) fn shut(&self) {
        if let Some(http) = &self.http {
            http.end();
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Waits for what is under way.
    pub(crate) async fn drain(&self) {
        let messages = async {
            if let Some(messages) = &self.messages {
                messages.drain().await;
            }
        };
        let http = async {
            if let Some(http) = &self.http {
                http.drain().await;
            }
        };
        tokio::join!(messages, http);
    }
}
