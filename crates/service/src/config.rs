//! Configuration files.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use thiserror::Error;

/// Longest configuration file, in bytes: it is read whole.
const CONFIG_BYTES_MAX: u64 = 1024 * 1024;

/// Why a configuration cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not the JSON that is wanted; says where.
    #[error("{}: {problem}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The field, and what is wrong with it.
        problem: String,
    },
    /// A field's value cannot be used.
    #[error("{field}: {problem}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
}

impl ConfigError {
    /// A field cannot be used.
    pub fn field(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Field { field, problem: problem.into() }
    }
}

/// Reads a JSON file into `T`, whose `deny_unknown_fields` refuses what it does not know.
///
/// # Errors
/// [`ConfigError::Read`] or [`ConfigError::Parse`].
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read_error = |source| ConfigError::Read { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(read_error)?.len();
    if bytes > CONFIG_BYTES_MAX {
        let problem = format!("a configuration of {bytes} bytes; at most {CONFIG_BYTES_MAX} are read");
        return Err(ConfigError::Parse { path: path.to_owned(), problem });
    }
    let text = std::fs::read_to_string(path).map_err(read_error)?;
    serde_json::from_str(&text)
        .map_err(|e| ConfigError::Parse { path: path.to_owned(), problem: e.to_string() })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        port: u16,
    }

    #[test]
    fn faults_name_the_file_and_the_field() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        for (text, part) in [
            (r#"{"port": 1, "prot": 2}"#, "unknown field `prot`"),
            (r#"{"port": "x"}"#, "expected u16"),
            ("{}", "missing field `port`"),
            ("{", "EOF"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read_json::<Config>(&path).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("c.json"), "{error}");
        }
        std::fs::write(&path, r#"{"port": 7}"#).unwrap();
        assert_eq!(read_json::<Config>(&path).unwrap().port, 7);
        assert!(matches!(read_json::<Config>(&dir.path().join("none")), Err(ConfigError::Read { .. })));
    }
}
