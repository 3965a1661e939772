//! What a key store tells the others of its group, and takes from them.

use std::collections::BTreeMap;

use protocol::rpc::keycrux::{Body, Note, PeerAnswer};
use quorum::{Entry, PeerReply, PeerRequest, RecordId, Replica};
use units::UnixSecs;

use super::{Standing, Store, notes};

/// Records in one answer, in bytes of JSON: with the rest it stays below what an event carries.
const PAGE_BYTES_MAX: usize = 40_000;

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
                let (entries, more_after) = page(replica, after);
                let origin = replica.origin().clone();
                let noted = |record: &RecordId| Some((*record, self.notes.get(record)?.clone()));
                let notes = entries.keys().filter_map(noted).collect();
                PeerAnswer { reply: PeerReply::Joined { origin, incarnation, entries }, more_after, notes }
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
            match self.notes.get_mut(&record) {
                Some(known) => notes::merge(known, note),
                None => drop(self.notes.insert(record, note)),
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

    /// Gives every record a note, for a time at most: whoever uses it sets it right.
    pub fn complete_notes(&mut self, now: UnixSecs) {
        let Standing::Serving(replica) = &self.standing else { return };
        let expires_at = now.plus_secs(self.limits.ttl_secs);
        for (record, entry) in replica.entries() {
            let pcr4 = entry.body.as_ref().map_or(attestation::Pcr::ZERO, |body| body.value.identity.pcr4);
            self.notes.entry(*record).or_insert_with(|| notes::new(pcr4, expires_at));
        }
        let entries: Vec<RecordId> = replica.entries().map(|(record, _)| *record).collect();
        self.notes.retain(|record, _| entries.binary_search(record).is_ok());
    }

    fn serve(&mut self, replica: Option<Replica<Body>>) {
        if let Some(replica) = replica {
            self.standing = Standing::Serving(Box::new(replica));
        }
    }
}

/// The entries after a record, as many as fit into an answer and at least one; and the last of them, if
/// there are more. Shares stay where they are.
fn page(
    replica: &Replica<Body>,
    after: Option<RecordId>,
) -> (BTreeMap<RecordId, Entry<Body>>, Option<RecordId>) {
    let mut entries = BTreeMap::new();
    let (mut bytes, mut last) = (0, None);
    for (record, entry) in replica.entries_after(after) {
        let mut entry = entry.clone();
        if let Some(body) = &mut entry.body {
            body.value.material = body.value.material.without_shares();
        }
        bytes += serde_json::to_vec(&entry).map_or(PAGE_BYTES_MAX, |text| text.len());
        if bytes > PAGE_BYTES_MAX && last.is_some() {
            return (entries, last);
        }
        last = Some(*record);
        entries.insert(*record, entry);
    }
    (entries, None)
}
