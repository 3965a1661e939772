//! Queues that are bounded twice: by how many items wait, and by how many bytes they take. A count alone bounds
//! nothing where strangers choose the size.

use std::sync::Arc;

use protocol::event::CheckedEvent;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What an event takes besides its content and its tags: id, key, signature, and where they are kept.
const EVENT_BYTES_MORE: usize = 512;
/// What a string takes besides its text.
const STRING_BYTES_MORE: usize = 32;

/// The end that items are put into. Cheap to clone.
#[derive(Debug)]
pub struct QueueSender<T> {
    items: mpsc::Sender<Queued<T>>,
    room: Arc<Semaphore>,
    bytes_max: u32,
}

impl<T> Clone for QueueSender<T> {
    fn clone(&self) -> Self {
        Self { items: self.items.clone(), room: Arc::clone(&self.room), bytes_max: self.bytes_max }
    }
}

/// The end that they come out of, in their order.
#[derive(Debug)]
pub struct QueueReceiver<T>(mpsc::Receiver<Queued<T>>);

/// An item, and the room that it takes for as long as it waits.
#[derive(Debug)]
struct Queued<T> {
    item: T,
    _room: OwnedSemaphorePermit,
}

/// An item was not put: the queue is full, or nobody reads it any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the queue is full or has no reader")]
pub struct NotQueued;

/// A queue of at most so many items that take at most so many bytes together.
#[must_use]
pub fn queue<T>(items_max: usize, bytes_max: u32) -> (QueueSender<T>, QueueReceiver<T>) {
    let (items, receiver) = mpsc::channel(items_max);
    let room = Arc::new(Semaphore::new(usize::try_from(bytes_max).unwrap_or(usize::MAX)));
    (QueueSender { items, room, bytes_max }, QueueReceiver(receiver))
}

impl<T> QueueSender<T> {
    /// Puts an item of about so many bytes, if there is room now. One that is larger than the whole queue
    /// waits alone in it.
    ///
    /// # Errors
    /// [`NotQueued`].
    pub fn try_put(&self, item: T, bytes: usize) -> Result<(), NotQueued> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(self.taken(bytes)).map_err(|_| NotQueued)?;
        self.items.try_send(Queued { item, _room: room }).map_err(|_| NotQueued)
    }

    /// The same, waiting for room. Those who wait are served in their order.
    ///
    /// # Errors
    /// [`NotQueued`] if nobody reads any more.
    pub async fn put(&self, item: T, bytes: usize) -> Result<(), NotQueued> {
        let room = Arc::clone(&self.room).acquire_many_owned(self.taken(bytes)).await;
        let queued = Queued { item, _room: room.map_err(|_| NotQueued)? };
        self.items.send(queued).await.map_err(|_| NotQueued)
    }

    fn taken(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes_max)
    }
}

impl<T> QueueReceiver<T> {
    /// The next item; none once every sender is gone.
    ///
    /// Cancel-safe: no item is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<T> {
        self.0.recv().await.map(|queued| queued.item)
    }
}

/// About what an event takes in memory.
#[must_use]
pub fn event_bytes(event: &CheckedEvent) -> usize {
    let words = event.tags.iter().flat_map(|tag| tag.as_slice());
    let tags: usize = words.map(|word| word.len() + STRING_BYTES_MORE).sum();
    event.content.len() + tags + EVENT_BYTES_MORE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn queue_is_full_of_bytes_before_it_is_full_of_items_and_the_other_way_round() {
        let (put, mut take) = queue(3, 100);
        assert_eq!(put.try_put(1, 60), Ok(()));
        assert_eq!(put.try_put(2, 60), Err(NotQueued), "no room for its bytes");
        assert_eq!(put.try_put(3, 40), Ok(()));
        assert_eq!((take.next().await, take.next().await), (Some(1), Some(3)));
        for n in 4..7 {
            assert_eq!(put.try_put(n, 1), Ok(()));
        }
        assert_eq!(put.try_put(7, 1), Err(NotQueued), "too many");
        assert_eq!(take.next().await, Some(4));
        assert_eq!(put.try_put(7, 1), Ok(()), "what was refused took no room");
    }

    #[tokio::test]
    async fn item_larger_than_the_queue_waits_alone() {
        let (put, mut take) = queue(3, 100);
        assert_eq!(put.try_put(1, 1), Ok(()));
        assert_eq!(put.try_put(2, 1_000), Err(NotQueued));
        assert_eq!(take.next().await, Some(1));
        assert_eq!(put.try_put(2, 1_000), Ok(()));
        let waiting = tokio::spawn(async move { put.put(3, 1).await });
        assert_eq!((take.next().await, take.next().await), (Some(2), Some(3)));
        assert_eq!(waiting.await.unwrap(), Ok(()));
        assert_eq!(take.next().await, None);
    }
}
