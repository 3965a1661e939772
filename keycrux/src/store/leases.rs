//! `lease` and `advance`: the quorum protocol, for those whom the policy allows.

use protocol::rpc::keycrux::{
    Body, DEALINGS_MAX, Identity, Input, LEASE_MS_MAX, Material, Pending, Policy, SHOWN_BYTES_MAX, SHOWN_MAX,
};
use protocol::rpc::{Code, Failure};
use quorum::{Answer, Epoch, GroupId, Head, RecordId, Reply, Request, Stamped};
use units::UnixSecs;

use super::notes::Noted;
use super::{Caller, Store, lineage, notes};
use crate::policy::{Grant, Measured, Rules, Shown, decide, judge_change};

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
    /// For how long a successor may have to wait.
    pub lease_ms: Stamped<u64>,
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
        self.admit(record, identity, false)?;
        self.carry_out(Request::Prepare { record, epoch })
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
        let Advance { epoch, group, body, head, lease_ms } = advance;
        let stamps =
            body.as_ref().map(|body| body.stamp).into_iter().chain(head.as_ref().map(|head| head.stamp));
        if stamps.chain([lease_ms.stamp]).any(|stamp| stamp.epoch != epoch) {
            return Err(Failure::new(Code::ParamsInvalid, "a stamp must be of the epoch of the request"));
        }
        if lease_ms.value > LEASE_MS_MAX {
            let reason = format!("lease_ms is more than {LEASE_MS_MAX}: nobody waits so long");
            return Err(Failure::new(Code::ParamsInvalid, reason));
        }
        self.authorise(caller, identity, record, now)?;
        // What is no newer than what is held changes nothing, and need not fit any more.
        let held = self.entry(record).and_then(|entry| entry.body.as_ref()).map(|held| held.stamp);
        let mut body = body.filter(|body| held.is_none_or(|held| held < body.stamp));
        if let Some(body) = &mut body {
            self.check_body(caller, identity, &body.value, now)?;
            self.keep_shares(record, body);
        }
        if head.is_some() && body.is_none() && self.entry(record).is_none_or(|entry| entry.body.is_none()) {
            let reason = "this key store has no body of the record that the head belongs to; write it first";
            return Err(Failure::new(Code::BodyMissing, reason));
        }
        self.admit(record, identity, body.is_some())?;
        let wrote = body.is_some();
        let reply = self.carry_out(Request::Write { record, epoch, group, body, head, lease_ms })?;
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
        identity.founding_policy().check().map_err(|fault| {
            Failure::new(Code::ParamsInvalid, format!("identity.founded cannot be used: {fault}"))
        })?;
        let held = self.replica()?.entry(record).and_then(|entry| entry.body.as_ref());
        let rules = match held {
            Some(body) => Rules::of(&body.value, self.pending(identity)),
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

    /// Releases of a record that wait.
    fn pending(&self, identity: &Identity) -> &[Pending] {
        self.notes.get(&identity.record_id()).map_or(&[], |noted| &noted.pending)
    }

    /// Refuses a record for which there is no room, and notes one that is new.
    fn admit(&mut self, record: RecordId, identity: &Identity, writes: bool) -> Result<(), Failure> {
        let is_known = self.notes.contains_key(&record);
        let is_written = self.notes.get(&record).is_some_and(|noted| noted.is_written);
        if !is_known || (writes && !is_written) {
            self.check_room(&identity.pcr4, writes)?;
        }
        let up_secs = self.up_secs;
        self.notes.entry(record).or_insert_with(|| Noted::new(identity.pcr4, up_secs));
        Ok(())
    }

    /// Carries out what was admitted, and notes that the record was used.
    fn carry_out(&mut self, request: Request<Body>) -> Result<Reply<Body>, Failure> {
        let record = request.record();
        let reply = self.replica_mut()?.handle(request);
        let is_written = self.entry(record).is_some_and(|entry| entry.body.is_some());
        let (up_secs, ttl_secs) = (self.up_secs, self.limits.ttl_secs);
        if let Some(noted) = self.notes.get_mut(&record) {
            noted.used(is_written, up_secs, ttl_secs);
        }
        Ok(reply)
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
        let shown_bytes = serde_json::to_vec(&body.shown).map_or(usize::MAX, |text| text.len());
        if body.shown.len() > SHOWN_MAX || shown_bytes > SHOWN_BYTES_MAX {
            return Err(invalid("body.shown has more events, or longer ones, than are kept"));
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
        let entry = self.entry(identity.record_id());
        let held = entry.and_then(|entry| entry.body.as_ref()).map(|held| &held.value);
        // What the body shows was public before: whoever brings it makes no difference.
        let input = Input { repo: None, release_signatures: body.shown.clone() };
        let shown = caller.shown.clone().and(Shown::read(input)?);
        let rules =
            held.map_or_else(|| Rules::founding(identity), |held| Rules::of(held, self.pending(identity)));
        lineage::check(entry, body, &rules, caller, &shown, now)?;
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
        judge_change(&in_force, &body.policy, &shown)?;
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
