//! What waits for one container's driver. Whoever puts something in never waits: a container that takes long
//! for what it does must not stop those who carry others' commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lifecycle::Event;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{CommandError, Input};

/// Inputs that wait for one container. Events are a handful; whoever sends commands waits for answers.
pub(super) const INPUTS_MAX: usize = 64;
/// So much of it is left to events, however many commands wait.
const EVENTS_RESERVE: usize = 16;

/// What a driver must hear of, however much it has to do. That it came twice is the same as once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum News {
    /// The container's process may have ended.
    Exited,
    /// The container's balance rose.
    BalanceRose,
}

impl News {
    const fn input(self) -> Input {
        match self {
            Self::Exited => Input::Look,
            Self::BalanceRose => Input::Event(Event::BalanceRose),
        }
    }
}

/// The way to a driver.
#[derive(Debug)]
pub(super) struct Inbox {
    inputs: mpsc::Sender<Input>,
    /// Somebody waits with this news already, one each.
    exited_waits: Arc<AtomicBool>,
    balance_waits: Arc<AtomicBool>,
}

impl Inbox {
    pub(super) fn new(inputs: mpsc::Sender<Input>) -> Self {
        Self { inputs, exited_waits: Arc::default(), balance_waits: Arc::default() }
    }

    /// Puts a command in.
    ///
    /// # Errors
    /// [`CommandError::Busy`] if too many wait, [`CommandError::NotFound`] if there is no driver any more.
    pub(super) fn command(&self, input: Input) -> Result<(), CommandError> {
        if self.inputs.capacity() <= EVENTS_RESERVE && !self.inputs.is_closed() {
            return Err(CommandError::Busy);
        }
        self.inputs.try_send(input).map_err(|e| match e {
            TrySendError::Full(_) => CommandError::Busy,
            TrySendError::Closed(_) => CommandError::NotFound,
        })
    }

    /// Puts news in, now or as soon as there is room.
    pub(super) fn tell(&self, news: News) {
        let Err(TrySendError::Full(_)) = self.inputs.try_send(news.input()) else { return };
        let waits = match news {
            News::Exited => Arc::clone(&self.exited_waits),
            News::BalanceRose => Arc::clone(&self.balance_waits),
        };
        if waits.swap(true, Ordering::SeqCst) {
            return;
        }
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let room = inputs.reserve().await;
            // Before it is put in: what happens from now on is told anew.
            waits.store(false, Ordering::SeqCst);
            if let Ok(room) = room {
                room.send(news.input());
            }
        });
    }

    /// Has the driver end once it has done what waits.
    pub(super) async fn shut(&self) {
        // A driver that is gone has nothing to stop.
        drop(self.inputs.send(Input::Shutdown).await);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::deploy::OwnerOrder;

    fn pause() -> Input {
        let owner = nostr::key::Keys::generate().public_key();
        Input::Owner(owner, OwnerOrder::Event(Event::PauseAsked), oneshot::channel().0)
    }

    #[test]
    fn driver_that_takes_nothing_is_busy_and_stops_nobody() {
        let (inputs, driver) = mpsc::channel(INPUTS_MAX);
        let inbox = Inbox::new(inputs);
        for _ in 0..INPUTS_MAX - EVENTS_RESERVE {
            inbox.command(pause()).unwrap();
        }
        assert!(matches!(inbox.command(pause()), Err(CommandError::Busy)));
        // What happens is heard all the same.
        inbox.tell(News::Exited);
        assert_eq!(inbox.inputs.capacity(), EVENTS_RESERVE - 1);
        drop(driver);
        assert!(matches!(inbox.command(pause()), Err(CommandError::NotFound)));
    }

    #[tokio::test]
    async fn news_is_heard_once_there_is_room_and_waits_once() {
        let (inputs, mut driver) = mpsc::channel(1);
        let inbox = Inbox::new(inputs);
        for _ in 0..1_000 {
            inbox.tell(News::Exited);
            inbox.tell(News::BalanceRose);
        }
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(format!("{:?}", driver.recv().await.unwrap()));
        }
        heard.sort();
        assert_eq!(heard, ["Event(BalanceRose)", "Look", "Look"]);
        tokio::task::yield_now().await;
        assert!(driver.try_recv().is_err(), "nothing else waits");
        inbox.tell(News::BalanceRose);
        assert!(driver.recv().await.is_some(), "what comes later is told anew");
    }
}
