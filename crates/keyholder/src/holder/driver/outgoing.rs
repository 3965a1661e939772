//! What is sent to one key store: in split mode, its own share and nobody else's.

use std::collections::BTreeSet;
use std::sync::Arc;

use nostr::key::PublicKey;
use protocol::rpc::Refusal;
use protocol::rpc::keycrux::{AdvanceParams, Body, Identity, Input, LeaseParams, Material};
use quorum::{Epoch, Reply, Request, Stamped};
use relay::rpc::RpcError;
use tokio::sync::mpsc;

use super::{Answered, CallId};
use crate::holder::dealing::Dealing;
use crate::{KeycruxClient, Member, Proof};

/// What goes into the requests.
pub(super) struct Outgoing<'d> {
    pub(super) identity: &'d Identity,
    pub(super) input: &'d Input,
    pub(super) dealing: Option<&'d Dealing>,
    /// The body of our last write, for those who have not acknowledged it: a key store that was away
    /// gets it with the next renewal.
    pub(super) written: Option<&'d Stamped<Body>>,
    /// Those who said that they have none at all. In split mode they alone get it again: whoever has it keeps
    /// its share, and whoever joined gets another one with the next dealing.
    pub(super) lacks_body: &'d BTreeSet<PublicKey>,
}

/// One request to one key store.
pub(super) struct Errand {
    params: Params,
    with_body: bool,
}

enum Params {
    Lease(Box<LeaseParams>),
    Advance(Box<AdvanceParams>),
}

impl Outgoing<'_> {
    pub(super) fn errand(&self, request: &Request<Body>, member: &Member, has_body: bool) -> Errand {
        let has_body = has_body || (self.dealing.is_some() && !self.lacks_body.contains(&member.service()));
        match request {
            Request::Prepare { epoch, .. } => Errand::prepare(self.identity, self.input, *epoch),
            Request::Write { epoch, group, body, head, lease_ms, .. } => {
                let body = body.clone().or_else(|| self.written.filter(|_| !has_body).cloned());
                let body = body.map(|body| self.for_member(body, member));
                let with_body = body.is_some();
                let params = AdvanceParams {
                    attestation: String::new(),
                    identity: self.identity.clone(),
                    input: self.input.clone(),
                    epoch: *epoch,
                    group: *group,
                    body,
                    head: head.clone(),
                    lease_ms: lease_ms.clone(),
                };
                Errand { params: Params::Advance(Box::new(params)), with_body }
            }
        }
    }

    /// What was found in one key store may hold that one's share: it goes nowhere.
    fn for_member(&self, mut body: Stamped<Body>, member: &Member) -> Stamped<Body> {
        body.value.material = match (&body.value.material, self.dealing) {
            (Material::Split { .. }, Some(dealing)) => dealing.material_for(&member.launcher()),
            (material, _) => material.without_shares(),
        };
        body
    }
}

impl Errand {
    pub(super) fn prepare(identity: &Identity, input: &Input, epoch: Epoch) -> Self {
        let (identity, input) = (identity.clone(), input.clone());
        let params = LeaseParams { attestation: String::new(), identity, input, epoch };
        Self { params: Params::Lease(Box::new(params)), with_body: false }
    }

    pub(super) async fn run(
        self,
        client: Arc<KeycruxClient>,
        proof: Arc<Proof>,
        call: CallId,
        answers: mpsc::Sender<Answered>,
    ) {
        let (service, with_body) = (client.service(), self.with_body);
        let outcome = self.call(&client, &proof).await;
        // Nobody waits for it any more if the record is lost.
        drop(answers.send(Answered { service, call, with_body, outcome }).await);
    }

    async fn call(self, client: &KeycruxClient, proof: &Proof) -> Result<Reply<Body>, RpcError> {
        let attestation = proof.document().await.map_err(|e| {
            let code = protocol::rpc::Code::Internal.as_str().to_owned();
            RpcError::Refused(Refusal { code, message: e.to_string() })
        })?;
        match self.params {
            Params::Lease(params) => client.lease(&LeaseParams { attestation, ..*params }).await,
            Params::Advance(params) => client.advance(&AdvanceParams { attestation, ..*params }).await,
        }
    }
}
