//! Carries a tenure's requests to the key stores, and their answers back.

mod answers;
mod evidence;
mod outgoing;
mod refusals;
mod writing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::rpc::keycrux::{Body, Material, SecretData, UNWRITTEN_SECS};
use quorum::{Epoch, Lost, RecordId, Reply, Stage, Stamped, Tenure, TenureRules};
use relay::rpc::RpcError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::dealing::{Collected, Dealing};
use super::lines::{Finder, Line};
use super::{AcquireError, Command, Found, HoldError, HolderOptions, Loss, Shared, State};
use crate::{Directory, KeycruxClient, Known, Member, Proof};
use outgoing::{Errand, Outgoing};
use refusals::{Refusals, is_passing, is_verdict};

/// Answers that wait to be looked at: some for each key store.
const ANSWERS_MAX: usize = 64;
/// Lists of key stores that wait: only the last counts.
const FINDINGS_MAX: usize = 2;
/// A request that failed is made again after this.
const AGAIN_MS: u64 = 500;
/// The driver looks at its clock at least so often.
const TICK: Duration = Duration::from_millis(100);
/// Renewals in the length of one lease: two may be lost.
const RENEWALS_PER_LEASE: u64 = 3;
/// Epochs that are opened before somebody else is said to hold the record: who has not heard of the last
/// ones learns of them by being refused.
const EPOCHS_MAX: u32 = 5;

/// Which request an answer is to: which epoch that was tried, and which call in it.
type CallId = (u32, u64);

struct Call {
    member: Member,
    client: Arc<KeycruxClient>,
    /// The call that it has answered, or is answering.
    busy_with: Option<CallId>,
    again_at_ms: u64,
    /// When it last answered.
    heard_ms: Option<u64>,
}

/// What came of one request to one key store.
pub(super) struct Answered {
    service: PublicKey,
    call: CallId,
    with_body: bool,
    outcome: Result<Reply<Body>, RpcError>,
}

pub(super) struct Driver {
    options: HolderOptions,
    shared: Arc<Shared>,
    record: RecordId,
    proof: Arc<Proof>,
    tenure: Tenure<Body>,
    epochs: u32,
    calls: BTreeMap<PublicKey, Call>,
    sending: JoinSet<()>,
    refusals: Refusals,
    /// Those of the body that is being written.
    body_refusals: Refusals,
    commands: mpsc::Receiver<Command>,
    queued: Option<Command>,
    under_way: Option<oneshot::Sender<Result<(), HoldError>>>,
    renewed_ms: u64,
    collected: Collected,
    secret: Option<SecretData>,
    dealing: Option<Dealing>,
    dealings: u64,
    /// The body of our last write, and the instances that have it.
    written: Option<Stamped<Body>>,
    has_body: BTreeSet<PublicKey>,
    lacks_body: BTreeSet<PublicKey>,
    rewrite: bool,
    state: watch::Sender<State>,
    found: Option<oneshot::Sender<Found>>,
    hurry: Arc<AtomicBool>,
    findings: mpsc::Receiver<Vec<Line>>,
    finder: Option<Finder>,
    known: Known,
    answers: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
}

impl Driver {
    pub(super) fn new(
        options: HolderOptions,
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        state: watch::Sender<State>,
        found: oneshot::Sender<Found>,
    ) -> Result<Self, AcquireError> {
        let keys = Keys::generate();
        let record = options.identity.record_id();
        let proof = Arc::new(Proof::new(options.nsm.clone(), keys.public_key(), Arc::clone(&options.clock)));
        let hurry = Arc::new(AtomicBool::new(true));
        let (findings_tx, findings) = mpsc::channel(FINDINGS_MAX);
        let directory =
            Directory::new(options.pool.clone(), Arc::clone(&options.trust), Arc::clone(&options.clock));
        let known = directory.known().clone();
        let finder = Finder {
            directory,
            pool: options.pool.clone(),
            keys,
            clock: Arc::clone(&options.clock),
            hurry: Arc::clone(&hurry),
            found: findings_tx,
        };
        let epoch = Epoch::default().next(random().ok_or(AcquireError::Random)?);
        let tenure = Tenure::open(rules(&options), record, epoch, shared.now_ms());
        Ok(Self {
            options,
            shared,
            record,
            proof,
            tenure,
            epochs: 1,
            calls: BTreeMap::new(),
            sending: JoinSet::new(),
            refusals: Refusals::default(),
            body_refusals: Refusals::default(),
            commands,
            queued: None,
            under_way: None,
            renewed_ms: 0,
            collected: Collected::default(),
            secret: None,
            dealing: None,
            dealings: 0,
            written: None,
            has_body: BTreeSet::new(),
            lacks_body: BTreeSet::new(),
            rewrite: false,
            state,
            found: Some(found),
            hurry,
            findings,
            finder: Some(finder),
            known,
            answers: mpsc::channel(ANSWERS_MAX),
        })
    }

    pub(super) async fn run(mut self) {
        if let Some(finder) = self.finder.take() {
            tokio::spawn(finder.run());
        }
        let loss = loop {
            let now_ms = self.shared.now_ms();
            self.tenure.tick(now_ms);
            self.give_up_body(now_ms);
            self.go_on(now_ms);
            if let Some(loss) = self.loss() {
                break loss;
            }
            self.publish();
            self.send(now_ms);
            tokio::select! {
                Some(answered) = self.answers.1.recv() => self.take(answered),
                Some(lines) = self.findings.recv() => self.connect(lines),
                command = self.commands.recv(), if self.queued.is_none() => match command {
                    Some(command) => self.queued = Some(command),
                    None => break Loss::Stopped,
                },
                () = tokio::time::sleep(TICK) => {}
                Some(_) = self.sending.join_next() => {}
            }
        };
        self.shared.until_ms.store(0, Ordering::SeqCst);
        // Whoever waits learns of the loss, not only that nobody answers.
        self.state.send_replace(State::Lost(loss.clone()));
        for done in self.under_way.take().into_iter().chain(self.queued.take().map(Command::done)) {
            drop(done.send(Err(loss.clone().into())));
        }
    }

    /// Those that were found, and those that answer although they were not: strangers may fill what relays
    /// hold, and nobody is left because of that.
    fn connect(&mut self, lines: Vec<Line>) {
        let (now_ms, lately_ms) = (self.shared.now_ms(), millis(self.options.lease));
        self.calls.retain(|service, line| {
            lines.iter().any(|(member, _)| member.service() == *service)
                || line.heard_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < lately_ms)
        });
        self.refusals.retain(|service| self.calls.contains_key(service));
        for (member, client) in lines {
            let new = Call { member, client, busy_with: None, again_at_ms: 0, heard_ms: None };
            self.calls.entry(member.service()).or_insert(new);
        }
    }

    /// Sends the call under way to every key store that has not answered it.
    fn send(&mut self, now_ms: u64) {
        self.hurry.store(self.lacks_members(now_ms), Ordering::SeqCst);
        self.remember_written();
        let wants_shares = self.wants_shares();
        let Some(request) = self.tenure.request() else {
            // The call is over. Who has not shown its share yet is asked once more.
            if wants_shares {
                self.ask_for_shares(now_ms);
            }
            return;
        };
        let call = (self.epochs, self.tenure.call_number());
        let outgoing = Outgoing {
            identity: &self.options.identity,
            input: &self.options.input,
            dealing: self.dealing.as_ref(),
            written: self.written.as_ref(),
            lacks_body: &self.lacks_body,
        };
        for (service, line) in &mut self.calls {
            if line.busy_with == Some(call) || now_ms < line.again_at_ms {
                continue;
            }
            line.busy_with = Some(call);
            let has_body = self.has_body.contains(service);
            let errand = outgoing.errand(request, &line.member, has_body);
            let answers = self.answers.0.clone();
            self.sending.spawn(errand.run(Arc::clone(&line.client), Arc::clone(&self.proof), call, answers));
        }
    }

    /// True if a member was not heard since the last renewal but one: it may have started anew.
    fn lacks_members(&self, now_ms: u64) -> bool {
        let lately_ms = millis(self.options.lease) * 2 / RENEWALS_PER_LEASE;
        let is_there =
            |line: &&Call| line.heard_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < lately_ms);
        let there = self.calls.values().filter(is_there).map(|line| line.member.id());
        there.collect::<BTreeSet<_>>().len() < self.options.size.members()
    }

    fn wants_shares(&self) -> bool {
        let is_split = |body: &Body| matches!(body.material, Material::Split { .. });
        self.secret.is_none() && self.tenure.body().is_some_and(is_split)
    }

    /// Opens our own epoch again, which changes nothing and shows what is there.
    fn ask_for_shares(&mut self, now_ms: u64) {
        self.shared.set_problem(format!("{} shares of the secret are there", self.collected.most()));
        let call = (0, self.tenure.call_number());
        for line in self.calls.values_mut() {
            if line.busy_with == Some(call) || now_ms < line.again_at_ms {
                continue;
            }
            line.busy_with = Some(call);
            let errand = Errand::prepare(&self.options.identity, &self.options.input, self.tenure.epoch());
            let answers = self.answers.0.clone();
            self.sending.spawn(errand.run(Arc::clone(&line.client), Arc::clone(&self.proof), call, answers));
        }
    }

    /// Why it is over, if it is.
    fn loss(&mut self) -> Option<Loss> {
        let (size, now_ms) = (self.options.size, self.shared.now_ms());
        let spare = size.members() - size.writes();
        // Who has nothing yet loses nothing by taking any refusal for final.
        let verdict = if self.found.is_some() {
            self.refusals.verdict(spare, now_ms, 0, |refusal| !is_passing(refusal))
        } else {
            self.refusals.verdict(spare, now_ms, millis(self.options.lease), is_verdict)
        };
        if let Some(refusal) = verdict {
            return Some(Loss::Refused(refusal));
        }
        let Stage::Lost(lost) = self.tenure.stage() else { return None };
        let by = match lost {
            Lost::Fenced { by } => Some(by),
            Lost::Unwritten => Some(self.tenure.epoch()),
            Lost::Regrouped if self.found.is_none() => {
                self.orphan();
                return None;
            }
            Lost::Regrouped => None,
        };
        if let Some(by) = by
            && self.found.is_some()
            && self.epochs < EPOCHS_MAX
            && let Some(holder) = random()
        {
            self.epochs += 1;
            self.tenure = Tenure::open(rules(&self.options), self.record, by.next(holder), now_ms);
            return None;
        }
        Some(lost.into())
    }

    /// The key stores that had the record are gone. We may be the only one that still knows what was in it,
    /// so nothing ends; and nothing goes on, because they do not say any more whether we are alone.
    fn orphan(&mut self) {
        let is_new = self.state.send_if_modified(|state| {
            let is_new = !matches!(state, State::Orphaned);
            *state = State::Orphaned;
            is_new
        });
        if is_new {
            tracing::error!("{}", Lost::Regrouped);
        }
        for done in self.under_way.take().into_iter().chain(self.queued.take().map(Command::done)) {
            drop(done.send(Err(Loss::from(Lost::Regrouped).into())));
        }
    }

    /// Tells whoever waits how far it is.
    fn publish(&mut self) {
        let until_ms = match self.tenure.stage() {
            Stage::Holding { until_ms } => until_ms,
            Stage::Preparing | Stage::Settling | Stage::Waiting { .. } | Stage::Lost(_) => 0,
        };
        if until_ms > 0 {
            self.restore_secret();
        }
        let is_known = self.tenure.body().is_none() || self.secret.is_some();
        // Nobody acts before it was told what it holds.
        if until_ms > 0 && is_known && self.found.is_some() {
            // Whoever is told must find that it may act.
            self.shared.until_ms.store(until_ms, Ordering::SeqCst);
            self.tell_found();
        }
        let until_ms = if self.found.is_none() { until_ms } else { 0 };
        self.shared.until_ms.store(until_ms, Ordering::SeqCst);
    }

    fn tell_found(&mut self) {
        let (Some(group), Some(found)) = (self.tenure.group(), self.found.take()) else { return };
        let body = self.tenure.body();
        let what = Found {
            epoch: self.tenure.epoch(),
            group,
            secret: self.secret.clone(),
            policy: body.map(|body| body.policy.clone()),
            lineage: body.map(|body| body.lineage.clone()).unwrap_or_default(),
            head: self.tenure.head(),
        };
        self.state.send_replace(State::Holding);
        drop(found.send(what));
    }
}

impl Command {
    fn done(self) -> oneshot::Sender<Result<(), HoldError>> {
        match self {
            Self::Advance(_, done) | Self::Write(_, done) => done,
        }
    }
}

fn rules(options: &HolderOptions) -> TenureRules {
    TenureRules {
        size: options.size,
        lease_ms: millis(options.lease),
        margin_ms: millis(options.margin),
        unwritten_ms: UNWRITTEN_SECS * 1_000 / 2,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn random() -> Option<[u8; 16]> {
    let mut holder = [0; 16];
    getrandom::fill(&mut holder).ok().map(|()| holder)
}
