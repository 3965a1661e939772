//! How a service is asked to end.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end, by SIGTERM or SIGINT.
///
/// # Errors
/// What the operating system says when signals cannot be listened for.
pub async fn terminated() -> std::io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = int.recv() => "SIGINT",
    })
}
