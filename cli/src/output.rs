//! How results and errors are written: one value, rendered as JSON for programs or as text for people.

pub(crate) mod page;
pub(crate) mod qr;
pub(crate) mod safe;
pub(crate) mod table;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};
use units::UnixSecs;

pub(crate) use page::{Page, Style};
pub(crate) use table::Table;
pub(crate) use units::calendar as time;

use crate::error::Failure;

/// A result: what is serialised for programs is shown to people.
pub(crate) trait View: Serialize {
    /// Writes it for people.
    fn show(&self, page: &mut Page);
}

/// Who reads standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Format {
    /// One JSON value, for programs.
    pub(crate) json: bool,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    /// Colours are wanted where there is a terminal.
    pub(crate) colour: bool,
}

impl Format {
    /// What standard output is.
    pub(crate) fn detect(json: bool, colour: bool) -> Self {
        Self { json, terminal: std::io::stdout().is_terminal(), colour }
    }

    /// Renders a result.
    ///
    /// # Errors
    /// [`Failure`] if it has no JSON form, which none of ours does.
    pub(crate) fn render(&self, view: &impl View, now: UnixSecs) -> Result<String, Failure> {
        if self.json {
            let text = serde_json::to_string(view)
                .map_err(|e| Failure::refused("output", format!("the result cannot be written: {e}")))?;
            return Ok(format!("{}\n", safe::json(&text)));
        }
        let style = Style { colour: self.terminal && self.colour, terminal: self.terminal };
        let mut page = Page::new(style, now);
        view.show(&mut page);
        Ok(page.into_text())
    }
}

/// A text for people as a JSON value with a name, for programs.
pub(crate) fn named(name: &str, text: &str) -> String {
    let mut value = serde_json::Map::new();
    value.insert(name.to_owned(), Value::from(text.trim_end()));
    format!("{}\n", Value::Object(value))
}

/// Writes a result and ends with 0.
pub(crate) fn succeed(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody reads any more, as behind `head`: nothing can be said to them.
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes an error, as JSON to standard output or as a sentence to standard error, and ends with its
/// exit code.
pub(crate) fn fail(failure: &Failure, as_json: bool) -> ExitCode {
    let written = if as_json {
        let mut error = json!({"error": {"code": failure.code(), "message": failure.advice()}});
        if let (Some(error), Some(Value::Object(detail))) = (error.as_object_mut(), failure.detail()) {
            error.extend(detail.clone());
        }
        writeln!(std::io::stdout(), "{}", safe::json(&error.to_string()))
    } else {
        let help = failure.help().map(|help| format!("{}\n\n", help.trim_end())).unwrap_or_default();
        writeln!(std::io::stderr(), "{help}encli: {} [{}]", safe::line(&failure.advice()), failure.code())
    };
    // The exit code says it too.
    drop(written);
    ExitCode::from(failure.exit().code())
}
