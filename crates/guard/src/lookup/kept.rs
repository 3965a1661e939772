//! What names were found to be, for a short while, and which are being looked up.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use units::Stopwatch;

/// Names that are kept or being looked up; a name has at most 253 characters.
const NAMES_MAX: usize = 1_024;
/// How long an answer is kept. No longer than the usual lifetime of a record that somebody is about to change.
const FOUND_KEPT: Duration = Duration::from_secs(60);
/// How long a failure is kept.
const FAILED_KEPT: Duration = Duration::from_secs(10);

type Names = HashMap<String, Name>;

#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Names>>);

enum Name {
    UnderWay(watch::Receiver<()>),
    Known(Answer, Stopwatch),
}

/// An answer as it is kept.
type Answer = Result<Vec<IpAddr>, io::ErrorKind>;

/// How it stands with a name.
pub(super) enum State {
    /// It was looked up lately.
    Known(io::Result<Vec<IpAddr>>),
    /// Somebody looks it up; told when that is over.
    UnderWay(watch::Receiver<()>),
    /// The caller is to look it up.
    New(UnderWay),
    /// So many names are being looked up that this one cannot be.
    TooMany,
}

/// A name that is being looked up. Dropped, it is given up.
pub(super) struct UnderWay {
    kept: Kept,
    name: String,
    /// Dropped last, it tells those who wait.
    end: watch::Sender<()>,
}

impl Kept {
    /// How it stands with `name`. If nothing is known, it is under way from here on.
    pub(super) fn state(&self, name: &str) -> State {
        let mut names = self.names();
        match names.get(name) {
            Some(Name::UnderWay(end)) => return State::UnderWay(end.clone()),
            Some(Name::Known(answer, since)) if is_fresh(answer, since) => {
                return State::Known(answer.clone().map_err(io::Error::from));
            }
            Some(Name::Known(..)) | None => {}
        }
        if names.len() >= NAMES_MAX {
            names.retain(|_, name| match name {
                Name::UnderWay(_) => true,
                Name::Known(answer, since) => is_fresh(answer, since),
            });
        }
        if names.len() >= NAMES_MAX {
            // Whoever floods it makes others ask again, no more.
            names.retain(|_, name| matches!(name, Name::UnderWay(_)));
        }
        if names.len() >= NAMES_MAX {
            return State::TooMany;
        }
        let (end, told) = watch::channel(());
        names.insert(name.to_owned(), Name::UnderWay(told));
        State::New(UnderWay { kept: self.clone(), name: name.to_owned(), end })
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        // Whoever panicked left whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_fresh(answer: &Answer, since: &Stopwatch) -> bool {
    since.elapsed() < if answer.is_ok() { FOUND_KEPT } else { FAILED_KEPT }
}

impl UnderWay {
    /// Told when it is over.
    pub(super) fn end(&self) -> watch::Receiver<()> {
        self.end.subscribe()
    }

    /// Keeps what was found.
    pub(super) fn finish(self, answer: io::Result<Vec<IpAddr>>) {
        let known = Name::Known(answer.map_err(|e| e.kind()), Stopwatch::start());
        self.kept.names().insert(self.name.clone(), known);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut names = self.kept.names();
        if matches!(names.get(&self.name), Some(Name::UnderWay(_))) {
            names.remove(&self.name);
        }
    }
}
