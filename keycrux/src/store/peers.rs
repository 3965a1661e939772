//! What a key store tells the others of its group, and takes from them.

use std::collections::BTreeMap;

use protocol::rpc::keycrux::{Body, Note, PeerAnswer};
use quorum::{Entry, Incarnation, PeerReply, PeerRequest, RecordId, Replica};
use serde::Serialize;

use super::notes::{self, Noted};
use super::{Standing, Store};

/// One answer as a whole, in bytes of JSON, unless a single record has more: with its envelope and some
/// room it stays below what an event carries (`protocol::rpc::MESSAGE_BYTES_MAX`).
const PAGE_BYTES_MAX: usize = 50_000;

impl Store {
    /// Answers a member of the group. It is for the caller to have checked who asks.
    pub fn answer_peer(&mut self, request: PeerRequest, after: Option<RecordId>) -> PeerAnswer {
        let whole = |reply| PeerAnswer { reply, more_after: None, notes: BTreeMap::new() };
        match (&mut self.standing, request) {
            (Standing::Joining(joining), request) => {
                let reply = joining.handle(request);
                let served = joining.advance();
                self.serve(served);
                whole(reply)
            }
            (Standing::Serving(replica), PeerRequest::Join { member, incarnation, group }) => {
                if !replica.note_join(member, incarnation, group) {
                    return whole(PeerReply::Superseded);
                }
                page(replica, incarnation, after, &self.notes, self.up_secs)
            }
            (Standing::Serving(replica), request @ PeerRequest::Hello(_)) => {
                whole(replica.handle_peer(request))
            }
        }
    }

    /// What to ask the others; none once this one serves.
    #[must_use]
    pub fn peer_request(&self) -> Option<PeerRequest> {
        match &self.standing {
            Standing::Joining(joining) => Some(joining.request()),
            Standing::Serving(_) => None,
        }
    }

    /// Takes a whole reply of another member, with what it remembers of the records in it.
    pub fn hear_peer(&mut self, reply: PeerReply<Body>, told: BTreeMap<RecordId, Note>) {
        let Standing::Joining(joining) = &mut self.standing else { return };
        let served = joining.add(reply);
        for (record, note) in told {
            let noted = Noted::told(note, self.up_secs, self.limits.ttl_secs);
            match self.notes.get_mut(&record) {
                Some(known) => notes::merge(known, noted),
                None => drop(self.notes.insert(record, noted)),
            }
        }
        self.serve(served);
    }

    /// Looks whether this one may serve: a group of one need not ask anybody.
    pub fn advance_join(&mut self) {
        if let Standing::Joining(joining) = &mut self.standing {
            let served = joining.advance();
            self.serve(served);
        }
    }

    /// Gives every record that holds something a note, for a time at most: whoever uses it sets it right.
    fn complete_notes(&mut self) {
        let Standing::Serving(replica) = &self.standing else { return };
        for (record, entry) in replica.entries() {
            match (&entry.body, self.notes.get_mut(record)) {
                (Some(_), Some(noted)) => noted.is_written = true,
                (Some(body), None) => {
                    let mut noted = Noted::new(body.value.identity.pcr4, self.up_secs);
                    noted.used(true, self.up_secs, self.limits.ttl_secs);
                    self.notes.insert(*record, noted);
                }
                (None, _) => {}
            }
        }
        self.notes.retain(|record, _| replica.entry(*record).is_some());
    }

    fn serve(&mut self, replica: Option<Replica<Body>>) {
        if let Some(replica) = replica {
            self.standing = Standing::Serving(Box::new(replica));
            self.complete_notes();
        }
    }
}

/// The records after one, as many as fit into an answer and at least one; and the last of them, if there are
/// more. Shares stay where they are. Leases alone are told, too: a key store that joined and did not know of
/// an epoch that the others promised could let an older holder renew.
fn page(
    replica: &Replica<Body>,
    incarnation: Incarnation,
    after: Option<RecordId>,
    noted: &BTreeMap<RecordId, Noted>,
    up_secs: u64,
) -> PeerAnswer {
    let origin = replica.origin().clone();
    let empty = PeerReply::Joined { origin: origin.clone(), incarnation, entries: BTreeMap::new() };
    let mut answer = PeerAnswer { reply: empty, more_after: after, notes: BTreeMap::new() };
    let mut bytes = json_bytes(&answer);
    let (mut entries, mut last) = (BTreeMap::new(), None);
    answer.more_after = None;
    for (record, entry) in replica.entries_after(after) {
        let mut entry: Entry<Body> = entry.clone();
        if let Some(body) = &mut entry.body {
            body.value.material = body.value.material.without_shares();
        }
        let note = noted.get(record).map(|noted| noted.tell(up_secs));
        // As an array it has one byte more than in the two objects that it becomes a part of.
        bytes = bytes.saturating_add(json_bytes(&(record, &entry, record, &note)));
        if bytes > PAGE_BYTES_MAX && last.is_some() {
            answer.more_after = last;
            break;
        }
        last = Some(*record);
        entries.insert(*record, entry);
        answer.notes.extend(note.map(|note| (*record, note)));
    }
    answer.reply = PeerReply::Joined { origin, incarnation, entries };
    answer
}

/// What cannot be written is longer than anything.
fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(PAGE_BYTES_MAX, |text| text.len())
}
