//! `lease` and `advance`: the quorum protocol, for those whom the policy allows.

use protocol::rpc::keycrux::{Body, DEALINGS_MAX, Identity, LINEAGE_MAX, Material, Policy};
use protocol::rpc::{Code, Failure};
use quorum::{Answer, Epoch, GroupId, Head, RecordId, Reply, Request, Stamped};
use units::UnixSecs;

use super::{Caller, Store, notes};
use crate::policy::{Grant, Measured, Rules, decide, judge_change};

/// What `advance` writes.
#[derive(Debug)]
pub struct Advance {
    /// The writer's epoch.
    pub epoch: Epoch,
    /// The group in which it was opened.
    pub group: GroupId,
    /// What the record is to hold from now on.
    pub body: Option<Stamped<Body>>,
    /// The newest state.
    pub head: Option<Stamped<Head>>,
}

impl Store {
    /// Opens an epoch, and tells what the record holds.
    ///
    /// # Errors
    /// [`Failure`] with the rule that refuses.
    pub fn lease(
        &mut self,
        caller: &Caller,
        identity: &Identity,
        epoch: Epoch,
        now: UnixSecs,
    ) -> Result<Reply<Body>, Failure> {
        let record = identity.record_id();
        self.authorise(caller, identity, record, now)?;
        self.touch(record, identity, now)?;
        Ok(self.replica_mut()?.handle(Request::Prepare { record, epoch }))
    }

    /// Renews a lease, and writes what there is to write.
    ///
    /// # Errors
    /// [`Failure`] with the rule that refuses, or what is wrong with the body.
    pub fn advance(
        &mut self,
        caller: &Caller,
        identity: &Identity,
        advance: Advance,
        now: UnixSecs,
    ) -> Result<Reply<Body>, Failure> {
        let record = identity.record_id();
        let Advance { epoch, group, mut body, head } = advance;
        let stamps =
            body.as_ref().map(|body| body.stamp).into_iter().chain(head.as_ref().map(|head| head.stamp));
        if stamps.into_iter().any(|stamp| stamp.epoch != epoch) {
            return Err(Failure::new(Code::ParamsInvalid, "a stamp must be of the epoch of the request"));
        }
        self.authorise(caller, identity, record, now)?;
        if let Some(body) = &mut body {
            self.check_body(caller, identity, &body.value, now)?;
            self.keep_shares(record, body);
        }
        self.touch(record, identity, now)?;
        let wrote = body.is_some();
        let reply = self.replica_mut()?.handle(Request::Write { record, epoch, group, body, head });
        if wrote && matches!(reply.answer, Answer::Written) {
            tracing::debug!(%epoch, "a record was written");
        }
        Ok(reply)
    }

    /// Whether the caller may have the record, or may found it if nothing is there.
    fn authorise(
        &mut self,
        caller: &Caller,
        identity: &Identity,
        record: RecordId,
        now: UnixSecs,
    ) -> Result<Grant, Failure> {
        let held = self.replica()?.entry(record).and_then(|entry| entry.body.as_ref());
        let pending = self.notes.get(&record).map_or(&[][..], |note| &note.pending);
        let rules = match held {
            Some(body) => Rules::of(&body.value, pending),
            None => Rules::founding(identity),
        };
        let decision = decide(&rules, &caller.document, &caller.shown, now);
        if let Err(refusal) = &decision
            && let Some(note) = self.notes.get_mut(&record)
            && let Some(build) = Measured::of(&caller.document)
        {
            notes::remember(note, &build, refusal, now);
        }
        Ok(decision?)
    }

    /// Notes that the record is used; refuses a new one for which there is no room.
    fn touch(&mut self, record: RecordId, identity: &Identity, now: UnixSecs) -> Result<(), Failure> {
        let expires_at = now.plus_secs(self.limits.ttl_secs);
        match self.notes.get_mut(&record) {
            Some(note) => note.expires_at = expires_at,
            None => {
                self.check_room(&identity.pcr4)?;
                self.notes.insert(record, notes::new(identity.pcr4, expires_at));
            }
        }
        Ok(())
    }

    /// Checks a body that a holder writes. The holder may have the record as it stands; it must also be
    /// able to get it back as it will be, never makes it older, and meets a policy that it changes.
    fn check_body(
        &self,
        caller: &Caller,
        identity: &Identity,
        body: &Body,
        now: UnixSecs,
    ) -> Result<(), Failure> {
        let invalid = |problem: &str| Failure::new(Code::ParamsInvalid, problem);
        if body.identity != *identity {
            return Err(invalid("body.identity is not the identity of the request"));
        }
        body.policy.check().map_err(|fault| Failure::new(Code::PolicyInvalid, fault.to_string()))?;
        if body.lineage.is_empty() || body.lineage.len() > LINEAGE_MAX {
            return Err(invalid("body.lineage must name at least the writer's build"));
        }
        match &body.material {
            Material::Data(data) => self.check_size(data.expose().len())?,
            Material::Split { threshold, shares } => {
                if *threshold < 2 || shares.len() > 1 || shares.iter().any(|share| share.x == 0) {
                    return Err(invalid("a split record has a threshold of 2 or more, and one share each"));
                }
                shares.iter().try_for_each(|share| self.check_size(share.bytes.expose().len()))?;
            }
        }
        let held = self.entry(identity.record_id()).and_then(|entry| entry.body.as_ref());
        let held = held.map(|held| &held.value);
        if held.and_then(Body::version) > body.version() {
            let reason = "the record has seen a later release than body.lineage names";
            return Err(Failure::new(Code::VersionTooOld, reason));
        }
        let at_once = Policy { min_delay_secs: 0, ..body.policy.clone() };
        let rules = Rules { policy: at_once, ..Rules::of(body, &[]) };
        let grant = decide(&rules, &caller.document, &caller.shown, now)?;
        if held.is_none_or(|held| held.policy != body.policy) {
            decide(&Rules::own(&body.policy, grant.build()), &caller.document, &caller.shown, now)?;
        }
        // What the record's name promises holds from the first write.
        let in_force = held.map_or_else(|| identity.founding_policy(), |held| held.policy.clone());
        judge_change(&in_force, &body.policy, &caller.shown)?;
        Ok(())
    }

    /// In split mode each member keeps its own shares: what is written without one changes none, and a new
    /// one leaves those before it until it is known that enough members have the new ones.
    fn keep_shares(&self, record: RecordId, body: &mut Stamped<Body>) {
        let held = self.entry(record).and_then(|entry| entry.body.as_ref());
        let Some(Material::Split { shares: held, .. }) = held.map(|held| &held.value.material) else {
            return;
        };
        let Material::Split { shares, .. } = &mut body.value.material else { return };
        for share in held {
            if shares.iter().all(|other| other.dealing != share.dealing) {
                shares.push(share.clone());
            }
        }
        shares.sort_by_key(|share| share.dealing);
        let surplus = shares.len().saturating_sub(DEALINGS_MAX);
        shares.drain(..surplus);
    }
}
