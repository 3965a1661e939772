//! The smallest guest. Over HTTP on port 8080:
//!
//! - `GET /sign?nonce=…` signs the nonce with the app's key and shows the chain from AWS down to it: an
//!   event that `encli` and the reference's validator verify.
//! - `GET /attest?digest=…` and `GET /fetch?url=…` have the daemon state something, with a proof that
//!   `encli` verifies; `GET /key?path=…` shows the public half of a derived key, `GET /info` what we are.
//! - `GET /note` and `PUT /note` read and write a text in `/data`, to see that a volume lives on.

mod ask;
mod guest;
mod note;
mod sign;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use nostr::key::Keys;
use tokio::net::TcpListener;

use crate::sign::Signer;

const PORT: u16 = 8_080;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    service::init_logs();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let mut termination = service::Termination::listen()?;
    // A new key for each start: what it signs is worth what its certificate says, and that is made anew.
    let keys = Keys::generate();
    let (guest, socket) = guest::from_environment()?;
    let asking = Router::new()
        .route("/info", get(ask::info))
        .route("/attest", get(ask::attest))
        .route("/fetch", get(ask::fetch))
        .route("/key", get(ask::key))
        .with_state(Arc::new(socket));
    let signer = Arc::new(Signer::new(keys, guest).await?);
    let router = Router::new()
        .route("/", get(|| async { "echo: GET /sign?nonce=…, /attest?digest=…, /fetch?url=…, /key?path=…, /info, GET or PUT /note\n" }))
        .route("/sign", get(sign::sign))
        .with_state(signer)
        .merge(asking)
        .route("/note", get(note::read).put(note::write));
    let address = SocketAddr::from(([0, 0, 0, 0], PORT));
    let listener = TcpListener::bind(address).await.with_context(|| address.to_string())?;
    tracing::info!(%address, "echo is ready");
    let ended = async move {
        termination.wait().await;
    };
    axum::serve(listener, router).with_graceful_shutdown(ended).await.context("http")
}
