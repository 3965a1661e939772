//! What the daemon wants of its parent, none of which it believes without need.

use tokio::sync::mpsc;
use transport::ParentClient;

/// Lines that wait to be sent. More are dropped and counted: a container that floods its log must not
/// take our memory, nor the parent's disk.
const LINES_MAX: usize = 256;

/// Sends lines to the operator's log without waiting.
#[derive(Clone, Debug)]
pub struct ParentLog(mpsc::Sender<String>);

impl ParentLog {
    /// Starts sending lines to the parent.
    #[must_use]
    pub fn start(parent: ParentClient) -> Self {
        let (lines, mut lines_rx) = mpsc::channel::<String>(LINES_MAX);
        tokio::spawn(async move {
            let mut lost: u64 = 0;
            while let Some(line) = lines_rx.recv().await {
                if let Err(e) = parent.log(line).await {
                    tracing::debug!("a log line did not reach the parent: {e}");
                    metrics::counter!("parent_log_lines_dropped_total").increment(1);
                    lost += 1;
                    continue;
                }
                // Whoever reads the log knows that it has a gap, and where.
                if lost > 0 && parent.log(format!("{lost} lines before the last one were lost")).await.is_ok()
                {
                    lost = 0;
                }
            }
        });
        Self(lines)
    }

    /// Sends one line, or drops it if too many wait.
    pub fn line(&self, line: String) {
        if self.0.try_send(line).is_err() {
            metrics::counter!("parent_log_lines_dropped_total").increment(1);
        }
    }
}
