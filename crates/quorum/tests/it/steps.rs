//! What can happen in a model.

use quorum::{Answer, PeerReply, Reply, Status};

use crate::model::{Body, Life, Message, Model, Payload, Without};

/// Messages under way; more push others out. Old ones must stay rare, or nobody ever gets anywhere.
const UNDER_WAY_MAX: usize = 40;

impl Model {
    /// One thing happens.
    pub(crate) fn step(&mut self) {
        self.now_ms += u64::from(self.rng.chance(30));
        let now_ms = self.now_ms;
        for instance in &mut self.instances {
            self.tally.forgotten += u32::from(instance.forget(now_ms));
        }
        match self.rng.below(10_000) {
            0..=11 => self.restart(),
            12..=21 => self.cut_off(),
            22..=79 => self.heal(),
            80..=109 if self.holders.len() < 4 => {
                let side = self.rng.below(2) * usize::from(self.rng.chance(30));
                self.start_holder(side);
                self.ask(self.holders.len() - 1);
            }
            110..=119 if !self.holders.is_empty() => {
                let index = self.rng.below(self.holders.len());
                self.holders.swap_remove(index);
            }
            120..=1_399 if !self.holders.is_empty() => {
                let index = self.rng.below(self.holders.len());
                let before = self.holders.len();
                self.act(index);
                if self.holders.len() == before {
                    self.ask(index);
                }
            }
            1_400..=1_799 => self.join(),
            _ => self.deliver(),
        }
    }

    /// Restarts a member: what it knew is gone, or lives on beside its successor, cut off.
    fn restart(&mut self) {
        let member = self.rng.below(self.size.members());
        let side = self.rng.below(2) * usize::from(self.rng.chance(20));
        if self.without == Without::Joining
            && let Some(instance) = self.instances.iter_mut().rfind(|one| one.member == member)
            && let Some(past) = instance.past.clone()
        {
            instance.life = Life::Serving(past);
            return;
        }
        let keep_aside = self.rng.chance(40);
        for instance in self.instances.iter_mut().filter(|one| one.member == member) {
            if keep_aside {
                instance.side = 1;
            } else {
                instance.life = Life::Dead;
            }
        }
        self.instances.retain(|one| !matches!(one.life, Life::Dead) || one.member != member);
        // Messages name instances by their place, so that a dead one's go to another: relays are no
        // better. Whoever gets what it did not ask for ignores it.
        self.start_instance(member, side);
    }

    fn cut_off(&mut self) {
        for side in self.sides() {
            let cut_off = usize::from(self.rng.chance(33));
            self.set_side(side, cut_off);
        }
    }

    fn heal(&mut self) {
        for side in self.sides() {
            self.set_side(side, 0);
        }
    }

    fn sides(&self) -> Vec<usize> {
        (0..self.instances.len() + self.holders.len()).collect()
    }

    fn set_side(&mut self, index: usize, side: usize) {
        match self.instances.get_mut(index) {
            Some(instance) => instance.side = side,
            None => self.holders[index - self.instances.len()].side = side,
        }
    }

    /// A holder sends what it waits for, to some or all.
    fn ask(&mut self, index: usize) {
        let holder = &self.holders[index];
        let (Some(request), call, side) = (holder.pending.clone(), holder.call, holder.side) else { return };
        for to in 0..self.instances.len() {
            let payload = Payload::Ask { holder: index, call, request: request.clone() };
            self.send(Message { side, to, payload });
        }
    }

    /// An instance that joins asks the others.
    fn join(&mut self) {
        let from = self.rng.below(self.instances.len());
        let Life::Joining(joining) = &self.instances[from].life else { return };
        let (request, side) = (joining.request(), self.instances[from].side);
        for to in (0..self.instances.len()).filter(|to| *to != from) {
            let payload = Payload::PeerAsk { from, request: request.clone() };
            self.send(Message { side, to, payload });
        }
    }

    /// Some messages are lost, some come twice.
    fn send(&mut self, message: Message) {
        let copies = match self.rng.below(20) {
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            if self.network.len() < UNDER_WAY_MAX {
                self.network.push(message.clone());
            } else {
                let index = self.rng.below(UNDER_WAY_MAX);
                self.network[index] = message.clone();
            }
        }
    }

    /// Any message arrives, in no order, unless its sides are cut off from each other.
    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let index = self.rng.below(self.network.len());
        let message = self.network.swap_remove(index);
        match message.payload {
            Payload::Ask { holder, call, request } => {
                let Some(instance) = self.instances.get_mut(message.to) else { return };
                let Life::Serving(replica) = &mut instance.life else { return };
                if instance.side != message.side {
                    return;
                }
                if self.rng.chance(2) {
                    instance.past = Some(replica.clone());
                }
                instance.heard_ms = self.now_ms;
                let mut reply = replica.handle(request);
                if self.without == Without::OthersLease
                    && let Answer::Promised(entry) = &mut reply.answer
                {
                    entry.lease_ms = None;
                }
                if self.without == Without::Views {
                    forget_others(&mut reply);
                }
                let side = instance.side;
                self.send(Message { side, to: holder, payload: Payload::Tell { call, reply } });
            }
            Payload::Tell { call, reply } => {
                let Some(index) = self.holders.iter().position(|one| one.call == call) else { return };
                let now_ms = self.now_ms;
                if self.holders[index].side == message.side {
                    self.holders[index].tenure.add(reply, now_ms);
                    self.after(index);
                }
            }
            Payload::PeerAsk { from, request } => {
                let Some(instance) = self.instances.get_mut(message.to) else { return };
                if instance.side != message.side {
                    return;
                }
                let reply = match &mut instance.life {
                    Life::Joining(joining) => joining.handle(request),
                    Life::Serving(replica) => replica.handle_peer(request),
                    Life::Dead => return,
                };
                let side = instance.side;
                self.advance(message.to, None);
                self.send(Message { side, to: from, payload: Payload::PeerTell { reply } });
            }
            Payload::PeerTell { reply } => {
                if self.instances.get(message.to).is_some_and(|one| one.side == message.side) {
                    self.advance(message.to, Some(reply));
                }
            }
        }
    }

    fn advance(&mut self, index: usize, reply: Option<PeerReply<Body>>) {
        let instance = &mut self.instances[index];
        let Life::Joining(joining) = &mut instance.life else { return };
        let served = match reply {
            Some(reply) => joining.add(reply),
            None => joining.advance(),
        };
        if let Some(replica) = served {
            let Status::Serving { origin, .. } = replica.hello().status else { panic!("serves") };
            if origin.incarnation.count == 0 {
                self.tally.founded += 1;
            } else {
                self.tally.merged += 1;
            }
            instance.life = Life::Serving(replica);
            instance.heard_ms = self.now_ms;
        }
    }
}

/// A reply that says nothing of the others.
fn forget_others(reply: &mut Reply<Body>) {
    let member = reply.from.member;
    reply.from.view.seats.retain(|other, _| *other == member);
    match &reply.answer {
        Answer::Promised(_) | Answer::Written | Answer::Refused { .. } | Answer::OtherGroup => {}
    }
}
