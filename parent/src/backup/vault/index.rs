//! What is in a vault, in memory.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Bound;

use protocol::parent::backup::{Generation, Head, InstanceId, ObjectId};

use super::{RECORD_BYTES_MAX, read_confirmed};
use crate::backup::record::Record;
use crate::backup::retention::{self, Policy};
use crate::backup::shelf::{Shelf, ShelfError};

pub(super) fn objects(instance: InstanceId) -> String {
    format!("{instance}/objects")
}

pub(super) fn generations(instance: InstanceId) -> String {
    format!("{instance}/generations")
}

pub(super) fn record_path(instance: InstanceId, sequence: u64) -> String {
    format!("{}/{sequence:020}", generations(instance))
}

pub(super) fn confirmed_path(instance: InstanceId) -> String {
    format!("{instance}/confirmed")
}

/// What is in a vault. Generations are in the order of their commits, which is not always that of their
/// numbers: a successor that restored generation 7 makes another 8.
#[derive(Debug, Default)]
pub(super) struct Index {
    sequences: Vec<u64>,
    generations: Vec<Generation>,
    /// How many generations need each object.
    needed: HashMap<ObjectId, u32>,
    there: BTreeSet<ObjectId>,
    /// On their way out: given up here, and perhaps still on the disk.
    going: HashSet<ObjectId>,
    /// What was looked at last.
    checked: Option<ObjectId>,
}

/// Reads the whole vault; returns objects that nothing explains, too.
pub(super) async fn load(
    shelf: &Shelf,
    instance: InstanceId,
    now: u64,
) -> Result<(Index, Vec<ObjectId>), ShelfError> {
    // Somewhere else each time, so that a parent that restarts often looks at everything, too.
    let checked = Some(ObjectId::of(&now.to_be_bytes()));
    let mut index = Index { checked, ..Index::default() };
    let listed = shelf.list(objects(instance)).await?;
    let ages: HashMap<ObjectId, u64> = listed
        .into_iter()
        .filter_map(|entry| Some((entry.name.parse().ok()?, now.saturating_sub(entry.written_at))))
        .collect();
    index.there.extend(ages.keys());
    let mut sequences: Vec<u64> = shelf
        .list(generations(instance))
        .await?
        .into_iter()
        .filter_map(|entry| entry.name.parse().ok())
        .collect();
    sequences.sort_unstable();
    for sequence in sequences {
        if let Some(record) = read_record(shelf, record_path(instance, sequence)).await? {
            index.commit(sequence, &record);
        }
    }
    if let Some(head) = read_confirmed(shelf, confirmed_path(instance)).await?
        && let Some(sequence) = index.find(head)
    {
        index.confirm(sequence);
    }
    let lost = index.needed.keys().filter(|object| !index.there.contains(object)).count();
    if lost > 0 {
        tracing::error!(%instance, objects = lost, "objects of committed backups are not there");
    }
    let leftovers: Vec<_> = ages
        .into_iter()
        .filter(|(object, age)| !index.needed.contains_key(object) && *age >= shelf.leftover_secs())
        .map(|(object, _)| object)
        .collect();
    for object in &leftovers {
        index.give_up(*object);
    }
    Ok((index, leftovers))
}

pub(super) async fn read_record(shelf: &Shelf, path: String) -> Result<Option<Record>, ShelfError> {
    let Some(bytes) = shelf.read(path.clone(), RECORD_BYTES_MAX).await? else { return Ok(None) };
    Record::decode(&bytes).map(Some).map_err(|problem| ShelfError::Damaged { path, problem })
}

impl Index {
    /// The newest last.
    pub(super) fn generations(&self) -> &[Generation] {
        &self.generations
    }

    pub(super) fn has(&self, object: ObjectId) -> bool {
        self.there.contains(&object)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.generations.is_empty() && self.there.is_empty() && self.going.is_empty()
    }

    /// How many objects there are.
    pub(super) fn count(&self) -> usize {
        self.there.len()
    }

    pub(super) fn is_going(&self, object: ObjectId) -> bool {
        self.going.contains(&object)
    }

    /// False if it is on its way out.
    #[must_use]
    pub(super) fn add(&mut self, object: ObjectId) -> bool {
        if self.is_going(object) {
            return false;
        }
        self.there.insert(object);
        true
    }

    /// The object after the one that was looked at last.
    pub(super) fn next_to_check(&mut self) -> Option<ObjectId> {
        let after = self.checked.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.there.range((after, Bound::Unbounded)).next().or_else(|| self.there.first()).copied();
        self.checked = next;
        next
    }

    /// The object is not what it should be, whoever needs it: the next snapshot brings it anew. False if that
    /// is known.
    pub(super) fn lose(&mut self, object: ObjectId) -> bool {
        self.there.remove(&object)
    }

    fn give_up(&mut self, object: ObjectId) {
        self.there.remove(&object);
        self.going.insert(object);
    }

    /// These are on the disk no more.
    pub(super) fn gone(&mut self, objects: &[ObjectId]) {
        for object in objects {
            self.going.remove(object);
        }
    }

    /// The sequence number of the newest commit of `head`.
    pub(super) fn find(&self, head: Head) -> Option<u64> {
        let at = self.generations.iter().rposition(|generation| generation.head == head)?;
        self.sequences.get(at).copied()
    }

    pub(super) fn next_sequence(&self) -> u64 {
        self.sequences.last().map_or(1, |last| last.saturating_add(1))
    }

    pub(super) fn commit(&mut self, sequence: u64, record: &Record) {
        self.sequences.push(sequence);
        let Record { head, committed_at, .. } = *record;
        self.generations.push(Generation { head, committed_at, confirmed: false });
        for object in unique(&record.objects) {
            *self.needed.entry(object).or_default() += 1;
        }
    }

    /// Marks the generation and all before it: the key stores went that way.
    pub(super) fn confirm(&mut self, sequence: u64) {
        let marked = self.sequences.iter().zip(&mut self.generations).filter(|(at, _)| **at == sequence);
        marked.for_each(|(_, generation)| generation.confirmed = true);
    }

    fn confirmed(&self) -> Option<u64> {
        let at = self.generations.iter().rposition(|generation| generation.confirmed)?;
        self.sequences.get(at).copied()
    }

    /// What may go of the generations after the confirmed one.
    pub(super) fn surplus(&self) -> Vec<u64> {
        let confirmed = self.confirmed().unwrap_or(0);
        let all = self.sequences.iter().zip(&self.generations);
        let unconfirmed: Vec<_> = all
            .filter(|(sequence, _)| **sequence > confirmed)
            .map(|(sequence, generation)| (*sequence, generation.head.generation))
            .collect();
        retention::surplus(&unconfirmed)
    }

    pub(super) fn dispensable(&self, policy: Policy, now: u64) -> Vec<u64> {
        let all: Vec<_> = self
            .sequences
            .iter()
            .zip(&self.generations)
            .map(|(sequence, generation)| (*sequence, generation.committed_at))
            .collect();
        policy.dispensable(&all, self.confirmed(), now)
    }

    /// Removes a generation; returns the objects that nothing needs any more, and which are on their way out now.
    pub(super) fn remove(&mut self, sequence: u64, objects: &[ObjectId]) -> Vec<ObjectId> {
        self.forget(sequence);
        let mut unneeded = Vec::new();
        for object in unique(objects) {
            if let Some(count) = self.needed.get_mut(&object) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.needed.remove(&object);
                    self.give_up(object);
                    unneeded.push(object);
                }
            }
        }
        unneeded
    }

    fn forget(&mut self, sequence: u64) {
        if let Some(at) = self.sequences.iter().position(|one| *one == sequence) {
            self.sequences.remove(at);
            self.generations.remove(at);
        }
    }

    /// Gives objects up unless a generation needs them; returns those.
    pub(super) fn abandon(&mut self, objects: Vec<ObjectId>) -> Vec<ObjectId> {
        let unneeded: Vec<_> =
            objects.into_iter().filter(|object| !self.needed.contains_key(object)).collect();
        for object in &unneeded {
            self.give_up(*object);
        }
        unneeded
    }
}

/// A generation needs an object once, however often its list names it.
pub(super) fn unique(objects: &[ObjectId]) -> HashSet<ObjectId> {
    objects.iter().copied().collect()
}
