//! `check`: what would happen.

use nostr::event::EventId;
use protocol::rpc::keycrux::{Body, CheckReply, Identity};
use protocol::rpc::{Code, Failure};
use quorum::RecordId;
use units::UnixSecs;

use super::{Store, notes};
use crate::policy::{Basis, Measured, Refusal, Rules, Shown, judge};

/// Which record somebody asks about.
#[derive(Clone, Copy, Debug)]
pub enum Which<'w> {
    /// This one.
    Named(&'w Identity),
    /// The one that this fresh start founded.
    Genesis(EventId),
    /// The only one that the machine has.
    Only,
}

impl Store {
    /// Says whether a build would get a record, and if not, which rule refuses. Nothing is released; but
    /// a release that only has to wait is known from now on.
    ///
    /// # Errors
    /// [`Failure`] if there is no such record, or more than one, or if this key store has not joined its
    /// group.
    pub fn check(
        &mut self,
        build: &Measured,
        shown: &Shown,
        which: Which<'_>,
        now: UnixSecs,
    ) -> Result<CheckReply, Failure> {
        self.replica()?;
        let record = self.find(build, which)?;
        let pending = self.notes.get(&record).map_or(&[][..], |note| &note.pending);
        let rules = match (self.entry(record).and_then(|entry| entry.body.as_ref()), self.plain_body(record))
        {
            (Some(body), _) => Rules::of(&body.value, pending),
            (None, Some((body, note))) => Rules::of(body, &note.pending),
            (None, None) => return Err(not_found()),
        };
        let verdict = judge(&rules, build, shown, now);
        self.remember(record, build, &verdict, now);
        Ok(reply(record, verdict))
    }

    fn find(&self, build: &Measured, which: Which<'_>) -> Result<RecordId, Failure> {
        let is_meant = |body: &Body| match which {
            Which::Named(identity) => body.identity == *identity,
            Which::Genesis(genesis) => {
                body.identity.pcr4 == build.pcr4 && body.identity.genesis == Some(genesis)
            }
            Which::Only => body.identity.pcr4 == build.pcr4,
        };
        if let Which::Named(identity) = which {
            return Ok(identity.record_id());
        }
        let of_group = self.replica()?.entries().filter_map(|(record, entry)| {
            entry.body.as_ref().filter(|body| is_meant(&body.value)).map(|_| *record)
        });
        let alone = self.plain_bodies().filter(|(_, body)| is_meant(body)).map(|(record, _)| record);
        let mut found: Vec<RecordId> = of_group.chain(alone).collect();
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [] => Err(not_found()),
            [record] => Ok(*record),
            [..] => {
                let reason = format!(
                    "this machine has {} records here; name one by its genesis event, or by `identity`",
                    found.len()
                );
                Err(Failure::new(Code::RecordAmbiguous, reason))
            }
        }
    }

    fn remember(
        &mut self,
        record: RecordId,
        build: &Measured,
        verdict: &Result<Basis, Refusal>,
        now: UnixSecs,
    ) {
        let Err(refusal) = verdict else { return };
        // What one key store keeps alone may have the name of what it keeps with the others.
        if let Some(note) = self.notes.get_mut(&record) {
            notes::remember(note, build, refusal, now);
        }
        if let Some(note) = self.plain_note_mut(record) {
            notes::remember(note, build, refusal, now);
        }
    }
}

fn not_found() -> Failure {
    Failure::new(Code::NotFound, "there is no such record here; check the machine, and the genesis event")
}

fn reply(record: RecordId, verdict: Result<Basis, Refusal>) -> CheckReply {
    match verdict {
        Ok(basis) => {
            let (reason, version) = match basis {
                Basis::Same => ("it is the build that the record belongs to".to_owned(), None),
                Basis::Release(version) => {
                    (format!("enough maintainers signed release {version}"), Some(version))
                }
            };
            CheckReply { allowed: true, code: "ok".into(), reason, version, record, not_before: None }
        }
        Err(Refusal { code, reason, not_before, .. }) => CheckReply {
            allowed: false,
            code: code.as_str().into(),
            reason,
            version: None,
            record,
            not_before,
        },
    }
}
