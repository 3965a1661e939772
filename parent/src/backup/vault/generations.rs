//! How generations come and go.

use protocol::parent::backup::{Head, ObjectId, RefusalCode};
use transport::Refusal;

use super::index::{self, Index};
use super::{Vault, failed};
use crate::backup::record::Record;
use crate::backup::shelf::ShelfError;

/// Records that are removed before the disk is made to remember it, and whose ids are in memory meanwhile.
const REMOVED_AT_ONCE: usize = 8;

impl Vault {
    pub(super) async fn commit_generation(&self, head: Head, objects: Vec<ObjectId>) -> Result<(), Refusal> {
        self.sound()?;
        let turn = self.turn.lock().await;
        let Some(sequence) = self.may_commit(head, &objects)? else { return Ok(()) };
        let record = Record { head, committed_at: self.clock.now().0, objects };
        let bytes = record.encode().map_err(|e| {
            tracing::error!("a record cannot be written: {e}");
            Refusal::new(RefusalCode::StoreFailed, "the generation cannot be written down")
        })?;
        // The objects' names first: a record must not survive what it names.
        self.shelf.settle(index::objects(self.instance)).await.map_err(|e| failed(&e))?;
        self.write_within_room(
            bytes.len(),
            self.shelf.write_new(index::record_path(self.instance, sequence), bytes),
        )
        .await?;
        self.shelf.settle(index::generations(self.instance)).await.map_err(|e| failed(&e))?;
        let surplus = {
            let mut index = self.index();
            index.commit(sequence, &record);
            index.surplus()
        };
        tracing::info!(generation = head.generation, objects = record.objects.len(), "a backup is complete");
        if !surplus.is_empty() {
            tracing::warn!(
                generations = surplus.len(),
                "backups that the key stores never took are removed; look at the key stores"
            );
        }
        // The generation is there: what becomes of others is told to the operator alone.
        let unneeded = self.remove_generations(surplus).await.unwrap_or_else(|e| {
            failed(&e);
            Vec::new()
        });
        self.publish();
        drop(turn);
        self.remove_objects(unneeded).await;
        Ok(())
    }

    /// The sequence number of the generation to come; none if it is there.
    fn may_commit(&self, head: Head, objects: &[ObjectId]) -> Result<Option<u64>, Refusal> {
        let index = self.index();
        if index.find(head).is_some() {
            return Ok(None);
        }
        if index::unique(objects).len() != objects.len() {
            return Err(Refusal::new(RefusalCode::BadRequest, "an object is named twice; name each once"));
        }
        let missing = objects.iter().filter(|object| !index.has(**object)).count();
        if missing > 0 || !objects.contains(&head.manifest) {
            let message =
                format!("{missing} objects of {} are not there, or the manifest is not named", objects.len());
            return Err(Refusal::new(RefusalCode::ObjectMissing, message));
        }
        Ok(Some(index.next_sequence()))
    }

    /// Writes less than it lets go of: a full disk is no reason to refuse it.
    pub(super) async fn confirm_generation(&self, head: Head) -> Result<u32, Refusal> {
        self.sound()?;
        let turn = self.turn.lock().await;
        let Some(sequence) = self.index().find(head) else {
            return Err(Refusal::new(
                RefusalCode::NoSuchGeneration,
                "this generation was never committed here",
            ));
        };
        let note = serde_json::to_vec(&head).unwrap_or_default();
        let steps = async {
            self.shelf.write(index::confirmed_path(self.instance), note).await?;
            self.shelf.settle(self.instance.to_string()).await
        };
        steps.await.map_err(|e| failed(&e))?;
        let dispensable = {
            let mut index = self.index();
            index.confirm(sequence);
            index.dispensable(self.policy, self.clock.now().0)
        };
        let removed = u32::try_from(dispensable.len()).unwrap_or(u32::MAX);
        let unneeded = self.remove_generations(dispensable).await.map_err(|e| failed(&e))?;
        self.publish();
        drop(turn);
        self.remove_objects(unneeded).await;
        Ok(removed)
    }

    /// Removes records; returns the objects that nothing needs any more, which are not removed yet. Whoever
    /// calls it has the turn.
    async fn remove_generations(&self, sequences: Vec<u64>) -> Result<Vec<ObjectId>, ShelfError> {
        let mut unneeded = Vec::new();
        for batch in sequences.chunks(REMOVED_AT_ONCE) {
            let mut removed = Vec::new();
            for sequence in batch {
                let path = index::record_path(self.instance, *sequence);
                let record = index::read_record(&self.shelf, path.clone()).await?;
                self.shelf.remove(path).await?;
                removed.push((*sequence, record.map(|record| record.objects).unwrap_or_default()));
            }
            // The records go first: what they named is a leftover from then on.
            self.shelf.settle(index::generations(self.instance)).await?;
            let mut index = self.index();
            for (sequence, objects) in removed {
                unneeded.extend(index.remove(sequence, &objects));
            }
        }
        Ok(unneeded)
    }

    /// Forgets objects that no generation needs.
    pub(super) async fn abandon_objects(&self, objects: Vec<ObjectId>) {
        // A commit of another stream may be about to need them.
        let turn = self.turn.lock().await;
        let unneeded = Index::abandon(&mut self.index(), objects);
        drop(turn);
        if !unneeded.is_empty() {
            tracing::info!(
                objects = unneeded.len(),
                "a backup was not completed; what came of it is removed"
            );
        }
        self.remove_objects(unneeded).await;
    }
}
