//! One keeper: what it promised and what it holds.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::{Epoch, GroupId, Head, Incarnation, MemberId, RecordId, Size, Stamp, View};

/// A value with the time of its writing.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Stamped<T> {
    /// When it was written.
    pub stamp: Stamp,
    /// What was written.
    pub value: T,
}

/// One record, as a replica holds it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Entry<B> {
    /// The highest epoch that was promised; lower ones no longer write.
    pub promised: Epoch,
    /// The owner's data.
    pub body: Option<Stamped<B>>,
    /// The owner's newest state.
    pub head: Option<Stamped<Head>>,
    /// For how many milliseconds whoever wrote last may act, or somebody before it for whom it still waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<Stamped<u64>>,
}

impl<B> Default for Entry<B> {
    fn default() -> Self {
        Self { promised: Epoch::default(), body: None, head: None, lease_ms: None }
    }
}

impl<B> Entry<B> {
    /// Takes over whatever is newer in another replica's entry.
    pub(crate) fn merge(&mut self, other: Self) {
        self.promised = self.promised.max(other.promised);
        newer(&mut self.body, other.body);
        newer(&mut self.head, other.head);
        newer(&mut self.lease_ms, other.lease_ms);
    }
}

/// Replaces a value by a newer one.
pub(crate) fn newer<T>(held: &mut Option<Stamped<T>>, other: Option<Stamped<T>>) {
    let Some(other) = other else { return };
    if held.as_ref().is_none_or(|held| held.stamp < other.stamp) {
        *held = Some(other);
    }
}

/// What a holder asks.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Request<B> {
    /// Opens an epoch, and asks for what is there.
    Prepare {
        /// Which record.
        record: RecordId,
        /// The epoch to open.
        epoch: Epoch,
    },
    /// Writes, or only renews the lease if there is nothing to write.
    Write {
        /// Which record.
        record: RecordId,
        /// The writer's epoch.
        epoch: Epoch,
        /// The group in which the epoch was opened: what was meant for a group that is lost must not
        /// turn up in the next.
        group: GroupId,
        /// The owner's data.
        body: Option<Stamped<B>>,
        /// The owner's newest state.
        head: Option<Stamped<Head>>,
        /// For how many milliseconds others may have to wait for whoever acts now; its stamp is that of
        /// the write, whether it carries anything else or not.
        lease_ms: Stamped<u64>,
    },
}

impl<B> Request<B> {
    /// Which record it is about.
    pub const fn record(&self) -> RecordId {
        match self {
            Self::Prepare { record, .. } | Self::Write { record, .. } => *record,
        }
    }

    /// In which epoch it is made.
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Prepare { epoch, .. } | Self::Write { epoch, .. } => *epoch,
        }
    }
}

/// Who answers, and what it knows of the others.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Origin {
    /// The member.
    pub member: MemberId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// What it knows of the group.
    pub view: View,
}

/// What a replica answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Answer<B> {
    /// The epoch is open; this is what the replica holds.
    Promised(Entry<B>),
    /// Written.
    Written,
    /// A higher epoch was promised.
    Refused {
        /// The higher epoch.
        promised: Epoch,
    },
    /// The write was meant for another group.
    OtherGroup,
}

/// An answer and its sender.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Reply<B> {
    /// Who answers.
    pub from: Origin,
    /// The answer.
    pub answer: Answer<B>,
}

/// A replica that has joined its group.
#[derive(Clone, Debug)]
pub struct Replica<B> {
    pub(crate) size: Size,
    pub(crate) origin: Origin,
    pub(crate) founders: BTreeMap<MemberId, crate::Boot>,
    pub(crate) entries: BTreeMap<RecordId, Entry<B>>,
}

impl<B: Clone> Replica<B> {
    /// The group's size.
    #[must_use]
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Who it is, and what it knows.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// A record, for whoever has to decide whether a request may be handled at all.
    #[must_use]
    pub fn entry(&self, record: RecordId) -> Option<&Entry<B>> {
        self.entries.get(&record)
    }

    /// All records.
    pub fn entries(&self) -> impl Iterator<Item = (&RecordId, &Entry<B>)> {
        self.entries.iter()
    }

    /// The records after this one, in order.
    pub fn entries_after(&self, after: Option<RecordId>) -> impl Iterator<Item = (&RecordId, &Entry<B>)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((from, Bound::Unbounded))
    }

    /// Forgets a record that never had a value, when its time is up. Whoever opened an epoch of it must
    /// not rely on that any more: [`crate::TenureRules::unwritten_ms`].
    pub fn remove(&mut self, record: RecordId) {
        self.entries.remove(&record);
    }

    /// Forgets what a record holds, but neither its newest epoch nor its head: a replica that knew neither
    /// any more would let one that is behind speak for the record.
    pub fn forget_body(&mut self, record: RecordId) {
        if let Some(entry) = self.entries.get_mut(&record) {
            entry.body = None;
        }
    }

    /// Answers a holder.
    pub fn handle(&mut self, request: Request<B>) -> Reply<B> {
        if matches!(&request, Request::Write { group, .. } if *group != self.origin.view.group) {
            return Reply { from: self.origin.clone(), answer: Answer::OtherGroup };
        }
        let entry = self.entries.entry(request.record()).or_default();
        let answer = if request.epoch() < entry.promised {
            Answer::Refused { promised: entry.promised }
        } else {
            entry.promised = request.epoch();
            match request {
                Request::Prepare { .. } => Answer::Promised(entry.clone()),
                Request::Write { body, head, lease_ms, .. } => {
                    newer(&mut entry.body, body);
                    newer(&mut entry.head, head);
                    newer(&mut entry.lease_ms, Some(lease_ms));
                    Answer::Written
                }
            }
        };
        Reply { from: self.origin.clone(), answer }
    }
}
