//! `/healthz`, `/readyz` and `/metrics`, on an address that strangers cannot reach.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use thiserror::Error;
use tokio::net::TcpListener;

/// How often the samples of histograms are summed up: they are kept until then, whether or not anybody scrapes.
const UPKEEP_EVERY: Duration = Duration::from_secs(10);

/// Whether a service takes work. It starts unready.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets whether the service takes work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::SeqCst);
    }

    /// True if the service takes work.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Health and metrics cannot be served.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The address is not loopback.
    #[error("metrics: {0} is not a loopback address; strangers must not read metrics")]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("metrics: {0} cannot be listened on")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// The recorder cannot be installed.
    #[error("metrics cannot be recorded")]
    Recorder(#[from] BuildError),
}

/// Records metrics and serves them with the health checks on the loopback `address`.
///
/// # Errors
/// [`HealthError`].
pub async fn serve_health(address: SocketAddr, readiness: Readiness) -> Result<(), HealthError> {
    if !address.ip().is_loopback() {
        return Err(HealthError::NotLoopback(address));
    }
    let handle = PrometheusBuilder::new().install_recorder()?;
    let keeping = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            keeping.run_upkeep();
        }
    });
    let listener = TcpListener::bind(address).await.map_err(|e| HealthError::Bind(address, e))?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(readiness)
        .route("/metrics", get(move || render(handle.clone())));
    tokio::spawn(async move {
        if let Err(e) = axum::serve(listener, router).await {
            tracing::error!("health and metrics are not served any more: {e}");
        }
    });
    Ok(())
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, &'static str) {
    if readiness.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn render(handle: PrometheusHandle) -> String {
    // What came since the last time counts, too.
    handle.run_upkeep();
    handle.render()
}
