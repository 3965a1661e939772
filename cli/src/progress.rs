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
            return Doing { spinner: Some(spinner), late: None };
        }
        let late = tokio::spawn(async move {
            tokio::time::sleep(SLOW).await;
            say(&format!("{what} …"));
        });
        Doing { spinner: None, late: Some(late) }
    }

    /// Says something that is to stay.
    pub(crate) fn note(self, text: &str) {
        say(&safe::line(text));
    }
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
