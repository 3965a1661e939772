//! Environment variables as a checked set: each is taken once, and what nobody took is an error.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

use protocol::guest::{ENDPOINT_VARIABLE, INTERNAL_RELAY_VARIABLE, TOKEN_VARIABLE};

use super::ConfigError;

/// Variables that begin so are ours, and an unknown one is a typing error.
const PREFIX: &str = "NWC_";
/// Variables without the prefix that we read.
const OTHERS: [&str; 5] =
    ["LOG_FORMAT", "RUST_LOG", ENDPOINT_VARIABLE, TOKEN_VARIABLE, INTERNAL_RELAY_VARIABLE];

pub(super) struct Variables(BTreeMap<String, String>);

impl ConfigError {
    pub(super) fn new(variable: &str, problem: impl fmt::Display) -> Self {
        Self { variable: variable.to_owned(), problem: problem.to_string() }
    }
}

impl Variables {
    /// Picks ours from an environment.
    pub(super) fn collect(all: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let mut ours = BTreeMap::new();
        for (name, value) in all {
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with(PREFIX) && !OTHERS.contains(&name) {
                continue;
            }
            let value = value.into_string().map_err(|_| ConfigError::new(name, "is not UTF-8"))?;
            if value.is_empty() {
                return Err(ConfigError::new(name, "is empty; give it a value or unset it"));
            }
            ours.insert(name.to_owned(), value);
        }
        Ok(Self(ours))
    }

    /// Takes a variable that may be absent.
    pub(super) fn optional<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.0.remove(name) else { return Ok(None) };
        parse(&value).map(Some).map_err(|problem| ConfigError::new(name, problem))
    }

    /// Takes a variable that must be there.
    pub(super) fn required<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?.ok_or_else(|| ConfigError::new(name, "is missing"))
    }

    /// Refuses what nobody took.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        match self.0.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(ConfigError::new(&name, "is no variable of this wallet; correct or unset it")),
        }
    }
}
