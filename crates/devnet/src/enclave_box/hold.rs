//! A box with an engine inside and a registry beside it, held until the owner ends.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::{BoxOptions, EnclaveBox};
use crate::docker::{Engine, EngineOptions};
use crate::helper::HelperBinary;
use crate::lines::write_line;
use crate::registry::Registry;

/// What `box-hold` says when everything runs.
#[derive(Debug, Serialize)]
struct HoldMessage {
    name: String,
    dir: std::path::PathBuf,
    init_pid: u32,
    engine_socket: std::path::PathBuf,
    registry_pid: u32,
}

/// What `box-hold` is told: nothing.
#[derive(Debug, clap::Args)]
pub struct BoxHoldArgs {}

impl BoxHoldArgs {
    /// Holds all three until SIGINT.
    ///
    /// # Errors
    /// When the box or its engine does not come up, or the box does not end cleanly.
    pub(crate) fn run(self) -> Result<ExitCode> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(hold())?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn hold() -> Result<()> {
    // Before anybody is told that it can interrupt.
    let mut interrupted = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let enclave = EnclaveBox::start(BoxOptions::new(HelperBinary::find()?)).await?;
    let registry = Registry::start(&enclave).await?;
    let engine = Engine::start(&enclave, EngineOptions::default()).await?;
    write_line(&HoldMessage {
        name: enclave.name().to_owned(),
        dir: enclave.dir().to_owned(),
        init_pid: enclave.init_pid(),
        engine_socket: engine.socket(),
        registry_pid: registry.pid(),
    })?;
    interrupted.recv().await;
    registry.stop().await?;
    drop(engine);
    enclave.stop().await
}
