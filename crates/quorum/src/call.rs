//! One question to all, and when enough have answered.

use std::collections::BTreeMap;

use crate::{Answer, Epoch, GroupId, MemberId, Origin, Reply, Request, Size, View};

/// A request to all members, and what they said so far. It may be sent again as often as one likes.
#[derive(Clone, Debug)]
pub struct Call<B> {
    request: Request<B>,
    started_ms: u64,
    tally: Tally<Answer<B>>,
}

/// What a call came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome<B> {
    /// Not enough have answered.
    Pending,
    /// A quorum agreed.
    Accepted {
        /// The group that they belong to.
        group: GroupId,
        /// What they said.
        answers: Vec<Answer<B>>,
    },
    /// So many belong to another group that no quorum of ours is left.
    OtherGroup,
    /// So many refused that no quorum can agree any more.
    Refused {
        /// The highest epoch that was named.
        promised: Epoch,
    },
}

impl<B: Clone> Call<B> {
    /// A call that nobody has answered.
    #[must_use]
    pub const fn new(request: Request<B>, now_ms: u64) -> Self {
        Self { request, started_ms: now_ms, tally: Tally::new() }
    }

    /// What to send to everybody who has not answered.
    #[must_use]
    pub const fn request(&self) -> &Request<B> {
        &self.request
    }

    /// When it was first sent.
    #[must_use]
    pub const fn started_ms(&self) -> u64 {
        self.started_ms
    }

    /// Takes an answer to this very request.
    pub fn add(&mut self, reply: Reply<B>) {
        self.tally.add(reply.from, reply.answer);
    }

    /// What it has come to.
    #[must_use]
    pub fn outcome(&self, size: Size) -> Outcome<B> {
        let mut highest = None;
        for (group, answers) in self.tally.by_group() {
            let mut agreed = Vec::new();
            let (mut refused, mut strangers) = (0, 0);
            for answer in answers {
                match answer {
                    Answer::Refused { promised } => {
                        refused += 1;
                        highest = highest.max(Some(*promised));
                    }
                    Answer::OtherGroup => strangers += 1,
                    Answer::Promised(_) | Answer::Written => agreed.push(answer.clone()),
                }
            }
            if agreed.len() >= size.writes() {
                return Outcome::Accepted { group, answers: agreed };
            }
            if strangers > size.members() - size.writes() {
                return Outcome::OtherGroup;
            }
            if refused > size.members() - size.writes()
                && let Some(promised) = highest
            {
                return Outcome::Refused { promised };
            }
        }
        Outcome::Pending
    }
}

/// Answers, the newest incarnation of each member in each group.
#[derive(Clone, Debug)]
pub(crate) struct Tally<A> {
    answers: BTreeMap<(GroupId, MemberId), (Origin, A)>,
}

impl<A> Tally<A> {
    pub(crate) const fn new() -> Self {
        Self { answers: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, from: Origin, answer: A) {
        let key = (from.view.group, from.member);
        let is_newer = |(held, _): &(Origin, A)| held.incarnation <= from.incarnation;
        if self.answers.get(&key).is_none_or(is_newer) {
            self.answers.insert(key, (from, answer));
        }
    }

    /// For each group, what counts: nothing from an incarnation that any answer calls superseded.
    pub(crate) fn by_group(&self) -> BTreeMap<GroupId, Vec<&A>> {
        let mut groups: BTreeMap<GroupId, Vec<&A>> = BTreeMap::new();
        for (origin, answer) in self.counted() {
            groups.entry(origin.view.group).or_default().push(answer);
        }
        groups
    }

    /// What counts of one group, with the views of those who said it.
    pub(crate) fn group(&self, group: GroupId) -> (Vec<&View>, Vec<&A>) {
        self.counted().filter(|(origin, _)| origin.view.group == group).map(|(o, a)| (&o.view, a)).unzip()
    }

    fn counted(&self) -> impl Iterator<Item = &(Origin, A)> {
        self.answers
            .iter()
            .filter(|((group, member), (origin, _))| {
                let mut others = self.answers.iter().filter(|((other, _), _)| other == group);
                !others.any(|(_, (other, _))| other.view.supersedes(*member, origin.incarnation))
            })
            .map(|(_, value)| value)
    }
}
