//! What people write to a server in direct messages: the grammar, without I/O.
//!
//! ```text
//! help | price | list
//! deploy IMAGE [units N] [name X] [env K=V …] [port N …] [volume PATH …] [egress none|all]
//!              [upgrade none|owner|auto] [logs on|off] [exec on|off] [args …]
//! status | pause | resume | terminate | verify      [CONTAINER]
//! logs [N] [CONTAINER]      topup N [CONTAINER]      upgrade IMAGE [CONTAINER]
//! ```
//!
//! Words are separated by white space; single or double quotes keep a word together. Names of commands
//! and of their parts are read in any case. CONTAINER is a name or a key, after the word `on` or without
//! it; who has one container need not name it.

mod deploy;
mod mention;
mod words;

use nostr::key::PublicKey;
use thiserror::Error;

pub use deploy::write as deploy_text;
pub use mention::{MentionKeys, after_mention};

use crate::rpc::enclaved::{LOG_LINES_MAX, LaunchParams};
use crate::rpc::{Code, Failure};
use words::Words;

/// Longest message that is read, in bytes: a whole launch fits, a book does not.
pub const TEXT_BYTES_MAX: usize = 40 * 1024;
/// Most satoshi of one top-up: a tenth of a bitcoin.
const TOPUP_SATS_MAX: i64 = 10_000_000;
/// Longest name of a container, as a launch may give it.
const NAME_CHARS_MAX: usize = 64;

/// The commands, as `help` shows them.
pub const HELP: &str = "\
deploy IMAGE [units N] [name X] [env K=V …] [port N …] [volume PATH …] [egress none|all] \
[upgrade none|owner|auto] [args …] — launch a container; the answer is an invoice
price — what a unit is and costs
list — your containers
status — everything about one
topup N — an invoice over N sat for its balance
logs [N] — the last lines that it wrote
pause, resume — stop its process, start it again
upgrade IMAGE — run another image on its data
terminate — end it and wipe its data
verify — how to check what runs
Who has several containers puts the name or key of one behind the command: status blog";

/// Which container a command is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The only one that the writer has.
    Only,
    /// The one with this name.
    Named(String),
    /// The one with this key.
    Key(PublicKey),
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub enum Command {
    /// The commands.
    Help,
    /// What a unit is and costs.
    Price,
    /// A launch.
    Deploy(Box<LaunchParams>),
    /// The writer's containers.
    List,
    /// Everything about one.
    Status(Target),
    /// An invoice for its balance.
    Topup {
        /// How much, in satoshi.
        sats: i64,
        /// Whose.
        target: Target,
    },
    /// What it wrote.
    Logs {
        /// How many lines, if that is said.
        lines: Option<u32>,
        /// Whose.
        target: Target,
    },
    /// Stop its process.
    Pause(Target),
    /// Start it again.
    Resume(Target),
    /// Another image on its data.
    Upgrade {
        /// The image, as a reference.
        image: String,
        /// Whose.
        target: Target,
    },
    /// End it.
    Terminate(Target),
    /// How to check what runs.
    Verify(Target),
}

impl Command {
    /// The name of the command, for metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Price => "price",
            Self::Deploy(_) => "deploy",
            Self::List => "list",
            Self::Status(_) => "status",
            Self::Topup { .. } => "topup",
            Self::Logs { .. } => "logs",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Upgrade { .. } => "upgrade",
            Self::Terminate(_) => "terminate",
            Self::Verify(_) => "verify",
        }
    }
}

/// Why a message is not a command.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum ParseError {
    /// It does not begin with a command.
    #[error("{0:?} is not a command")]
    NotACommand(String),
    /// It begins with one, and goes on as none does.
    #[error(transparent)]
    Wrong(#[from] Failure),
}

impl ParseError {
    fn wrong(message: impl Into<String>) -> Self {
        Self::Wrong(Failure::new(Code::ParamsInvalid, message))
    }
}

/// Reads a message.
///
/// # Errors
/// [`ParseError`]; a sentence for who wrote it.
pub fn parse(text: &str) -> Result<Command, ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the message has more than {TEXT_BYTES_MAX} bytes");
        return Err(ParseError::Wrong(Failure::new(Code::RequestTooLarge, message)));
    }
    let mut words = Words::split(text)?;
    let Some(first) = words.next() else { return Err(ParseError::NotACommand(String::new())) };
    let name = first.strip_prefix('/').unwrap_or(&first).to_lowercase();
    let command = match name.as_str() {
        "help" | "start" | "?" => Command::Help,
        "price" | "prices" => Command::Price,
        "deploy" | "launch" => return Ok(Command::Deploy(Box::new(deploy::parse(words)?))),
        "list" | "ls" => Command::List,
        "status" => Command::Status(target(&mut words)?),
        "topup" => topup(&mut words)?,
        "logs" => logs(&mut words)?,
        "pause" => Command::Pause(target(&mut words)?),
        "resume" => Command::Resume(target(&mut words)?),
        "upgrade" => {
            let image = words.next().ok_or_else(|| ParseError::wrong("say which image: upgrade IMAGE"))?;
            Command::Upgrade { image, target: target(&mut words)? }
        }
        "terminate" => Command::Terminate(target(&mut words)?),
        "verify" => Command::Verify(target(&mut words)?),
        _ => return Err(ParseError::NotACommand(shown(&first))),
    };
    match words.next() {
        None => Ok(command),
        Some(extra) => {
            Err(ParseError::wrong(format!("{:?} is one word too many after {name}", shown(&extra))))
        }
    }
}

fn target(words: &mut Words) -> Result<Target, ParseError> {
    let mut word = words.next();
    if word.as_deref().is_some_and(|word| word.eq_ignore_ascii_case("on")) {
        word = Some(words.next().ok_or_else(|| ParseError::wrong("say which container comes after `on`"))?);
    }
    let Some(word) = word else { return Ok(Target::Only) };
    if let Ok(key) = PublicKey::parse(word.strip_prefix("nostr:").unwrap_or(&word)) {
        return Ok(Target::Key(key));
    }
    if word.chars().count() > NAME_CHARS_MAX {
        return Err(ParseError::wrong(format!("{:?} is neither a name nor a key", shown(&word))));
    }
    Ok(Target::Named(word))
}

fn topup(words: &mut Words) -> Result<Command, ParseError> {
    let wrong = || {
        ParseError::wrong(format!(
            "say how many satoshi, a whole number from 1 to {TOPUP_SATS_MAX}: topup 500"
        ))
    };
    let sats: i64 = words.next().and_then(|word| word.parse().ok()).ok_or_else(wrong)?;
    if !(1..=TOPUP_SATS_MAX).contains(&sats) {
        return Err(wrong());
    }
    words.skip_if(|word| matches!(word, "sat" | "sats"));
    Ok(Command::Topup { sats, target: target(words)? })
}

fn logs(words: &mut Words) -> Result<Command, ParseError> {
    let number = words.peek().filter(|word| word.chars().all(|c| c.is_ascii_digit())).map(str::to_owned);
    let lines = match number {
        Some(number) => {
            words.next();
            let lines = number.parse().ok().filter(|lines| (1..=LOG_LINES_MAX).contains(lines));
            Some(lines.ok_or_else(|| {
                ParseError::wrong(format!("logs: a number of lines from 1 to {LOG_LINES_MAX} is wanted"))
            })?)
        }
        None => None,
    };
    Ok(Command::Logs { lines, target: target(words)? })
}

/// A stranger's word, short enough to be shown.
fn shown(word: &str) -> String {
    word.chars().take(32).collect()
}

#[cfg(test)]
mod tests;
