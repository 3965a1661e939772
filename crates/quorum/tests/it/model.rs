//! A group, its holders and a hostile network, driven by a seed. What must always hold is checked after
//! every step.

use std::collections::{BTreeMap, BTreeSet};

use quorum::{
    Boot, Epoch, GroupId, Head, Joining, Lost, MemberId, PeerReply, PeerRequest, RecordId, Replica, Reply,
    Request, Size, Stage, Tenure, TenureRules,
};

use crate::rng::Rng;

/// The shortest lease of a holder, and the longest.
const LEASES_MS: [u64; 2] = [40, 120];
/// How long a holder of a record that nobody wrote may go unheard; replicas forget after twice as long.
const UNWRITTEN_MS: u64 = 130;
const RECORD: RecordId = RecordId([7; 32]);

/// The owner's data in the model: who wrote it.
pub(crate) type Body = u64;

/// A rule that is taken away, to see that the model notices.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Without {
    Nothing,
    /// Replies do not tell of later lives.
    Views,
    /// Successors do not wait.
    Waiting,
    /// Successors wait for as long as their own lease, not for as long as the one before them had.
    OthersLease,
    /// Replicas keep an old memory when they restart, and join nobody.
    Joining,
}

pub(crate) enum Life {
    Joining(Joining<Body>),
    Serving(Replica<Body>),
    Dead,
}

/// One instance of a member. Several of one member may live at once.
pub(crate) struct Instance {
    pub(crate) member: usize,
    pub(crate) life: Life,
    pub(crate) side: usize,
    /// What it held some time ago, for [`Without::Joining`].
    pub(crate) past: Option<Replica<Body>>,
    /// When a holder was last heard.
    pub(crate) heard_ms: u64,
}

pub(crate) struct Holder {
    pub(crate) tenure: Tenure<Body>,
    pub(crate) side: usize,
    pub(crate) call: u64,
    pub(crate) pending: Option<Request<Body>>,
    /// What was acknowledged, in each group, when it began.
    floor: BTreeMap<GroupId, (Option<Head>, bool)>,
    seen: bool,
    next_digest: [u8; 32],
    writing: Option<Head>,
    writing_body: bool,
    lapsed: bool,
}

#[derive(Clone)]
pub(crate) enum Payload {
    Ask { holder: usize, call: u64, request: Request<Body> },
    Tell { call: u64, reply: Reply<Body> },
    PeerAsk { from: usize, request: PeerRequest },
    PeerTell { reply: PeerReply<Body> },
}

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) side: usize,
    pub(crate) to: usize,
    pub(crate) payload: Payload,
}

/// How often what happened: a model in which nothing happens proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) held: u32,
    pub(crate) heads: u32,
    pub(crate) fenced: u32,
    pub(crate) merged: u32,
    pub(crate) founded: u32,
    pub(crate) found_head: u32,
    pub(crate) regrouped: u32,
    /// Epochs of records that nobody wrote that a replica forgot.
    pub(crate) forgotten: u32,
    /// Holders that stopped because they may have been forgotten.
    pub(crate) unwritten: u32,
    /// Leases that ran out and were renewed all the same.
    pub(crate) revived: u32,
}

pub(crate) struct Model {
    pub(crate) rng: Rng,
    pub(crate) without: Without,
    pub(crate) size: Size,
    pub(crate) now_ms: u64,
    pub(crate) instances: Vec<Instance>,
    pub(crate) holders: Vec<Holder>,
    pub(crate) network: Vec<Message>,
    pub(crate) tally: Tally,
    /// The newest acknowledged head of each group, and whether a body was acknowledged.
    acknowledged: BTreeMap<GroupId, (Option<Head>, bool)>,
    /// Every head that anybody tried to write.
    written: BTreeSet<(GroupId, [u8; 32])>,
    round: u64,
}

impl Model {
    pub(crate) fn new(seed: u64, size: Size, without: Without) -> Self {
        let mut model = Self {
            rng: Rng::new(seed),
            without,
            size,
            now_ms: 1_000,
            instances: Vec::new(),
            holders: Vec::new(),
            network: Vec::new(),
            tally: Tally::default(),
            acknowledged: BTreeMap::new(),
            written: BTreeSet::new(),
            round: 0,
        };
        (0..size.members()).for_each(|member| model.start_instance(member, 0));
        model
    }

    pub(crate) fn start_instance(&mut self, member: usize, side: usize) {
        let boot = Boot(self.rng.bytes());
        let life = Life::Joining(Joining::new(self.size, member_id(member), boot));
        self.instances.push(Instance { member, life, side, past: None, heard_ms: self.now_ms });
    }

    pub(crate) fn start_holder(&mut self, side: usize) {
        // Somebody who has heard of earlier epochs, or not of the last ones.
        self.round = self.round.saturating_sub(self.rng.next() % 2) + 1;
        let epoch = Epoch { round: self.round, holder: self.rng.bytes() };
        let lease_ms = LEASES_MS[self.rng.below(LEASES_MS.len())];
        let rules = TenureRules { size: self.size, lease_ms, margin_ms: 1, unwritten_ms: UNWRITTEN_MS };
        let tenure = Tenure::open(rules, RECORD, epoch, self.now_ms);
        self.holders.push(Holder {
            pending: tenure.request().cloned(),
            tenure,
            side,
            call: self.rng.next(),
            floor: self.acknowledged.clone(),
            seen: false,
            next_digest: self.rng.bytes(),
            writing: None,
            writing_body: false,
            lapsed: false,
        });
    }

    /// The holder does something if it may: writes its body once, then moves the head or renews.
    pub(crate) fn act(&mut self, index: usize) {
        let now_ms = self.now_ms;
        let (renew_only, hesitates) = (self.rng.chance(30), self.rng.chance(90));
        let holder = &mut self.holders[index];
        holder.tenure.tick(now_ms);
        if holder.tenure.is_idle() {
            if holder.tenure.body().is_none() && hesitates {
                assert!(holder.tenure.renew(None, now_ms), "an idle holder may renew");
            } else if holder.tenure.body().is_none() {
                holder.writing_body = holder.tenure.replace_body(now_ms, now_ms);
            } else {
                let generation = holder.tenure.head().map_or(0, |head| head.generation) + 1;
                let head = (!renew_only).then_some(Head { generation, digest: holder.next_digest });
                assert!(holder.tenure.renew(head, now_ms), "an idle holder may renew");
                holder.writing = head;
                let group = holder.tenure.group().unwrap();
                self.written.extend(head.map(|head| (group, head.digest)));
            }
        }
        self.after(index);
    }

    /// Looks at what a holder has come to.
    pub(crate) fn after(&mut self, index: usize) {
        let waits = !(self.without == Without::Waiting);
        let digest = self.rng.bytes();
        let holder = &mut self.holders[index];
        if !waits && let Stage::Waiting { until_ms } = holder.tenure.stage() {
            holder.tenure.tick(until_ms);
        }
        let request = holder.tenure.request().cloned();
        if request != holder.pending {
            holder.pending = request;
            holder.call = holder.call.wrapping_add(1);
        }
        let group = holder.tenure.group();
        if !holder.seen
            && let (Some(group), Stage::Settling | Stage::Waiting { .. } | Stage::Holding { .. }) =
                (group, holder.tenure.stage())
        {
            holder.seen = true;
            self.tally.found_head += u32::from(holder.tenure.head().is_some());
            check_found(holder, group, &self.written);
        }
        if holder.tenure.is_idle()
            && let Some(group) = group
        {
            let known = self.acknowledged.entry(group).or_default();
            known.1 |= std::mem::take(&mut holder.writing_body);
            if let Some(head) = holder.writing.take() {
                let before = known.0.map_or(0, |head| head.generation);
                assert!(head.generation > before, "head {head:?} acknowledged after {:?}", known.0);
                known.0 = Some(head);
                holder.next_digest = digest;
                self.tally.heads += 1;
            }
        }
        let (holding, now_ms) = (matches!(holder.tenure.stage(), Stage::Holding { .. }), self.now_ms);
        let may_act = holder.tenure.may_act(now_ms);
        if holding && !may_act {
            holder.lapsed = true;
        } else if may_act && std::mem::take(&mut holder.lapsed) {
            self.tally.revived += 1;
        }
        self.tally.held += u32::from(holding && holder.tenure.is_idle());
        if let Stage::Lost(why) = holder.tenure.stage() {
            self.tally.fenced += u32::from(matches!(why, Lost::Fenced { .. }));
            self.tally.regrouped += u32::from(why == Lost::Regrouped);
            self.tally.unwritten += u32::from(why == Lost::Unwritten);
            self.holders.swap_remove(index);
        }
        // An old group that is kept alive beside a new one keeps its holder; the new one starts empty, and
        // nothing of the old is in it.
        let acting: Vec<_> = self.holders.iter().filter(|one| one.tenure.may_act(now_ms)).collect();
        let groups: BTreeSet<_> = acting.iter().map(|one| one.tenure.group()).collect();
        assert_eq!(acting.len(), groups.len(), "holders of one group may act at once");
    }
}

impl Instance {
    /// Forgets an epoch of a record that nobody wrote, if nobody was heard for long enough.
    pub(crate) fn forget(&mut self, now_ms: u64) -> bool {
        let Life::Serving(replica) = &mut self.life else { return false };
        let is_bare = replica.entry(RECORD).is_some_and(|entry| entry.body.is_none() && entry.head.is_none());
        if !is_bare || now_ms.saturating_sub(self.heard_ms) < 2 * UNWRITTEN_MS {
            return false;
        }
        replica.remove(RECORD);
        true
    }
}

/// What a holder found is not older than what was acknowledged before it began, and of its own group.
fn check_found(holder: &Holder, group: GroupId, written: &BTreeSet<(GroupId, [u8; 32])>) {
    let (head, body) = holder.floor.get(&group).copied().unwrap_or_default();
    let found = holder.tenure.head();
    if let Some(head) = head {
        let found = found.unwrap_or_else(|| panic!("{head:?} was acknowledged, and nothing found"));
        assert!(found.generation >= head.generation, "found {found:?}, {head:?} was acknowledged");
        assert!(found.generation > head.generation || found.digest == head.digest, "another digest");
    }
    assert!(!body || holder.tenure.body().is_some(), "a body was acknowledged, and none found");
    if let Some(found) = found {
        assert!(written.contains(&(group, found.digest)), "found {found:?}, written in another group");
    }
}

pub(crate) fn member_id(member: usize) -> MemberId {
    MemberId([u8::try_from(member).unwrap() + 1; 32])
}
