//! How a service is asked to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears SIGTERM and SIGINT from the moment it is made: a service that is still starting ends in order,
/// too.
#[derive(Debug)]
pub struct Termination {
    term: Signal,
    int: Signal,
}

impl Termination {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits until the process is asked to end; says by what.
    pub async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
