//! Watching the daemon's named steps, and killing at them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::World;

impl World {
    /// Where the daemon announces its steps.
    #[must_use]
    pub fn steps_socket(&self) -> PathBuf {
        self.dir().join("steps.sock")
    }
}

/// Hears the daemon's steps. The daemon waits at each until it is let on.
#[derive(Debug)]
pub struct StepWatch {
    listener: UnixListener,
}

/// A step at which the daemon waits.
#[derive(Debug)]
pub struct StepReached {
    /// The step's name.
    pub name: String,
    /// The container's key, hex.
    pub subject: String,
    stream: UnixStream,
}

impl StepWatch {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn new(world: &World) -> Result<Self> {
        let path = world.steps_socket();
        // A watch before this one may have left its socket.
        drop(std::fs::remove_file(&path));
        Ok(Self { listener: UnixListener::bind(&path).with_context(|| path.display().to_string())? })
    }

    /// The next step, at which the daemon now waits.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn next(&self, deadline: Duration) -> Result<StepReached> {
        let accepted = tokio::time::timeout(deadline, self.listener.accept()).await;
        let (stream, _) = accepted.with_context(|| format!("no step within {deadline:?}"))??;
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).await?;
        let Some((name, subject)) = line.trim().split_once(' ') else { bail!("not a step: {line:?}") };
        Ok(StepReached { name: name.to_owned(), subject: subject.to_owned(), stream: reader.into_inner() })
    }
}

impl StepReached {
    /// Lets the daemon on.
    ///
    /// # Errors
    /// When it is gone.
    pub async fn go_on(mut self) -> Result<()> {
        Ok(self.stream.write_all(b".").await?)
    }
}
