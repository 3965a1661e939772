//! Turning a name into addresses.

mod kept;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;

use kept::{Kept, State, UnderWay};

/// The answer of a [`Lookup`], in the making.
pub type LookupFuture = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Something that is kept for as long as anything works on a name, and then dropped.
pub type Hold = Box<dyn Send>;

/// A resolver of names. Its answers are not trusted: the guard checks each address.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// All addresses of `name`, a valid DNS name.
    fn lookup(&self, name: &str) -> LookupFuture;

    /// The same, and drops `hold` when nothing works on the name any more: that may be long after whoever asked
    /// has given up.
    fn lookup_holding(&self, name: &str, hold: Hold) -> LookupFuture {
        let looking = self.lookup(name);
        Box::pin(async move {
            let found = looking.await;
            drop(hold);
            found
        })
    }
}

/// Names that are looked up at once, each on a thread. The system's resolver cannot be interrupted, and strangers
/// choose names whose servers never answer.
const THREADS_MAX: usize = 8;

/// What asks the operating system, for as long as it takes.
type Resolve = fn(&str) -> io::Result<Vec<IpAddr>>;

/// The resolver of the operating system.
///
/// It has a few threads of its own, so that slow names hold up nothing but other names; it asks once for a name
/// that several want, and keeps answers for a minute.
#[derive(Clone)]
pub struct SystemLookup {
    resolve: Resolve,
    threads: Arc<Semaphore>,
    kept: Kept,
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::with(|name| Ok((name, 0).to_socket_addrs()?.map(|socket| socket.ip()).collect()))
    }
}

impl SystemLookup {
    /// The same with so many threads at most, for those whose callers have places of their own.
    #[must_use]
    pub fn with_threads(self, threads: usize) -> Self {
        Self { threads: Arc::new(Semaphore::new(threads)), ..self }
    }

    fn with(resolve: Resolve) -> Self {
        Self { resolve, threads: Arc::new(Semaphore::new(THREADS_MAX)), kept: Kept::default() }
    }

    /// Asks on a thread of its own, which keeps its place until the system has answered, whoever still waits.
    async fn ask(self, name: String, under_way: UnderWay, hold: Option<Hold>) {
        // It is never closed. Whoever stops waiting here gives up the name, too.
        let Ok(place) = Arc::clone(&self.threads).acquire_owned().await else { return };
        let resolve = self.resolve;
        let asking = thread::Builder::new().name("lookup".to_owned()).spawn(move || {
            under_way.finish(resolve(&name));
            drop((place, hold));
        });
        // Without a thread the name is given up; it may be asked for again.
        drop(asking);
    }
}

impl SystemLookup {
    async fn look_up(self, name: String, mut hold: Option<Hold>) -> io::Result<Vec<IpAddr>> {
        // Whoever asked before may give up before there was a thread; then it is the next one's turn.
        loop {
            match self.kept.state(&name) {
                State::Known(answer) => return answer,
                State::UnderWay(mut end) => drop(end.changed().await),
                State::New(under_way) => {
                    let mut end = under_way.end();
                    self.clone().ask(name.clone(), under_way, hold.take()).await;
                    drop(end.changed().await);
                }
                State::TooMany => {
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, "too many names are looked up"));
                }
            }
        }
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> LookupFuture {
        Box::pin(self.clone().look_up(name.to_ascii_lowercase(), None))
    }

    fn lookup_holding(&self, name: &str, hold: Hold) -> LookupFuture {
        Box::pin(self.clone().look_up(name.to_ascii_lowercase(), Some(hold)))
    }
}

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
