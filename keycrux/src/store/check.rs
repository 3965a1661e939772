//! `check`: what would happen.

use protocol::rpc::keycrux::{CheckReply, Identity};
use protocol::rpc::{Code, Failure};
use quorum::RecordId;
use units::UnixSecs;

use super::{Store, notes};
use crate::policy::{Basis, Measured, Refusal, Rules, Shown, judge};

impl Store {
    /// Says whether a build would get a record, and if not, which rule refuses. Nothing is released; but
    /// a release that only has to wait is known from now on.
    ///
    /// # Errors
    /// [`Failure`] if there is no such record, or if this key store has not joined its group.
    pub fn check(
        &mut self,
        build: &Measured,
        shown: &Shown,
        identity: Option<&Identity>,
        now: UnixSecs,
    ) -> Result<CheckReply, Failure> {
        let Some(identity) = identity else { return self.check_plain(build, shown, now) };
        let record = identity.record_id();
        self.replica()?;
        let pending = self.notes.get(&record).map_or(&[][..], |note| &note.pending);
        let rules = match (self.entry(record).and_then(|entry| entry.body.as_ref()), self.plain_body(record))
        {
            (Some(body), _) => Rules::of(&body.value, pending),
            (None, Some((body, note))) => Rules::of(body, &note.pending),
            (None, None) => {
                return Err(Failure::new(Code::NotFound, "there is no record of this identity here"));
            }
        };
        let verdict = judge(&rules, build, shown, now);
        self.remember(record, build, &verdict, now);
        Ok(reply(verdict))
    }

    /// The same for the record that `get` would find.
    fn check_plain(&mut self, build: &Measured, shown: &Shown, now: UnixSecs) -> Result<CheckReply, Failure> {
        let of_machine = self.plain.iter().filter(|(_, plain)| plain.note.pcr4 == build.pcr4);
        let verdicts: Vec<(RecordId, Result<Basis, Refusal>)> = of_machine
            .filter_map(|(record, _)| {
                let (body, note) = self.plain_body(*record)?;
                Some((*record, judge(&Rules::of(body, &note.pending), build, shown, now)))
            })
            .collect();
        for (record, verdict) in &verdicts {
            self.remember(*record, build, verdict, now);
        }
        let allowed = verdicts.iter().position(|(_, verdict)| verdict.is_ok()).unwrap_or_default();
        let (_, verdict) = verdicts
            .into_iter()
            .nth(allowed)
            .ok_or_else(|| Failure::new(Code::NotFound, "this machine has no record here"))?;
        Ok(reply(verdict))
    }

    fn remember(
        &mut self,
        record: RecordId,
        build: &Measured,
        verdict: &Result<Basis, Refusal>,
        now: UnixSecs,
    ) {
        let Err(refusal) = verdict else { return };
        if let Some(note) = self.notes.get_mut(&record) {
            notes::remember(note, build, refusal, now);
        } else if let Some(note) = self.plain_note_mut(record) {
            notes::remember(note, build, refusal, now);
        }
    }
}

fn reply(verdict: Result<Basis, Refusal>) -> CheckReply {
    match verdict {
        Ok(basis) => {
            let (reason, version) = match basis {
                Basis::Same => ("it is the build that the record belongs to".to_owned(), None),
                Basis::Release(version) => {
                    (format!("enough maintainers signed release {version}"), Some(version))
                }
            };
            CheckReply { allowed: true, code: "ok".into(), reason, version, not_before: None }
        }
        Err(Refusal { code, reason, not_before, .. }) => {
            CheckReply { allowed: false, code: code.as_str().into(), reason, version: None, not_before }
        }
    }
}
