//! The connections to the key stores: found again and again, as they come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use relay::Pool;
use tokio::sync::mpsc;
use units::Clock;

use crate::{Directory, KeycruxClient, Member};

/// How often to look while some members do not answer.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often to look otherwise, in looks left out.
const QUIET_LOOKS: u32 = 30;
/// A call that is not answered is made again; the key store may have a successor.
const CALL_WAIT: Duration = Duration::from_secs(8);

/// One key store that can be called.
pub(super) type Line = (Member, Arc<KeycruxClient>);

/// Looks for key stores until nobody wants to know any more.
pub(super) struct Finder {
    pub(super) directory: Directory,
    pub(super) pool: Pool,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
    /// True while members are missing.
    pub(super) hurry: Arc<AtomicBool>,
    pub(super) found: mpsc::Sender<Vec<Line>>,
}

impl Finder {
    pub(super) async fn run(self) {
        let mut clients: BTreeMap<PublicKey, Arc<KeycruxClient>> = BTreeMap::new();
        let mut look = 0_u32;
        loop {
            if self.hurry.load(Ordering::SeqCst) || look.is_multiple_of(QUIET_LOOKS) {
                match self.directory.find().await {
                    Ok(members) => {
                        let lines = self.connect(members, &mut clients).await;
                        if self.found.send(lines).await.is_err() {
                            return;
                        }
                    }
                    Err(e) => tracing::warn!("key stores were not looked for: {e}"),
                }
            }
            look = look.wrapping_add(1);
            tokio::select! {
                () = self.found.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn connect(
        &self,
        members: Vec<Member>,
        clients: &mut BTreeMap<PublicKey, Arc<KeycruxClient>>,
    ) -> Vec<Line> {
        clients.retain(|service, _| members.iter().any(|member| member.service() == *service));
        let mut lines = Vec::new();
        for member in members {
            let service = member.service();
            let client = match clients.get(&service) {
                Some(client) => Arc::clone(client),
                None => {
                    let (pool, keys, clock) = (self.pool.clone(), self.keys.clone(), Arc::clone(&self.clock));
                    match KeycruxClient::new(pool, keys, service, clock, CALL_WAIT).await {
                        Ok(client) => Arc::clone(clients.entry(service).or_insert(Arc::new(client))),
                        Err(e) => {
                            tracing::warn!(%service, "a key store cannot be called: {e}");
                            continue;
                        }
                    }
                }
            };
            lines.push((member, client));
        }
        lines
    }
}
