//! What this key store holds, in memory only: one writer, bounded, wiped when dropped.
//!
//! Two kinds of records, under the same names and rules:
//! - those of `lease` and `advance`, which the group keeps together ([`quorum::Replica`]);
//! - those of `set` and `get`, as the reference has them: each key store for itself, without lease or
//!   head. Their owners write them again now and then, to every key store they find.

mod check;
mod leases;
mod notes;
mod peers;
mod plain;

use std::collections::BTreeMap;

use attestation::{Pcr, VerifiedDocument};
use protocol::rpc::keycrux::{Body, HasReply, HeadReply, Note};
use protocol::rpc::{Code, Failure};
use quorum::{Entry, Joining, Origin, RecordId, Replica};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

use crate::policy::Shown;

pub use check::Which;
pub use leases::Advance;
pub use plain::Plain;

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
    /// For how many seconds a record is kept that nobody uses.
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
    notes: BTreeMap<RecordId, Note>,
    plain: BTreeMap<RecordId, Plain>,
}

impl Store {
    /// A store without records, of an instance that has just started.
    #[must_use]
    pub fn new(limits: Limits, joining: Joining<Body>) -> Self {
        let standing = Standing::Joining(Box::new(joining));
        Self { limits, standing, notes: BTreeMap::new(), plain: BTreeMap::new() }
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

    /// Forgets what nobody used for long enough; returns how many records that were.
    pub fn sweep(&mut self, now: UnixSecs) -> usize {
        let before = self.len();
        self.plain.retain(|_, plain| plain.note.expires_at > now);
        let over = |note: &Note| note.expires_at <= now;
        let forgotten: Vec<_> = self.notes.iter().filter(|(_, note)| over(note)).map(|(id, _)| *id).collect();
        for record in forgotten {
            self.notes.remove(&record);
            if let Standing::Serving(replica) = &mut self.standing {
                replica.remove(record);
            }
        }
        before - self.len()
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
        let notes = self.notes.values().chain(self.plain.values().map(|plain| &plain.note));
        notes.filter(|note| note.pcr4 == *pcr4).count()
    }

    /// Whether there is room for one record more. Nothing makes room: who fills the store keeps others
    /// from coming in, but takes nothing from those who are in.
    fn check_room(&self, pcr4: &Pcr) -> Result<(), Failure> {
        if self.len() >= self.limits.max {
            let reason =
                format!("the store holds {} records and takes no more; try another", self.limits.max);
            return Err(Failure::new(Code::Full, reason));
        }
        if self.of_machine(pcr4) >= self.limits.per_instance_max {
            let most = self.limits.per_instance_max;
            let reason = format!("this machine (PCR4) has {most} records, as many as one may have");
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
