//! What a backup needs of whoever keeps it.

use super::{Head, ObjectId, StoreError};

/// A store that is not trusted: whatever it says is checked by whoever asked.
///
/// Puts are answered late: an error of one may be told by a later call, at the latest by `commit`.
/// After any error but a refusal the store is unusable.
pub trait BackupStore: Send {
    /// Which of these objects the store says it does not have. Believed to save bytes, no more.
    fn lacking(
        &mut self,
        objects: &[ObjectId],
    ) -> impl Future<Output = Result<Vec<ObjectId>, StoreError>> + Send;

    /// Sends one object.
    fn put(&mut self, object: ObjectId, sealed: &[u8])
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Makes a generation of `objects`, the manifest among them; done when all of it is durable.
    fn commit(
        &mut self,
        head: Head,
        objects: &[ObjectId],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Says that the key stores name `head`, so that older generations may go.
    fn confirm(&mut self, head: Head) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Asks for an object, to be taken in the order of asking.
    fn ask(&mut self, object: ObjectId) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes the oldest object asked for, if it has at most `bytes_max` bytes.
    fn take(&mut self, bytes_max: u32) -> impl Future<Output = Result<Vec<u8>, StoreError>> + Send;
}
