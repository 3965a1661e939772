//! What this key store holds, in memory only: one writer, bounded, wiped when dropped.
//!
//! Two kinds of records, under the same names and rules:
//! - those of `lease` and `advance`, which the group keeps together ([`quorum::Replica`]);
//! - those of `set` and `get`, as the reference has them: each key store for itself, without lease or
//!   head. Their owners write them again now and then, to every key store they find.

mod check;
mod leases;
mod lineage;
mod notes;
mod peers;
mod plain;

use std::collections::BTreeMap;
use std::time::Duration;

use attestation::{Pcr, VerifiedDocument};
use protocol::rpc::keycrux::{Body, HasReply, HeadReply};
use protocol::rpc::{Code, Failure};
use quorum::{Entry, Joining, Origin, RecordId, Replica};
use serde::{Deserialize, Serialize};

use crate::policy::Shown;
use notes::Noted;

pub use check::Which;
pub use leases::Advance;
pub use plain::Plain;

/// Records that nobody has written yet: a lease alone, which anybody may have for the asking. They have
/// room of their own, so that they take none from records that hold something, and minutes to live.
const UNWRITTEN_MAX: usize = 1_000;
/// Those of one machine, which founds one at a time.
const UNWRITTEN_PER_INSTANCE_MAX: usize = 8;
/// Records that were forgotten but for their newest epoch and head. More are not forgotten: a key store
/// that runs so long must be started anew, and learn from the others.
const TOMBSTONES_MAX: usize = 20_000;

/// Bounds of the store.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Records in all.
    pub max: usize,
    /// Records of one machine, which is as cheap for a stranger as an enclave on it.
    pub per_instance_max: usize,
    /// Longest data, in bytes.
    pub data_bytes_max: usize,
    /// For how many seconds a record is kept that nobody uses. One that nobody has written yet is kept for
    /// minutes.
    pub ttl_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max: 10_000, per_instance_max: 16, data_bytes_max: 1_024, ttl_secs: 30 * 24 * 3_600 }
    }
}

/// An enclave that proved itself, and what it shows.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Its document, made for the key that signed the request.
    pub document: VerifiedDocument,
    /// Its release signatures.
    pub shown: Shown,
}

/// How far this key store is in its group.
#[derive(Debug)]
pub enum Standing {
    /// It has just started and may not be asked yet.
    Joining(Box<Joining<Body>>),
    /// It serves.
    Serving(Box<Replica<Body>>),
}

/// The records.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    standing: Standing,
    /// Besides the replica's entries.
    notes: BTreeMap<RecordId, Noted>,
    plain: BTreeMap<RecordId, Plain>,
    /// For how many seconds this key store has run.
    up_secs: u64,
}

impl Store {
    /// A store without records, of an instance that has just started.
    #[must_use]
    pub fn new(limits: Limits, joining: Joining<Body>) -> Self {
        let standing = Standing::Joining(Box::new(joining));
        Self { limits, standing, notes: BTreeMap::new(), plain: BTreeMap::new(), up_secs: 0 }
    }

    /// Lets time pass: for how long this key store has run, by a clock that only goes on. Ages count by it,
    /// and not by the time of day, which its host may set.
    pub const fn tick(&mut self, up: Duration) {
        self.up_secs = up.as_secs();
    }

    /// Its bounds.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Records that it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.notes.len() + self.plain.len()
    }

    /// True if it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty() && self.plain.is_empty()
    }

    /// Who it is in its group, once it serves.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        match &self.standing {
            Standing::Joining(_) => None,
            Standing::Serving(replica) => Some(replica.origin()),
        }
    }

    /// How many records a machine has.
    #[must_use]
    pub fn has(&self, pcr4: &Pcr) -> HasReply {
        HasReply { count: self.of_machine(pcr4), count_debug: 0 }
    }

    /// What this key store knows of a record's head.
    ///
    /// # Errors
    /// [`Failure`] with [`Code::NotJoined`].
    pub fn head(&self, record: RecordId) -> Result<HeadReply, Failure> {
        let replica = self.replica()?;
        let entry = replica.entry(record).cloned().unwrap_or_default();
        Ok(HeadReply {
            from: replica.origin().clone(),
            promised: entry.promised,
            head: entry.head,
            lineage: entry.body.map(|body| body.value.lineage).unwrap_or_default(),
        })
    }

    /// Forgets what nobody used for long enough; returns how many records that were. Of those that held
    /// something, the newest epoch and head stay for as long as this key store lives.
    pub fn sweep(&mut self) -> usize {
        let (before, up_secs) = (self.len(), self.up_secs);
        self.plain.retain(|_, plain| plain.note.until_secs > up_secs);
        let is_over = |noted: &Noted| noted.until_secs <= up_secs;
        let over: Vec<_> = self.notes.iter().filter(|(_, noted)| is_over(noted)).map(|(id, _)| *id).collect();
        let mut room = TOMBSTONES_MAX.saturating_sub(self.tombstones());
        for record in over {
            let is_known =
                self.entry(record).is_some_and(|entry| entry.body.is_some() || entry.head.is_some());
            if is_known && room == 0 {
                tracing::error!("this key store has forgotten as much as it can; start it anew");
                break;
            }
            self.notes.remove(&record);
            let Standing::Serving(replica) = &mut self.standing else { continue };
            if is_known {
                room -= 1;
                replica.forget_body(record);
            } else {
                replica.remove(record);
            }
        }
        before - self.len()
    }

    /// Records of which nothing is left but the newest epoch and head.
    fn tombstones(&self) -> usize {
        match &self.standing {
            Standing::Serving(replica) => {
                replica.entries().filter(|(record, _)| !self.notes.contains_key(record)).count()
            }
            Standing::Joining(_) => 0,
        }
    }

    fn replica(&self) -> Result<&Replica<Body>, Failure> {
        match &self.standing {
            Standing::Serving(replica) => Ok(replica),
            Standing::Joining(_) => Err(not_serving()),
        }
    }

    fn replica_mut(&mut self) -> Result<&mut Replica<Body>, Failure> {
        match &mut self.standing {
            Standing::Serving(replica) => Ok(replica),
            Standing::Joining(_) => Err(not_serving()),
        }
    }

    fn entry(&self, record: RecordId) -> Option<&Entry<Body>> {
        match &self.standing {
            Standing::Serving(replica) => replica.entry(record),
            Standing::Joining(_) => None,
        }
    }

    fn of_machine(&self, pcr4: &Pcr) -> usize {
        let plain = self.plain.values().map(|plain| &plain.note);
        self.notes.values().chain(plain).filter(|noted| noted.pcr4 == *pcr4).count()
    }

    /// Whether there is room for one record more that holds something, or for one that does not. Nothing
    /// makes room: who fills the store keeps others from coming in, but takes nothing from those who are in.
    fn check_room(&self, pcr4: &Pcr, is_written: bool) -> Result<(), Failure> {
        let (most, most_of_machine) = if is_written {
            (self.limits.max, self.limits.per_instance_max)
        } else {
            (UNWRITTEN_MAX, UNWRITTEN_PER_INSTANCE_MAX)
        };
        let plain = self.plain.values().map(|plain| &plain.note);
        let (mut all, mut of_machine) = (0_usize, 0_usize);
        for noted in self.notes.values().chain(plain).filter(|noted| noted.is_written == is_written) {
            all += 1;
            of_machine += usize::from(noted.pcr4 == *pcr4);
        }
        if all >= most {
            let reason = format!("the store holds {most} such records and takes no more; try another");
            return Err(Failure::new(Code::Full, reason));
        }
        if of_machine >= most_of_machine {
            let reason =
                format!("this machine (PCR4) has {most_of_machine} such records, as many as one may have");
            return Err(Failure::new(Code::InstanceFull, reason));
        }
        Ok(())
    }

    fn check_size(&self, bytes: usize) -> Result<(), Failure> {
        let most = self.limits.data_bytes_max;
        if bytes == 0 || bytes > most {
            let reason = format!("data has {bytes} bytes; 1 to {most} are kept");
            return Err(Failure::new(Code::DataTooLarge, reason));
        }
        Ok(())
    }
}

fn not_serving() -> Failure {
    Failure::new(Code::NotJoined, "this key store has not joined its group yet; try again in a while")
}

#[cfg(test)]
mod tests;
