//! The methods, for whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use attestation::TrustRoot;
use keyholder::Trust;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::nec::Env;
use protocol::rpc::keycrux::{
    AdvanceParams, CheckParams, GetParams, HasParams, HeadParams, Input, LeaseParams, PeerParams, SetParams,
    StatusReply,
};
use protocol::rpc::{Code, Failure};
use quorum::{PeerRequest, Size};
use relay::request_log::RequestKey;
use relay::rpc::{Effect, Handler, Method};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use units::{Clock, Stopwatch};

use crate::caller::verify_caller;
use crate::policy::{Measured, Shown};
use crate::store::{Advance, Caller, Store, Which};

/// Oldest attestation with which another member is believed.
const PEER_EVIDENCE_SECS_MAX: u64 = 600;
/// The methods that there are.
const METHODS: [&str; 10] =
    ["ping", "status", "has", "head", "set", "get", "lease", "advance", "check", "peer"];

/// The records, for those who hold the lock.
#[derive(Clone, Debug)]
pub struct SharedStore {
    store: Arc<Mutex<Store>>,
    since: Stopwatch,
}

impl SharedStore {
    /// Shares a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store: Arc::new(Mutex::new(store)), since: Stopwatch::start() }
    }

    /// The store, at this time. Nobody waits for anything while they hold it.
    pub fn lock(&self) -> MutexGuard<'_, Store> {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.tick(self.since.elapsed());
        store
    }
}

/// Answers requests.
#[derive(Debug)]
pub struct Api {
    /// The records.
    pub store: SharedStore,
    /// Whose signature must end an attestation.
    pub root: TrustRoot,
    /// Who may ask as another member.
    pub trust: Arc<Trust>,
    /// The group's size.
    pub size: Size,
    /// What this key store is for.
    pub env: Env,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Handler for Api {
    /// None leaves a trace: whoever asks again gets the same done again, to the same effect. And what is
    /// asked and answered here is nothing to be written down.
    fn method(&self, name: &str) -> Option<Method> {
        let name = METHODS.into_iter().find(|known| *known == name)?;
        Some(Method { name, effect: Effect::None })
    }

    async fn handle(
        &self,
        caller: relay::rpc::Caller,
        _key: RequestKey,
        method: &str,
        params: Value,
    ) -> Result<Value, Failure> {
        let caller = caller.pubkey;
        match method {
            "ping" => Ok(Value::from("pong")),
            "status" => reply(self.status()),
            "has" => reply(self.store.lock().has(&read::<HasParams>(params)?.pcr4)),
            "head" => reply(self.store.lock().head(read::<HeadParams>(params)?.record)?),
            "set" => self.set(caller, read(params)?),
            "get" => self.get(caller, read(params)?),
            "lease" => self.lease(caller, read(params)?),
            "advance" => self.advance(caller, read(params)?),
            "check" => self.check(caller, read(params)?),
            "peer" => self.peer(caller, read(params)?),
            _ => Err(Failure::new(Code::MethodUnknown, "no such method; see `protocol::rpc::keycrux`")),
        }
    }
}

impl Api {
    fn caller(&self, key: PublicKey, attestation: &str, input: Input) -> Result<Caller, Failure> {
        let document = verify_caller(&self.root, &key, attestation, self.clock.now_ms())?;
        Ok(Caller { document, shown: Shown::read(input)? })
    }

    fn status(&self) -> StatusReply {
        let store = self.store.lock();
        let limits = store.limits();
        StatusReply {
            version: env!("CARGO_PKG_VERSION").into(),
            env: self.env,
            serving: store.origin().is_some(),
            origin: store.origin().cloned(),
            members: self.size.members(),
            writes: self.size.writes(),
            records: store.len(),
            records_max: limits.max,
            data_bytes_max: limits.data_bytes_max,
            ttl_secs: limits.ttl_secs,
        }
    }

    fn set(&self, key: PublicKey, params: SetParams) -> Result<Value, Failure> {
        let SetParams { attestation, data, policy, input } = params;
        let caller = self.caller(key, &attestation, input.unwrap_or_default())?;
        self.store.lock().set(&caller, data, policy, self.clock.now())?;
        Ok(Value::from("ok"))
    }

    fn get(&self, key: PublicKey, params: GetParams) -> Result<Value, Failure> {
        let GetParams { attestation, input, identity } = params;
        let caller = self.caller(key, &attestation, input.unwrap_or_default())?;
        reply(self.store.lock().get(&caller, identity.as_ref(), self.clock.now())?)
    }

    fn lease(&self, key: PublicKey, params: LeaseParams) -> Result<Value, Failure> {
        let LeaseParams { attestation, identity, input, epoch } = params;
        let caller = self.caller(key, &attestation, input)?;
        reply(self.store.lock().lease(&caller, &identity, epoch, self.clock.now())?)
    }

    fn advance(&self, key: PublicKey, params: AdvanceParams) -> Result<Value, Failure> {
        let AdvanceParams { attestation, identity, input, epoch, group, body, head, lease_ms } = params;
        let caller = self.caller(key, &attestation, input)?;
        let advance = Advance { epoch, group, body, head, lease_ms };
        reply(self.store.lock().advance(&caller, &identity, advance, self.clock.now())?)
    }

    fn check(&self, key: PublicKey, params: CheckParams) -> Result<Value, Failure> {
        let CheckParams { attestation, build, identity, genesis, input } = params;
        let which = match (&identity, genesis) {
            (Some(identity), None) => Which::Named(identity),
            (None, Some(genesis)) => Which::Genesis(genesis),
            (None, None) => Which::Only,
            (Some(_), Some(_)) => {
                let problem = "give either an identity, which names its genesis event, or that event's id";
                return Err(Failure::new(Code::ParamsInvalid, problem));
            }
        };
        let build = match (attestation, build) {
            (Some(attestation), None) => {
                let document = verify_caller(&self.root, &key, &attestation, self.clock.now_ms())?;
                Measured::of(&document)
            }
            (None, Some(build)) => Some(Measured { pcrs: build.pcrs, pcr4: build.pcr4 }),
            (_, _) => {
                let problem = "give either an attestation, or a build by its registers";
                return Err(Failure::new(Code::ParamsInvalid, problem));
            }
        };
        let build = build.filter(Measured::is_whole);
        let build = build.ok_or_else(|| {
            Failure::new(Code::AttestationInvalid, "PCR0, 1, 2 and 4 of a released build are not zero")
        })?;
        let shown = Shown::read(input)?;
        reply(self.store.lock().check(&build, &shown, which, self.clock.now())?)
    }

    /// Answers another member. It proves by its announcement which build it is and whose machine it runs
    /// on, and may speak for no other member and for no other instance.
    fn peer(&self, key: PublicKey, params: PeerParams) -> Result<Value, Failure> {
        let PeerParams { announcement, request, after } = params;
        let refuse = |why: String| Failure::new(Code::NotMember, why);
        let announcement = CheckedEvent::check(announcement).map_err(|e| refuse(e.to_string()))?;
        if announcement.pubkey != key {
            return Err(refuse("the announcement is not by the key that signed the request".into()));
        }
        let member = self
            .trust
            .verify(&announcement, self.clock.now(), Some(PEER_EVIDENCE_SECS_MAX))
            .map_err(|e| refuse(e.to_string()))?;
        let (claimed, boot) = match &request {
            PeerRequest::Hello(hello) => (hello.member, hello.boot),
            PeerRequest::Join { member, incarnation, .. } => (*member, incarnation.boot),
        };
        if (claimed, boot) != (member.id(), member.boot()) {
            return Err(refuse("a member speaks for itself only".into()));
        }
        let mut store = self.store.lock();
        let answer = store.answer_peer(request, after);
        drop(store);
        reply(answer)
    }
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Failure> {
    serde_json::from_value(params).map_err(|e| Failure::new(Code::ParamsInvalid, format!("params: {e}")))
}

fn reply(value: impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|e| {
        tracing::error!("an answer could not be written: {e}");
        Failure::new(Code::Internal, "the answer could not be written")
    })
}
