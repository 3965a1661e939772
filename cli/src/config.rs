//! The configuration file and the environment.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Failure;
use crate::output::safe;

/// Longest configuration file, in bytes: it is read whole.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Defaults for options, under the options' own names. Options that stand on the command line count
/// instead of those in the file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct ConfigFile {
    /// `--relay`.
    pub(crate) relay: OneOrMany,
    /// `--json`.
    pub(crate) json: Option<bool>,
    /// `--key`.
    pub(crate) key: Option<String>,
    /// `--trust-root`; relative to the file.
    pub(crate) trust_root: Option<PathBuf>,
    /// `--ref`.
    pub(crate) r#ref: Option<String>,
    /// `--maintainer`.
    pub(crate) maintainer: OneOrMany,
    /// `--threshold`.
    pub(crate) threshold: Option<u64>,
    /// `--pcr`.
    pub(crate) pcr: OneOrMany,
    /// `--allow-debug`.
    pub(crate) allow_debug: Option<bool>,
    /// `--max-age`.
    pub(crate) max_age: Option<u64>,
    /// `--timeout`.
    pub(crate) timeout: Option<u64>,
    /// `--wallet`.
    pub(crate) wallet: Option<String>,
    /// What `encli keycrux` expects, which is another code than the servers'.
    pub(crate) keycrux: KeycruxSection,
}

/// Defaults for the options of `encli keycrux`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct KeycruxSection {
    /// `--ref`.
    pub(crate) r#ref: Option<String>,
    /// `--maintainer`.
    pub(crate) maintainer: OneOrMany,
    /// `--threshold`.
    pub(crate) threshold: Option<u64>,
    /// `--launcher`.
    pub(crate) launcher: OneOrMany,
}

/// Does not show where secrets are said to be: it could be the secret itself.
impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile").field("relay", &self.relay).finish_non_exhaustive()
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "a text or a list of texts")]
pub(crate) enum OneOrMany {
    /// A text.
    One(String),
    /// A list.
    Many(Vec<String>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    /// All of them.
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

impl ConfigFile {
    /// Reads the file that was named, or the one at its usual place, which may be missing. Returns the
    /// folder to which its paths are relative.
    ///
    /// # Errors
    /// A [`Failure`] of usage that names the file and the fault.
    pub(crate) fn read(named: Option<&Path>) -> Result<(Self, PathBuf), Failure> {
        let Some(path) = named.map(Path::to_owned).or_else(|| usual_place().filter(|path| path.exists()))
        else {
            return Ok((Self::default(), PathBuf::new()));
        };
        let text = read_text(&path).map_err(|e| invalid(&path, &format!("it cannot be read: {e}")))?;
        let config = toml::from_str(&text).map_err(|e| invalid(&path, &toml_problem(&text, &e)))?;
        Ok((config, path.parent().map(Path::to_owned).unwrap_or_default()))
    }
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(CONFIG_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn invalid(path: &Path, problem: &str) -> Failure {
    let path = path.display().to_string();
    Failure::usage("config_invalid", format!("{}: {problem}", safe::line(&path)))
}

/// The message and the line, without the line's text: it could hold a secret.
fn toml_problem(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().and_then(|span| text.get(..span.start)).map(|before| before.matches('\n').count() + 1);
    let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    match line {
        Some(line) => format!("line {line}: {message}"),
        None => message,
    }
}

/// `$XDG_CONFIG_HOME/encli/config.toml`, or `~/.config/encli/config.toml` (XDG Base Directory
/// Specification: a relative `XDG_CONFIG_HOME` does not count).
fn usual_place() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    base.map(|base| base.join("encli/config.toml"))
}

/// Whether colours are wanted where they can be shown (no-color.org; a terminal named `dumb` has none).
pub(crate) fn wants_colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
