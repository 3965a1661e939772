//! What a container's process wrote: the engine keeps the newest megabyte of it.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::{Stream, StreamExt};
use protocol::rpc::enclaved::{LogLine, LogStream, Logs};

use super::error::is_status;
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// Longest line that is shown, in bytes; more is cut.
const LINE_BYTES_MAX: usize = 4 * 1024;
/// What the lines of one answer may take as JSON, so that it fits into an event.
const ANSWER_BYTES_MAX: usize = 48 * 1024;

impl Runtime {
    /// The newest `lines` of a container's output; or, after the line of the time `after`, the first of
    /// what came since.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn logs(
        &self,
        container: &Container,
        lines: u32,
        after: Option<&str>,
    ) -> Result<Logs, RuntimeError> {
        let tail = if after.is_some() { "all".to_owned() } else { lines.to_string() };
        let options =
            LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).tail(&tail).build();
        let name = plan::container_name(&container.pubkey());
        let mut stream = self.docker().logs(&name, Some(options));
        // Bounded: the engine keeps two files of a size that the plan names.
        let mut all = Vec::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => {
                    all.extend(line(&chunk).filter(|line| after.is_none_or(|at| line.at.as_str() > at)))
                }
                Err(e) if is_status(&e, 404) => return Ok(Logs { lines: Vec::new(), truncated: false }),
                Err(e) => return Err(e.into()),
            }
        }
        let wanted = usize::try_from(lines).unwrap_or(usize::MAX);
        Ok(if after.is_some() { first(all, wanted) } else { last(all, wanted) })
    }

    /// A container's output from now on, until its process ends.
    pub fn follow(&self, container: &Container) -> impl Stream<Item = LogLine> + Send + use<> {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(true)
            .tail("100")
            .build();
        let name = plan::container_name(&container.pubkey());
        let docker = self.docker().clone();
        docker
            .logs(&name, Some(options))
            .filter_map(|chunk| async move { chunk.ok().as_ref().and_then(line) })
    }
}

/// `2026-01-02T03:04:05.123456789Z text`.
fn line(chunk: &LogOutput) -> Option<LogLine> {
    let (stream, bytes) = match chunk {
        LogOutput::StdOut { message } | LogOutput::Console { message } => (LogStream::Stdout, message),
        LogOutput::StdErr { message } => (LogStream::Stderr, message),
        LogOutput::StdIn { .. } => return None,
    };
    let text = String::from_utf8_lossy(bytes);
    let (at, text) = text.split_once(' ')?;
    let text = text.trim_end_matches(['\n', '\r']);
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Some(LogLine { at: at.to_owned(), stream, text: text[..end].to_owned() })
}

fn size(line: &LogLine) -> usize {
    serde_json::to_vec(line).map_or(0, |text| text.len() + 1)
}

fn first(all: Vec<LogLine>, wanted: usize) -> Logs {
    let (mut bytes, count) = (0, all.len());
    let fits = |line: &LogLine| {
        bytes += size(line);
        bytes <= ANSWER_BYTES_MAX
    };
    let lines: Vec<_> = all.into_iter().take(wanted).take_while(fits).collect();
    Logs { truncated: lines.len() < count, lines }
}

fn last(mut all: Vec<LogLine>, wanted: usize) -> Logs {
    all.reverse();
    let mut logs = first(all, wanted);
    logs.lines.reverse();
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize, bytes: usize) -> Vec<LogLine> {
        let line = |i| LogLine { at: format!("{i:09}"), stream: LogStream::Stdout, text: "x".repeat(bytes) };
        (0..count).map(line).collect()
    }

    #[test]
    fn engines_frame_is_a_line() {
        let frame = |text: &str| LogOutput::StdErr { message: text.to_owned().into() };
        let read = line(&frame("2026-01-02T03:04:05.000000001Z two words\r\n")).unwrap();
        assert_eq!((read.at.as_str(), read.text.as_str()), ("2026-01-02T03:04:05.000000001Z", "two words"));
        assert_eq!(read.stream, LogStream::Stderr);
        let long = line(&frame(&format!("t {}é", "x".repeat(LINE_BYTES_MAX - 1)))).unwrap();
        assert_eq!(long.text.len(), LINE_BYTES_MAX - 1, "cut at a character");
        assert_eq!(line(&frame("no-time")), None);
    }

    #[test]
    fn newest_lines_are_kept_and_the_rest_is_said_to_be_missing() {
        let logs = last(lines(10, 1), 3);
        assert_eq!(
            logs.lines.iter().map(|l| l.at.as_str()).collect::<Vec<_>>(),
            ["000000007", "000000008", "000000009"]
        );
        assert!(logs.truncated && !last(lines(3, 1), 3).truncated);
        let logs = first(lines(10, 1), 3);
        assert_eq!((logs.lines[0].at.as_str(), logs.lines.len(), logs.truncated), ("000000000", 3, true));
    }

    #[test]
    fn answer_fits_into_an_event() {
        for text in ["x", "\u{1}"] {
            let all = lines(1_000, 1).into_iter().map(|l| LogLine { text: text.repeat(900), ..l }).collect();
            let logs = last(all, 1_000);
            assert!(logs.truncated && !logs.lines.is_empty());
            assert!(serde_json::to_vec(&logs).unwrap().len() < ANSWER_BYTES_MAX + 100);
        }
    }
}
