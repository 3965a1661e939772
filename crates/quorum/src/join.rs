//! How a replica that has just started, and knows nothing, becomes one that may be asked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::Tally;
use crate::{Boot, Entry, GroupId, Incarnation, MemberId, Origin, RecordId, Replica, Size, View};

/// What one replica asks another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PeerRequest {
    /// Who are you, and how far?
    Hello(Hello),
    /// Remember that I started anew, and tell me all that you hold.
    Join {
        /// Who asks.
        member: MemberId,
        /// Its new life.
        incarnation: Incarnation,
        /// The group to be joined.
        group: GroupId,
    },
}

/// What one says of itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hello {
    /// The member.
    pub member: MemberId,
    /// Its instance.
    pub boot: Boot,
    /// How far it is.
    pub status: Status,
}

/// How far a replica is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Status {
    /// It has just started. These instances it knows of, itself included.
    Joining(BTreeMap<MemberId, Boot>),
    /// It serves.
    Serving {
        /// Who it is in the group, and what it knows of the others.
        origin: Origin,
        /// Who founded the group.
        founders: BTreeMap<MemberId, Boot>,
    },
}

/// What one replica answers another.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum PeerReply<B> {
    /// To [`PeerRequest::Hello`].
    Hello(Hello),
    /// To [`PeerRequest::Join`].
    Joined {
        /// Who answers.
        origin: Origin,
        /// The life that it remembers from now on.
        incarnation: Incarnation,
        /// Everything it holds.
        entries: BTreeMap<RecordId, Entry<B>>,
    },
    /// To [`PeerRequest::Join`]: this is another group, or a later life of the same member is known.
    Superseded,
    /// To [`PeerRequest::Join`]: ask again once this one serves.
    NotServing,
}

/// A replica that may not be asked yet.
#[derive(Clone, Debug)]
pub struct Joining<B> {
    size: Size,
    member: MemberId,
    boot: Boot,
    peers: BTreeMap<MemberId, Hello>,
    joining: Option<(GroupId, Incarnation)>,
    joined: Tally<BTreeMap<RecordId, Entry<B>>>,
    founders: BTreeMap<MemberId, Boot>,
}

impl<B: Clone> Joining<B> {
    /// An instance that has just started.
    #[must_use]
    pub const fn new(size: Size, member: MemberId, boot: Boot) -> Self {
        Self {
            size,
            member,
            boot,
            peers: BTreeMap::new(),
            joining: None,
            joined: Tally::new(),
            founders: BTreeMap::new(),
        }
    }

    /// What to ask all others, now and again.
    #[must_use]
    pub fn request(&self) -> PeerRequest {
        match self.joining {
            Some((group, incarnation)) => PeerRequest::Join { member: self.member, incarnation, group },
            None => PeerRequest::Hello(self.hello()),
        }
    }

    /// Answers a peer.
    pub fn handle(&mut self, request: PeerRequest) -> PeerReply<B> {
        match request {
            PeerRequest::Hello(hello) => {
                self.hear(hello);
                PeerReply::Hello(self.hello())
            }
            PeerRequest::Join { .. } => PeerReply::NotServing,
        }
    }

    /// Takes a reply, and returns the replica once it may be asked.
    pub fn add(&mut self, reply: PeerReply<B>) -> Option<Replica<B>> {
        match reply {
            PeerReply::Hello(hello) => self.hear(hello),
            PeerReply::Joined { origin, incarnation, entries } => {
                let answered = Some((origin.view.group, incarnation));
                if self.joining == answered && origin.member != self.member {
                    self.joined.add(origin, entries);
                }
            }
            PeerReply::Superseded => {
                // Somebody knows better than those that were asked: begin again.
                self.joining = None;
                self.joined = Tally::new();
                self.peers.clear();
            }
            PeerReply::NotServing => {}
        }
        self.advance()
    }

    /// Looks whether what was heard is enough. To be called after [`Self::handle`], too.
    pub fn advance(&mut self) -> Option<Replica<B>> {
        if self.size.members() == 1 {
            return Some(self.found(BTreeMap::from([(self.member, self.boot)])));
        }
        if let Some((group, incarnation)) = self.joining {
            return self.merge(group, incarnation);
        }
        if let Some(founders) = self.founding() {
            return Some(self.found(founders));
        }
        self.choose_group();
        None
    }

    fn hello(&self) -> Hello {
        Hello { member: self.member, boot: self.boot, status: Status::Joining(self.known()) }
    }

    /// The instances that have just started, as far as known.
    fn known(&self) -> BTreeMap<MemberId, Boot> {
        let joining = self.peers.values().filter(|hello| matches!(hello.status, Status::Joining(_)));
        joining.map(|hello| (hello.member, hello.boot)).chain([(self.member, self.boot)]).collect()
    }

    fn hear(&mut self, hello: Hello) {
        if hello.member != self.member {
            self.peers.insert(hello.member, hello);
        }
    }

    /// The founders of a group to which this very instance belongs from its start: either one that others
    /// founded with it, or one that all members agree to found now.
    fn founding(&self) -> Option<BTreeMap<MemberId, Boot>> {
        let founded = self.peers.values().find_map(|hello| match &hello.status {
            Status::Serving { founders, .. } if founders.get(&self.member) == Some(&self.boot) => {
                Some(founders.clone())
            }
            Status::Serving { .. } | Status::Joining(_) => None,
        });
        let known = self.known();
        let all_agree = known.len() == self.size.members()
            && self.peers.values().all(|hello| hello.status == Status::Joining(known.clone()));
        founded.or_else(|| all_agree.then_some(known))
    }

    fn found(&self, founders: BTreeMap<MemberId, Boot>) -> Replica<B> {
        let group = GroupId::founded_by(&founders);
        let first = |boot: &Boot| Incarnation { count: 0, boot: *boot };
        let seats = founders.iter().map(|(member, boot)| (*member, first(boot))).collect();
        let origin =
            Origin { member: self.member, incarnation: first(&self.boot), view: View { group, seats } };
        Replica { size: self.size, origin, founders, entries: BTreeMap::new() }
    }

    /// Chooses the group that enough others serve, and a life later than all that they know.
    fn choose_group(&mut self) {
        let mut groups: BTreeMap<GroupId, (usize, u64)> = BTreeMap::new();
        for hello in self.peers.values() {
            let Status::Serving { origin, founders } = &hello.status else { continue };
            let (serving, count) = groups.entry(origin.view.group).or_default();
            *serving += 1;
            *count = origin.view.seats.get(&self.member).map_or(0, |seat| seat.count).max(*count);
            if *serving >= self.size.join() {
                let incarnation = Incarnation { count: count.saturating_add(1), boot: self.boot };
                self.joining = Some((origin.view.group, incarnation));
                self.founders.clone_from(founders);
                return;
            }
        }
    }

    fn merge(&self, group: GroupId, incarnation: Incarnation) -> Option<Replica<B>> {
        let (views, heard) = self.joined.group(group);
        if heard.len() < self.size.join() {
            return None;
        }
        let mut view = View { group, seats: BTreeMap::from([(self.member, incarnation)]) };
        views.iter().for_each(|other| view.learn(other));
        let mut entries: BTreeMap<RecordId, Entry<B>> = BTreeMap::new();
        for (record, entry) in heard.into_iter().flatten() {
            entries.entry(*record).or_default().merge(entry.clone());
        }
        let origin = Origin { member: self.member, incarnation, view };
        Some(Replica { size: self.size, origin, founders: self.founders.clone(), entries })
    }
}

impl<B: Clone> Replica<B> {
    /// Answers a peer.
    pub fn handle_peer(&mut self, request: PeerRequest) -> PeerReply<B> {
        match request {
            PeerRequest::Hello(_) => PeerReply::Hello(self.hello()),
            PeerRequest::Join { member, incarnation, group } => {
                if self.note_join(member, incarnation, group) {
                    let (origin, entries) = (self.origin.clone(), self.entries.clone());
                    return PeerReply::Joined { origin, incarnation, entries };
                }
                PeerReply::Superseded
            }
        }
    }

    /// Remembers that a member started anew. False if this is another group, or if a later life of it is
    /// known: [`PeerReply::Superseded`].
    ///
    /// For those who tell their entries in parts: what stands in an entry at any time from then on may
    /// be told as part of the [`PeerReply::Joined`], as each entry is a register of its own. The origin
    /// is to be the one of the last part.
    pub fn note_join(&mut self, member: MemberId, incarnation: Incarnation, group: GroupId) -> bool {
        let view = &mut self.origin.view;
        if group != view.group || member == self.origin.member || view.supersedes(member, incarnation) {
            return false;
        }
        view.seat(member, incarnation);
        true
    }

    /// What it says of itself.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let status = Status::Serving { origin: self.origin.clone(), founders: self.founders.clone() };
        Hello { member: self.origin.member, boot: self.origin.incarnation.boot, status }
    }
}
