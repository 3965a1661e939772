//! A Nostr relay as a process of its own, reached over WebSocket like any other.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use relay::{LocalRelayLimits, LocalRelayServer};
use tokio::net::TcpListener;

/// What is said on the log once the relay takes connections.
pub const READY_LINE: &str = "relay is ready";

/// Arguments of the subcommand.
#[derive(Debug, clap::Args)]
pub struct RelayArgs {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
}

impl RelayArgs {
    /// Serves until SIGTERM.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn run(self) -> Result<ExitCode> {
        service::init_logs();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut termination = service::Termination::listen()?;
            let listener = TcpListener::bind(self.listen).await.context(self.listen.to_string())?;
            let server = LocalRelayServer::new(LocalRelayLimits::default());
            eprintln_ready(&format!("{READY_LINE} on ws://{}", listener.local_addr()?));
            tokio::select! {
                () = server.listen(listener) => {}
                _ = termination.wait() => {}
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

#[expect(clippy::print_stderr, reason = "the line that says it is ready must not depend on a log filter")]
fn eprintln_ready(line: &str) {
    eprintln!("{line}");
}
