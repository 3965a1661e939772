//! How a key store that has just started joins the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyholder::{Directory, KeycruxClient, Member};
use nostr::key::Keys;
use protocol::rpc::keycrux::{Body, Note, PeerParams};
use quorum::{Hello, PeerReply, RecordId, Status};
use relay::Pool;
use thiserror::Error;
use tokio::task::JoinSet;
use units::Clock;

use crate::announce::{AnnounceError, Announcer};
use crate::api::SharedStore;

/// How often the others are asked. They may be starting, too.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// How long one answer may take: old announcements name instances that are gone.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How often it is said that there is no group yet.
const SAY_EVERY: u32 = 20;
/// Pages that one member is asked for: more than the largest store has.
const PAGES_MAX: u32 = 10_000;

/// One that joins.
#[derive(Debug)]
pub struct Joiner {
    /// Our own records.
    pub store: SharedStore,
    /// Where the others are found.
    pub directory: Directory,
    /// What we prove ourselves with.
    pub announcer: Arc<Announcer>,
    /// Our service key: the others answer it alone.
    pub keys: Keys,
    /// The relays.
    pub pool: Pool,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// Why a member was not heard.
#[derive(Debug, Error)]
enum AskError {
    #[error(transparent)]
    Announce(#[from] AnnounceError),
    #[error(transparent)]
    Rpc(#[from] relay::rpc::RpcError),
    #[error("it answered as somebody else")]
    Impostor,
    #[error("it tells of more records than a store holds")]
    Endless,
}

impl Joiner {
    /// Asks the others until this one may serve.
    pub async fn run(self) {
        let this = Arc::new(self);
        let mut clients: BTreeMap<Member, Arc<KeycruxClient>> = BTreeMap::new();
        let mut asking: JoinSet<Member> = JoinSet::new();
        let mut busy: Vec<Member> = Vec::new();
        let mut round = 0_u32;
        loop {
            this.store.lock().advance_join();
            if this.store.lock().peer_request().is_none() {
                break;
            }
            if round.is_multiple_of(SAY_EVERY) {
                tracing::info!(heard = clients.len(), "no group yet: waiting for the other members");
            }
            round = round.wrapping_add(1);
            for member in this.find().await {
                if busy.contains(&member) {
                    continue;
                }
                let Some(client) = this.client(member, &mut clients).await else { continue };
                busy.push(member);
                let this = Arc::clone(&this);
                asking.spawn(async move {
                    if let Err(e) = this.ask(member, &client).await {
                        tracing::debug!(service = %member.service(), "a member was not heard: {e}");
                    }
                    member
                });
            }
            let wait = tokio::time::sleep(ASK_EVERY);
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    Some(done) = asking.join_next() => {
                        if let Ok(done) = done {
                            busy.retain(|member| *member != done);
                        }
                    }
                }
            }
        }
    }

    async fn find(&self) -> Vec<Member> {
        let own = self.keys.public_key();
        match self.directory.find().await {
            Ok(mut members) => {
                members.retain(|member| member.service() != own);
                members
            }
            Err(e) => {
                tracing::warn!("the others were not looked for: {e}");
                Vec::new()
            }
        }
    }

    async fn client(
        &self,
        member: Member,
        clients: &mut BTreeMap<Member, Arc<KeycruxClient>>,
    ) -> Option<Arc<KeycruxClient>> {
        if let Some(client) = clients.get(&member) {
            return Some(Arc::clone(client));
        }
        let (pool, keys, clock) = (self.pool.clone(), self.keys.clone(), Arc::clone(&self.clock));
        match KeycruxClient::new(pool, keys, member.service(), clock, ANSWER_WAIT).await {
            Ok(client) => Some(Arc::clone(clients.entry(member).or_insert(Arc::new(client)))),
            Err(e) => {
                tracing::warn!("a member cannot be called: {e}");
                None
            }
        }
    }

    /// Asks one member, page by page, and takes what it says once it is whole.
    async fn ask(&self, member: Member, client: &KeycruxClient) -> Result<(), AskError> {
        let Some(request) = self.store.lock().peer_request() else { return Ok(()) };
        let mut gathered = BTreeMap::new();
        let mut notes: BTreeMap<RecordId, Note> = BTreeMap::new();
        let mut after = None;
        for _ in 0..PAGES_MAX {
            let announcement = self.announcer.for_peers().await?.into_event();
            let params = PeerParams { announcement, request: request.clone(), after };
            let answer = client.peer(&params).await?;
            check_sender(&answer.reply, &member)?;
            self.learn(&answer.reply);
            match answer.reply {
                PeerReply::Joined { origin, incarnation, entries } => {
                    gathered.extend(entries);
                    notes.extend(answer.notes);
                    after = answer.more_after;
                    if after.is_none() {
                        let reply = PeerReply::Joined { origin, incarnation, entries: gathered };
                        self.store.lock().hear_peer(reply, notes);
                        return Ok(());
                    }
                }
                reply @ (PeerReply::Hello(_) | PeerReply::Superseded | PeerReply::NotServing) => {
                    self.store.lock().hear_peer(reply, BTreeMap::new());
                    return Ok(());
                }
            }
        }
        Err(AskError::Endless)
    }
}

impl Joiner {
    /// Of whom a member tells is looked for by name.
    fn learn(&self, reply: &PeerReply<Body>) {
        match reply {
            PeerReply::Hello(Hello { status: Status::Serving { origin, .. }, .. })
            | PeerReply::Joined { origin, .. } => self.directory.known().learn(&origin.view),
            PeerReply::Hello(Hello { status: Status::Joining(_), .. })
            | PeerReply::Superseded
            | PeerReply::NotServing => {}
        }
    }
}

/// A member speaks for itself, as the instance that was asked.
fn check_sender(reply: &PeerReply<Body>, member: &Member) -> Result<(), AskError> {
    let said = match reply {
        PeerReply::Hello(hello) => (hello.member, hello.boot),
        PeerReply::Joined { origin, .. } => (origin.member, origin.incarnation.boot),
        PeerReply::Superseded | PeerReply::NotServing => return Ok(()),
    };
    if said == (member.id(), member.boot()) { Ok(()) } else { Err(AskError::Impostor) }
}
