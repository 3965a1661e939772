//! Carries connections from one address to another: how the wallet's Lightning addresses are reached in a
//! world. (A server publishes no port of its built-ins; in production the ingress will end TLS there.)

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// What is said on the log once connections are taken.
pub(crate) const READY_LINE: &str = "forwarding";

/// Arguments of the subcommand.
#[derive(Debug, clap::Args)]
pub struct ForwardArgs {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Address to connect to.
    #[arg(long)]
    to: SocketAddr,
}

impl ForwardArgs {
    /// Carries until SIGTERM.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn run(self) -> Result<ExitCode> {
        service::init_logs();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut termination = service::Termination::listen()?;
            let listener = TcpListener::bind(self.listen).await.context(self.listen.to_string())?;
            ready_line();
            tokio::select! {
                carried = carry(&listener, self.to) => carried?,
                _ = termination.wait() => {}
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

async fn carry(listener: &TcpListener, to: SocketAddr) -> Result<()> {
    loop {
        let (mut from, _) = listener.accept().await?;
        tokio::spawn(async move {
            let carried = async {
                let mut to = TcpStream::connect(to).await?;
                copy_bidirectional(&mut from, &mut to).await
            };
            // Both ends see that it ended, and why is theirs to say.
            drop(carried.await);
        });
    }
}

#[expect(clippy::print_stderr, reason = "the line that says it is ready must not depend on a log filter")]
fn ready_line() {
    eprintln!("{READY_LINE}");
}
