//! Statements about containers, gathered below one attestation document: the NSM answers a few questions
//! a second, and containers ask many.

use std::sync::Arc;
use std::time::Duration;

use instance::{Evidence, EvidenceError};
use nostr::event::EventId;
use protocol::event::{CheckedEvent, SignError};
use protocol::statement::merkle::Tree;
use protocol::statement::{BATCH_MAX, Claim, STATEMENT_VERSION, Statement, StatementProof};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::announce::containers::certificate;
use crate::context::Context;
use crate::store::Container;

/// Statements that come so soon after the first share its document. At most four documents a second.
const GATHER: Duration = Duration::from_millis(250);
/// Statements that wait; who asks for more is told to come again.
const WAITING_MAX: usize = BATCH_MAX;

/// A statement could not be made.
#[derive(Clone, Debug, Error)]
pub enum StatementError {
    /// Too many are asked for at once.
    #[error("too many statements are asked for at once")]
    Busy,
    /// It could not be signed.
    #[error("the statement could not be signed: {0}")]
    Sign(Arc<SignError>),
    /// There is no evidence to show.
    #[error("the statement could not be attested: {0}")]
    Evidence(Arc<EvidenceError>),
    /// Another may have this server's state, and state for it.
    #[error("this server may not act now")]
    NotHolding,
    /// The server is ending.
    #[error("the server is ending")]
    Ending,
}

/// Where statements are asked for.
#[derive(Clone, Debug)]
pub struct Statements(mpsc::Sender<Waiting>);

/// The other end: what is asked for, and not stated yet.
#[derive(Debug)]
pub struct StatementQueue(mpsc::Receiver<Waiting>);

#[derive(Debug)]
struct Waiting {
    container: Container,
    statement: CheckedEvent,
    answer: oneshot::Sender<Result<StatementProof, StatementError>>,
}

impl Statements {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, StatementQueue) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), StatementQueue(receiver))
    }

    /// States `claim` about a container, and waits until the NSM has it in a document.
    ///
    /// # Errors
    /// [`StatementError`].
    pub async fn state(
        &self,
        ctx: &Context,
        container: &Container,
        claim: Claim,
    ) -> Result<StatementProof, StatementError> {
        if !ctx.hold.may_act() {
            return Err(StatementError::NotHolding);
        }
        let statement = Statement {
            version: STATEMENT_VERSION,
            image: container.spec.image.clone(),
            manifest_sha256: container.spec.manifest_sha256.clone(),
            claim,
        };
        let statement = statement
            .sign(&container.keys, ctx.clock.now())
            .map_err(|e| StatementError::Sign(Arc::new(e)))?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { container: container.clone(), statement, answer };
        self.0.try_send(waiting).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => StatementError::Busy,
            mpsc::error::TrySendError::Closed(_) => StatementError::Ending,
        })?;
        answered.await.map_err(|_| StatementError::Ending)?
    }
}

impl StatementQueue {
    /// States what is asked for until the future is dropped.
    pub async fn run(mut self, ctx: Arc<Context>) {
        let mut batch = Vec::new();
        while self.0.recv_many(&mut batch, 1).await > 0 {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH_MAX {
                let Ok(another) = self.0.try_recv() else { break };
                batch.push(another);
            }
            attest(&ctx, std::mem::take(&mut batch)).await;
        }
    }
}

async fn attest(ctx: &Context, batch: Vec<Waiting>) {
    let ids: Vec<EventId> = batch.iter().map(|waiting| waiting.statement.id).collect();
    let Some(tree) = Tree::new(&ids) else { return };
    metrics::histogram!("statements_per_document")
        .record(f64::from(u32::try_from(ids.len()).unwrap_or(u32::MAX)));
    let evidence = ctx.attestor.over(&tree.head().0).await.map_err(Arc::new);
    for (index, Waiting { container, statement, answer }) in batch.into_iter().enumerate() {
        let proof = match &evidence {
            Ok(evidence) => prove(ctx, evidence, &tree, index, &container, statement),
            Err(e) => Err(StatementError::Evidence(Arc::clone(e))),
        };
        // Who asked may have stopped waiting.
        drop(answer.send(proof));
    }
}

fn prove(
    ctx: &Context,
    evidence: &Evidence,
    tree: &Tree,
    index: usize,
    container: &Container,
    statement: CheckedEvent,
) -> Result<StatementProof, StatementError> {
    // Gathering and the NSM take their time.
    if !ctx.hold.may_act() {
        return Err(StatementError::NotHolding);
    }
    let certificate = certificate(ctx, evidence, container).map_err(|e| StatementError::Sign(Arc::new(e)))?;
    Ok(StatementProof {
        statement,
        certificate,
        root: evidence.root.clone(),
        path: tree.path(index).ok_or(StatementError::Ending)?,
        repo: ctx.config.repo.clone(),
        releases: ctx.releases.get().cloned().unwrap_or_default(),
    })
}
