//! What to run.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where programs are looked for. Fixed, so that a world does not depend on who starts it; Debian
/// keeps `dockerd`, `ip` and `mkfs.ext4` in `sbin`.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments and its whole environment: nothing is inherited but what is said
/// here, and `PATH`.
#[derive(Clone)]
pub struct ProcessSpec {
    program: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    dir: Option<PathBuf>,
    hidden: Vec<PathBuf>,
}

impl ProcessSpec {
    /// A program by its path, or by a name that is looked up in the system's usual places.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            hidden: Vec::new(),
        }
    }

    /// Adds an argument. No secrets here: every user of the machine can read arguments.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the working directory; `/` without it.
    #[must_use]
    pub fn current_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Shows the process an empty directory of its own in place of `dir`, so that what it writes
    /// there disappears with it. For processes on the host; a box has such directories anyway.
    #[must_use]
    pub fn hiding(mut self, dir: impl Into<PathBuf>) -> Self {
        self.hidden.push(dir.into());
        self
    }

    /// What to call the process in messages.
    pub(crate) fn name(&self) -> String {
        self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy().into_owned()
    }

    pub(crate) fn hidden(&self) -> &[PathBuf] {
        &self.hidden
    }

    /// The command that runs this through `wrapper`, given as a program and its arguments.
    pub(crate) fn wrapped(&self, wrapper: &Path, wrapper_args: &[OsString]) -> Command {
        let mut command = Command::new(wrapper);
        command
            .args(wrapper_args)
            .arg("--")
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .env("PATH", PATH)
            .envs(&self.env)
            .current_dir(self.dir.as_deref().unwrap_or(Path::new("/")));
        command
    }
}

/// Environment values may be secrets: only their names are shown.
impl fmt::Debug for ProcessSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env_names: Vec<&OsStr> = self.env.keys().map(OsString::as_os_str).collect();
        f.debug_struct("ProcessSpec")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env_names", &env_names)
            .field("dir", &self.dir)
            .field("hidden", &self.hidden)
            .finish()
    }
}
