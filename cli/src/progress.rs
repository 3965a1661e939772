//! What is going on, on standard error: a spinner where there is a terminal, a plain line for whatever
//! takes longer than two seconds where there is none.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::output::safe;

/// What is faster needs no line.
const SLOW: Duration = Duration::from_secs(2);
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// Tells what is going on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    terminal: bool,
}

impl Progress {
    /// On whatever standard error is.
    pub(crate) fn detect() -> Self {
        Self { terminal: std::io::stderr().is_terminal() }
    }

    /// Something begins; it ends when the result is dropped.
    pub(crate) fn begin(self, what: impl Into<String>) -> Doing {
        let what = safe::line(&what.into()).into_owned();
        if self.terminal {
            let spinner = ProgressBar::new_spinner().with_message(what);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(TURN);
            return Doing { spinner: Some(spinner), late: None, what: String::new() };
        }
        Doing { spinner: None, late: Some(later(what.clone())), what }
    }

    /// Says something that is to stay.
    pub(crate) fn note(self, text: &str) {
        say(&safe::line(text));
    }
}

/// Says what is going on, if it still is by then.
fn later(what: String) -> JoinHandle<()> {
    tokio::spawn(async move {
        tokio::time::sleep(SLOW).await;
        say(&format!("{what} …"));
    })
}

fn say(line: &str) {
    // Nobody may be there to read it.
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// Something that is going on.
#[derive(Debug)]
pub(crate) struct Doing {
    spinner: Option<ProgressBar>,
    late: Option<JoinHandle<()>>,
    /// What the line says, where there is no terminal.
    what: String,
}

impl Doing {
    /// It has come so far.
    pub(crate) fn now(&mut self, what: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(safe::line(what).into_owned());
        } else if self.what != what {
            what.clone_into(&mut self.what);
            let before = self.late.replace(later(self.what.clone()));
            before.iter().for_each(JoinHandle::abort);
        }
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        if let Some(late) = &self.late {
            late.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spinner_of_a_terminal_says_how_far_it_is() {
        let mut doing = Progress { terminal: true }.begin("waiting");
        doing.now("paid");
        assert_eq!(doing.spinner.as_ref().unwrap().message(), "paid");
    }

    #[tokio::test(start_paused = true)]
    async fn line_is_said_for_each_stage_that_takes_long() {
        let mut doing = Progress { terminal: false }.begin("waiting");
        let first = doing.late.as_ref().unwrap().abort_handle();
        doing.now("waiting");
        tokio::time::sleep(SLOW * 2).await;
        assert!(first.is_finished(), "it was said");
        doing.now("paid");
        assert!(!doing.late.as_ref().unwrap().is_finished(), "the next is to be said");
        tokio::time::sleep(SLOW * 2).await;
        assert!(doing.late.as_ref().unwrap().is_finished());
    }
}
