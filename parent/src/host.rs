//! Answers the enclave's calls.

use std::sync::Arc;
use std::time::Duration;

use protocol::parent::backup::InstanceId;
use protocol::parent::{BackupHint, Call, IpAddress, Outcome};
use serde::Serialize;
use transport::{ParentHandler, Pusher};
use units::Clock;

use crate::backup::Backups;
use crate::config::Config;
use crate::log_rate::{LogRate, Verdict};
use crate::meta;

/// Longest log line that is written, in characters; the enclave's containers fill them.
const LINE_CHARS_MAX: usize = 4_096;

/// The parent's side of the calls.
#[derive(Debug)]
pub(crate) struct Host {
    config: Config,
    backups: Option<Arc<Backups>>,
    clock: Arc<dyn Clock>,
    rate: LogRate,
}

impl Host {
    pub(crate) fn new(config: Config, backups: Option<Arc<Backups>>, clock: Arc<dyn Clock>) -> Self {
        Self { config, backups, clock, rate: LogRate::default() }
    }

    fn log(&self, message: &str) -> Outcome {
        let Verdict::Write { dropped } = self.rate.line(self.clock.now_ms()) else {
            metrics::counter!("enclave_log_lines_dropped_total").increment(1);
            return Outcome::Error("too many lines; this one was not written".to_owned());
        };
        if dropped > 0 {
            tracing::warn!("{dropped} lines of the enclave were not written: they came too fast");
        }
        tracing::info!(target: "enclave", "{}", printable(message));
        result(&())
    }

    async fn has_backup(&self, instance: InstanceId) -> Outcome {
        let Some(backups) = &self.backups else {
            return result(&BackupHint { has_backup: false, generation: None });
        };
        match backups.hint(instance).await {
            Ok(hint) => result(&hint),
            Err(refusal) => Outcome::Error(refusal.message),
        }
    }
}

impl ParentHandler for Host {
    async fn handle(&self, call: Call) -> Outcome {
        match call {
            Call::GetMeta { .. } => match meta::read(&self.config) {
                Ok(meta) => result(&meta),
                Err(e) => {
                    tracing::error!("get_meta: {e}");
                    Outcome::Error(e.to_string())
                }
            },
            Call::GetIp => result(&IpAddress { ip: self.config.ip }),
            Call::HasBackup { instance } => self.has_backup(instance).await,
            Call::Log { message } => self.log(&message),
        }
    }
}

fn result(value: &impl Serialize) -> Outcome {
    serde_json::to_value(value).map_or_else(|e| Outcome::Error(e.to_string()), Outcome::Result)
}

/// One line, without what a terminal would obey.
fn printable(text: &str) -> String {
    text.chars().take(LINE_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Waits until every enclave that was told of the shutdown has closed its connection.
pub(crate) async fn wait_for_enclaves(told: usize, deadline_secs: u64, pusher: &Pusher) {
    if told == 0 {
        return;
    }
    let gone = async {
        while pusher.connected() > 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(deadline_secs), gone).await.is_err() {
        tracing::warn!("the enclave did not end within {deadline_secs} s");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn flood_of_lines_is_refused() {
        let config = r#"{"listen":"unix:/x","instance_dir":"/","ip":"198.18.0.1"}"#;
        let clock = Arc::new(units::ManualClock::at(units::UnixSecs(5)));
        let host = Host::new(serde_json::from_str(config).unwrap(), None, clock);
        let mut refused = 0;
        for _ in 0..1_200 {
            let outcome = host.handle(Call::Log { message: "x".into() }).await;
            refused += usize::from(matches!(outcome, Outcome::Error(_)));
        }
        assert_eq!(refused, 200);
    }

    #[test]
    fn log_lines_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a [2Jb c");
        assert_eq!(printable(&"x".repeat(5_000)).len(), LINE_CHARS_MAX);
    }
}
