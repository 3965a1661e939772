//! `set` and `get`, as the reference's clients call them.

use protocol::nec::Env;
use protocol::rpc::keycrux::{Body, Build, Identity, Material, Policy, SecretData};
use protocol::rpc::{Code, Failure};
use quorum::RecordId;
use units::UnixSecs;

use super::notes::Noted;
use super::{Caller, Store, notes};
use crate::policy::{Grant, Refusal, Rules, decide, judge_change};

/// A record of one key store alone.
#[derive(Debug)]
pub struct Plain {
    body: Body,
    /// When the document was made with which it was written last: a request that is repeated from an
    /// earlier time changes nothing.
    written_ms: u64,
    pub(super) note: Noted,
}

impl Store {
    /// Keeps `data` for the caller's build, and for those that its policy allows.
    ///
    /// # Errors
    /// [`Failure`]: the data is too large, the policy means nothing or the caller does not meet it, or
    /// the record belongs to others.
    pub fn set(
        &mut self,
        caller: &Caller,
        data: SecretData,
        policy: Option<Policy>,
        now: UnixSecs,
    ) -> Result<(), Failure> {
        self.check_size(data.expose().len())?;
        let policy = policy.unwrap_or_default();
        policy.check().map_err(|fault| Failure::new(Code::PolicyInvalid, fault.to_string()))?;
        let (policy, grant) = meet_own(policy, caller, now)?;
        let identity = Identity::new(grant.build().pcr4, grant.build().pcrs, &policy);
        let record = identity.record_id();
        let written_ms = caller.document.timestamp_ms();
        let mut lineage = Vec::new();
        match self.plain.get_mut(&record) {
            Some(held) => {
                decide_held(held, caller, now)?;
                judge_change(&held.body.policy, &policy, &caller.shown)?;
                if written_ms < held.written_ms {
                    let reason = "the record was written since this request was made; read it first";
                    return Err(Failure::new(Code::RecordNewer, reason));
                }
                lineage.clone_from(&held.body.lineage);
            }
            None => self.check_room(&identity.pcr4, true)?,
        }
        let build = Build { pcrs: grant.build().pcrs, version: grant.version().cloned(), since: now };
        let mut note = Noted::new(identity.pcr4, self.up_secs);
        note.used(true, self.up_secs, self.limits.ttl_secs);
        if let Some(held) = self.plain.remove(&record) {
            note.pending = held.note.pending;
        }
        let mut body = Body { identity, policy, lineage, material: Material::Data(data), shown: Vec::new() };
        body.pass_to(build);
        self.plain.insert(record, Plain { body, written_ms, note });
        Ok(())
    }

    /// The data of the record that the caller may have.
    ///
    /// # Errors
    /// [`Failure`] with the rule that refuses.
    pub fn get(
        &mut self,
        caller: &Caller,
        identity: Option<&Identity>,
        now: UnixSecs,
    ) -> Result<SecretData, Failure> {
        let record = match identity {
            Some(identity) => identity.record_id(),
            None => self.find_plain(caller, now)?,
        };
        let held = self.plain.get_mut(&record).ok_or_else(not_found)?;
        decide_held(held, caller, now)?;
        held.note.used(true, self.up_secs, self.limits.ttl_secs);
        match &held.body.material {
            Material::Data(data) => Ok(data.clone()),
            Material::Split { .. } => Err(not_found()),
        }
    }

    /// The one record that this build may have. Its own comes before those that it inherits; of several
    /// that it could inherit, none: whoever signs for a build could slip it a key of theirs.
    pub(super) fn find_plain(&mut self, caller: &Caller, now: UnixSecs) -> Result<RecordId, Failure> {
        let pcr4 = caller.document.pcr(4);
        let (mut own, mut inherited, mut refused) = (Vec::new(), Vec::new(), None);
        for (record, plain) in &mut self.plain {
            if Some(plain.note.pcr4) != pcr4 {
                continue;
            }
            match decide_held(plain, caller, now) {
                Ok(grant) => {
                    let is_own = plain.body.current().is_some_and(|build| build.pcrs == grant.build().pcrs);
                    if is_own { &mut own } else { &mut inherited }.push((plain.written_ms, *record));
                }
                Err(refusal) => refused = Some(refused.map_or(refusal.clone(), |kept| nearer(kept, refusal))),
            }
        }
        if let Some((_, record)) = own.into_iter().max() {
            return Ok(record);
        }
        match (inherited.as_slice(), refused) {
            ([(_, record)], _) => Ok(*record),
            ([], None) => Err(not_found()),
            ([], Some(refusal)) => Err(refusal.into()),
            (_, _) => {
                let reason = "several records would be released to this build; name one by `identity`";
                Err(Failure::new(Code::RecordAmbiguous, reason))
            }
        }
    }

    pub(super) fn plain_body(&self, record: RecordId) -> Option<(&Body, &Noted)> {
        self.plain.get(&record).map(|plain| (&plain.body, &plain.note))
    }

    pub(super) fn plain_bodies(&self) -> impl Iterator<Item = (RecordId, &Body)> {
        self.plain.iter().map(|(record, plain)| (*record, &plain.body))
    }

    pub(super) fn plain_note_mut(&mut self, record: RecordId) -> Option<&mut Noted> {
        self.plain.get_mut(&record).map(|plain| &mut plain.note)
    }
}

fn decide_held(held: &mut Plain, caller: &Caller, now: UnixSecs) -> Result<Grant, Refusal> {
    let rules = Rules::of(&held.body, &held.note.pending);
    let decision = decide(&rules, &caller.document, &caller.shown, now);
    if let Err(refusal) = &decision
        && let Some(build) = crate::policy::Measured::of(&caller.document)
    {
        notes::remember(&mut held.note, &build, refusal, now);
    }
    decision
}

/// Finds the use (`t`) that the policy leaves out in the releases that the caller shows, and checks that
/// the caller meets its policy.
fn meet_own(mut policy: Policy, caller: &Caller, now: UnixSecs) -> Result<(Policy, Grant), Failure> {
    let measured = crate::policy::Measured::of(&caller.document);
    let measured = measured
        .ok_or_else(|| Failure::new(Code::AttestationInvalid, "the document lacks PCR0, 1, 2 or 4"))?;
    let stated = policy.env;
    let mut refused = None;
    for env in stated.map_or(vec![Env::Prod, Env::Dev], |env| vec![env]) {
        policy.env = policy.follows_releases().then_some(env);
        match decide(&Rules::own(&policy, &measured), &caller.document, &caller.shown, now) {
            Ok(grant) => return Ok((policy, grant)),
            Err(refusal) => refused = Some(refusal),
        }
    }
    Err(refused.map_or_else(not_found, Failure::from))
}

/// Which of two refusals tells more: the one that stands nearer to a yes.
fn nearer(one: Refusal, other: Refusal) -> Refusal {
    let is_other_build = |refusal: &Refusal| refusal.code == Code::PcrMismatch;
    if is_other_build(&one) { other } else { one }
}

fn not_found() -> Failure {
    Failure::new(Code::NotFound, "there is no such record here; it may have been kept elsewhere")
}
