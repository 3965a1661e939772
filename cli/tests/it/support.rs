//! Running the binary in a home of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A home with nothing in it but what the test puts there.
pub(crate) struct Home(TempDir);

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    /// The program, knowing nothing of this machine but the time.
    pub(crate) fn encli(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_encli"));
        command.env_clear().env("HOME", self.0.path()).current_dir(self.0.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        Run::from(self.encli().args(arguments.iter().map(AsRef::as_ref)).output().unwrap())
    }

    /// The same without holding up the relay that serves it.
    pub(crate) async fn run_async<S: AsRef<str>>(&self, arguments: &[S]) -> Run {
        let mut command = tokio::process::Command::from(self.encli());
        Run::from(command.args(arguments.iter().map(AsRef::as_ref)).output().await.unwrap())
    }
}

impl AsRef<Path> for Home {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Run {
    /// The one JSON value of a run that was done.
    #[track_caller]
    pub(crate) fn done(&self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        value
    }

    /// The message of a run that failed with this code, having said nothing else.
    #[track_caller]
    pub(crate) fn refused(&self, code: &str, exit: i32) -> String {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("{self:?}"));
        let error = &value["error"];
        assert_eq!((error["code"].as_str(), self.code), (Some(code), exit), "{self:?}");
        assert_eq!((keys(&value), keys(error)), (vec!["error"], vec!["code", "message"]));
        assert_eq!(self.stderr, "", "{self:?}");
        error["message"].as_str().unwrap().to_owned()
    }
}

/// The names of an object's fields, sorted.
pub(crate) fn keys(value: &Value) -> Vec<&str> {
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}
