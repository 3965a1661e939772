//! The holder's side: how one owner's daemon gets to write, and when it must stop.

use thiserror::Error;

use crate::replica::newer;
use crate::{Answer, Call, Epoch, GroupId, Head, Outcome, RecordId, Reply, Request, Size, Stamp, Stamped};

/// What a tenure keeps to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TenureRules {
    /// The group.
    pub size: Size,
    /// How long an acknowledged renewal lets the holder act, from when the renewal was first sent.
    pub lease_ms: u64,
    /// What a successor waits on top of a lease: clocks do not run equally fast.
    pub margin_ms: u64,
    /// How long a tenure of a record that nobody has written yet may go without an acknowledgement: at most
    /// half of the time after which replicas forget such a record, and with it the epoch.
    pub unwritten_ms: u64,
}

/// How far a tenure has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Opens its epoch.
    Preparing,
    /// Writes back what it found.
    Settling,
    /// Waits until the holder before it has run out of its lease.
    Waiting {
        /// Until when.
        until_ms: u64,
    },
    /// Holds the record. It may act while its lease lasts. One that ran out is no end: nobody else can have
    /// acted unless a higher epoch was opened, and that would be found by the next renewal. So the holder
    /// goes on asking, and may act again once a quorum has acknowledged what it asked since.
    Holding {
        /// Until when.
        until_ms: u64,
    },
    /// Over.
    Lost(Lost),
}

/// Why a tenure is over.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Lost {
    /// Another holder opened a higher epoch.
    #[error("another holder opened epoch {by}; stop, and find out which of the two should run")]
    Fenced {
        /// The higher epoch.
        by: Epoch,
    },
    /// The key stores that held the record are gone, and others took their place. Nobody else is known to
    /// have the record, and this holder may be the only one that still knows what was in it.
    #[error("the key stores lost everything and founded a new group, which does not have the record")]
    Regrouped,
    /// Nobody had written the record, and for too long nobody acknowledged the epoch, which may be forgotten.
    #[error("the record was not written in time, and the key stores may have forgotten who was to write it")]
    Unwritten,
}

/// One holder's tenure of one record.
#[derive(Clone, Debug)]
pub struct Tenure<B> {
    rules: TenureRules,
    record: RecordId,
    epoch: Epoch,
    stage: Stage,
    group: Option<GroupId>,
    call: Option<Call<B>>,
    /// Calls that were begun.
    calls: u64,
    /// What the call under way writes.
    writing: Option<Head>,
    seq: u64,
    body: Option<B>,
    /// What the body was before the one that is being written.
    replaced: Option<Option<B>>,
    head: Option<Head>,
    /// The longest lease that somebody before us may have.
    lease_before_ms: u64,
    /// True until a body is known to be there.
    is_unwritten: bool,
    /// When the call was sent first that was acknowledged last.
    acknowledged_ms: u64,
    /// When a quorum had promised: from then on nobody before us can renew.
    promised_ms: u64,
}

impl<B: Clone> Tenure<B> {
    /// Begins by opening an epoch, higher than all that the caller has heard of.
    #[must_use]
    pub fn open(rules: TenureRules, record: RecordId, epoch: Epoch, now_ms: u64) -> Self {
        let call = Call::new(Request::Prepare { record, epoch }, now_ms);
        Self {
            rules,
            record,
            epoch,
            stage: Stage::Preparing,
            group: None,
            call: Some(call),
            calls: 1,
            writing: None,
            seq: 0,
            body: None,
            replaced: None,
            head: None,
            lease_before_ms: 0,
            is_unwritten: true,
            acknowledged_ms: now_ms,
            promised_ms: now_ms,
        }
    }

    /// Its epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// How far it has come, as of the last [`Self::tick`] or [`Self::add`].
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// The group of key stores that opened the epoch.
    #[must_use]
    pub const fn group(&self) -> Option<GroupId> {
        self.group
    }

    /// The owner's data, once the epoch is open. None if the record is new.
    #[must_use]
    pub const fn body(&self) -> Option<&B> {
        self.body.as_ref()
    }

    /// The newest acknowledged state, once the epoch is open.
    #[must_use]
    pub const fn head(&self) -> Option<Head> {
        self.head
    }

    /// True if its holder may act now. Ask before each act, not once.
    #[must_use]
    pub const fn may_act(&self, now_ms: u64) -> bool {
        matches!(self.stage, Stage::Holding { until_ms } if now_ms < until_ms)
    }

    /// What to send to every member that has not answered it, now or again.
    #[must_use]
    pub fn request(&self) -> Option<&Request<B>> {
        self.call.as_ref().map(Call::request)
    }

    /// Which call is under way, or was last. A reply counts only for the call that it answers, and two
    /// calls may ask the same: whoever carries messages tells them apart by this.
    #[must_use]
    pub const fn call_number(&self) -> u64 {
        self.calls
    }

    /// True if nothing is under way and the next write may begin.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.call.is_none() && matches!(self.stage, Stage::Holding { .. })
    }

    /// Begins to renew the lease, and to move the head if there is a new one. Returns false, and does
    /// nothing, unless [`Self::is_idle`], and unless the head follows the one before.
    pub fn renew(&mut self, head: Option<Head>, now_ms: u64) -> bool {
        let follows = match (head, self.head) {
            (Some(next), Some(held)) => next.generation == held.generation.saturating_add(1),
            // A record that is new here may belong to an owner with a past.
            (Some(_), None) | (None, _) => true,
        };
        if !self.is_idle() || !follows {
            return false;
        }
        self.write(None, head, now_ms);
        true
    }

    /// Begins to replace the owner's data. As [`Self::renew`] otherwise.
    pub fn replace_body(&mut self, body: B, now_ms: u64) -> bool {
        if !self.is_idle() {
            return false;
        }
        self.replaced = Some(self.body.replace(body.clone()));
        self.write(Some(body), None, now_ms);
        true
    }

    /// True while a call is under way that replaces the owner's data.
    #[must_use]
    pub const fn is_replacing_body(&self) -> bool {
        self.replaced.is_some()
    }

    /// Gives up to replace the owner's data, because too many refuse what was to be written. It may be with
    /// some all the same, and be what is found by the next holder. Returns false, and does nothing, if no
    /// such call is under way.
    pub fn abandon_body(&mut self) -> bool {
        let Some(before) = self.replaced.take() else { return false };
        self.body = before;
        self.call = None;
        self.writing = None;
        true
    }

    /// Takes a reply to [`Self::request`].
    pub fn add(&mut self, reply: Reply<B>, now_ms: u64) {
        self.tick(now_ms);
        let Some(call) = &mut self.call else { return };
        call.add(reply);
        let started_ms = call.started_ms();
        match call.outcome(self.rules.size) {
            Outcome::Pending => {}
            Outcome::OtherGroup => self.lose(Lost::Regrouped),
            Outcome::Refused { promised } => self.lose(Lost::Fenced { by: promised }),
            Outcome::Accepted { group, .. } if *self.group.get_or_insert(group) != group => {
                self.lose(Lost::Regrouped);
            }
            Outcome::Accepted { answers, .. } => {
                self.call = None;
                let unheard_ms = now_ms.saturating_sub(self.acknowledged_ms);
                self.acknowledged_ms = started_ms;
                if self.is_unwritten && unheard_ms > self.rules.unwritten_ms {
                    self.lose(Lost::Unwritten);
                    return;
                }
                self.accepted(answers, started_ms, now_ms);
            }
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now_ms: u64) {
        match self.stage {
            Stage::Waiting { until_ms } if now_ms >= until_ms && self.call.is_none() => {
                // Our own lease begins with a write after the wait, not with one before it.
                self.write(None, None, now_ms);
            }
            Stage::Preparing
            | Stage::Settling
            | Stage::Waiting { .. }
            | Stage::Holding { .. }
            | Stage::Lost(_) => {}
        }
    }

    fn accepted(&mut self, answers: Vec<Answer<B>>, started_ms: u64, now_ms: u64) {
        match self.stage {
            Stage::Preparing => {
                self.promised_ms = now_ms;
                self.find(answers);
                self.is_unwritten = self.body.is_none();
                self.stage = Stage::Settling;
                self.write(self.body.clone(), self.head, now_ms);
            }
            Stage::Settling => {
                self.writing = None;
                let lease_ms = self.rules.lease_ms.max(self.lease_before_ms);
                let wait_ms = lease_ms.saturating_add(self.rules.margin_ms);
                self.stage = Stage::Waiting { until_ms: self.promised_ms.saturating_add(wait_ms) };
                self.tick(now_ms);
            }
            Stage::Waiting { .. } | Stage::Holding { .. } => {
                self.head = self.writing.take().or(self.head);
                self.is_unwritten &= self.replaced.take().is_none();
                let until_ms = started_ms.saturating_add(self.rules.lease_ms);
                self.stage = Stage::Holding { until_ms };
                self.tick(now_ms);
            }
            Stage::Lost(_) => {}
        }
    }

    /// The newest of what a quorum holds.
    fn find(&mut self, answers: Vec<Answer<B>>) {
        let (mut body, mut head, mut lease_ms) = (None, None, None);
        for answer in answers {
            if let Answer::Promised(entry) = answer {
                newer(&mut body, entry.body);
                newer(&mut head, entry.head);
                newer(&mut lease_ms, entry.lease_ms);
            }
        }
        self.lease_before_ms = lease_ms.map_or(0, |stamped| stamped.value);
        self.body = body.map(|stamped| stamped.value);
        self.head = head.map(|stamped| stamped.value);
    }

    fn write(&mut self, body: Option<B>, head: Option<Head>, now_ms: u64) {
        let Some(group) = self.group else { return };
        self.seq = self.seq.saturating_add(1);
        let stamp = Stamp { epoch: self.epoch, seq: self.seq };
        self.writing = head;
        // Until we have waited for those before us, whoever comes after us must do so, too.
        let lease_ms = match self.stage {
            Stage::Preparing | Stage::Settling => self.rules.lease_ms.max(self.lease_before_ms),
            Stage::Waiting { .. } | Stage::Holding { .. } | Stage::Lost(_) => self.rules.lease_ms,
        };
        let request = Request::Write {
            record: self.record,
            epoch: self.epoch,
            group,
            body: body.map(|value| Stamped { stamp, value }),
            head: head.map(|value| Stamped { stamp, value }),
            lease_ms: Stamped { stamp, value: lease_ms },
        };
        self.call = Some(Call::new(request, now_ms));
        self.calls = self.calls.saturating_add(1);
    }

    fn lose(&mut self, why: Lost) {
        self.call = None;
        self.stage = Stage::Lost(why);
    }
}
