//! The part of the configuration that is about backups.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use service::{ConfigError, SecretRef};
use transport::StreamAddress;
use url::Url;

use super::retention::GENERATIONS_MAX;

/// Where backups come in and where they go.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupConfig {
    /// Where the enclave connects, on a port of its own.
    pub(crate) listen: StreamAddress,
    /// The folder, or …
    #[serde(default)]
    pub(crate) dir: Option<PathBuf>,
    /// … the bucket that keeps them.
    #[serde(default)]
    pub(crate) bucket: Option<BucketConfig>,
    /// The newest acknowledged generation and so many less one before it are kept.
    #[serde(default = "default_keep_count")]
    pub(crate) keep_count: usize,
    /// So are those younger than this many days.
    #[serde(default = "default_keep_days")]
    pub(crate) keep_days: u64,
    /// What stays free on the folder's filesystem, in bytes.
    #[serde(default = "default_min_free_bytes")]
    pub(crate) min_free_bytes: u64,
}

/// An S3-compatible bucket. One parent at a time uses a prefix of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketConfig {
    /// The service's URL; the bucket is a part of its path.
    pub(crate) endpoint: Url,
    /// The bucket's name.
    pub(crate) name: String,
    #[serde(default = "default_region")]
    pub(crate) region: String,
    /// What every key begins with.
    #[serde(default = "default_prefix")]
    pub(crate) prefix: String,
    /// `env:NAME` or `file:PATH`.
    pub(crate) access_key_id: String,
    /// `env:NAME` or `file:PATH`.
    pub(crate) secret_access_key: String,
}

const fn default_keep_count() -> usize {
    16
}

const fn default_keep_days() -> u64 {
    1
}

const fn default_min_free_bytes() -> u64 {
    1 << 30
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn default_prefix() -> String {
    "enclaved".to_owned()
}

impl BackupConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        match (&self.dir, &self.bucket) {
            (Some(dir), None) if !dir.is_dir() => {
                let problem = format!("{} is not a folder; create it", dir.display());
                return Err(ConfigError::field("backup.dir", problem));
            }
            (Some(_), None) => {}
            (None, Some(bucket)) => bucket.check()?,
            (Some(_), Some(_)) | (None, None) => {
                return Err(ConfigError::field("backup", "name either `dir` or `bucket`"));
            }
        }
        // Which one counts, the parent knows from the enclave alone, and a little late: should the key stores name
        // the one before it after all, it is still there.
        if self.keep_count < 2 {
            return Err(ConfigError::field("backup.keep_count", "keep at least 2 generations"));
        }
        if self.keep_count > GENERATIONS_MAX {
            let problem = format!("at most {GENERATIONS_MAX} generations are kept");
            return Err(ConfigError::field("backup.keep_count", problem));
        }
        Ok(())
    }
}

impl BucketConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let is_local = self.endpoint.host_str().is_some_and(|host| {
            host == "localhost"
                || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        });
        if self.endpoint.scheme() != "https" && !(self.endpoint.scheme() == "http" && is_local) {
            let problem = format!("{} is not https; only this machine may be asked in clear", self.endpoint);
            return Err(ConfigError::field("backup.bucket.endpoint", problem));
        }
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !self.prefix.split('/').all(is_part) {
            let problem = "use letters, digits, '-' and '_', divided by '/'";
            return Err(ConfigError::field("backup.bucket.prefix", problem));
        }
        let secrets = [
            ("backup.bucket.access_key_id", &self.access_key_id),
            ("backup.bucket.secret_access_key", &self.secret_access_key),
        ];
        for (field, text) in secrets {
            text.parse::<SecretRef>().map_err(|e| ConfigError::field(field, e.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rest: &str, field: Option<&str>) {
        let text = format!(r#"{{"listen":"unix:/x"{rest}}}"#);
        let config: BackupConfig = serde_json::from_str(&text).unwrap();
        let error = config.check().err().map(|e| e.to_string());
        match (&error, field) {
            (None, None) => {}
            (Some(error), Some(field)) => {
                assert!(error.starts_with(&format!("{field}: ")) && !error.contains("hunter2"), "{error}");
            }
            (None, Some(_)) | (Some(_), None) => panic!("{rest}: {error:?}"),
        }
    }

    #[test]
    fn faults_name_their_field() {
        let bucket = |endpoint: &str, prefix: &str, key: &str| {
            format!(
                r#","bucket":{{"endpoint":"{endpoint}","name":"b","prefix":"{prefix}","access_key_id":"env:ID","secret_access_key":"{key}"}}"#
            )
        };
        check(r#","dir":"/""#, None);
        check("", Some("backup"));
        check(r#","dir":"/nowhere/at/all""#, Some("backup.dir"));
        check(r#","dir":"/","keep_count":1"#, Some("backup.keep_count"));
        check(r#","dir":"/","keep_count":1024"#, None);
        check(r#","dir":"/","keep_count":1025"#, Some("backup.keep_count"));
        check(&bucket("https://s3.example.com", "a/b", "file:/k"), None);
        check(&bucket("http://127.0.0.1:9000", "a", "file:/k"), None);
        check(&bucket("http://[::1]:9000", "a", "file:/k"), None);
        check(&bucket("http://s3.example.com", "a", "file:/k"), Some("backup.bucket.endpoint"));
        check(&bucket("https://s3.example.com", "a/../b", "file:/k"), Some("backup.bucket.prefix"));
        check(&bucket("https://s3.example.com", "a", "hunter2"), Some("backup.bucket.secret_access_key"));
        check(&format!(r#","dir":"/"{}"#, bucket("https://s3.example.com", "a", "file:/k")), Some("backup"));
    }
}
