//! The module: what it answers to each request.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use attestation::nsm::{
    NsmDigest, NsmError, NsmErrorCode, NsmProvider, NsmRequest, NsmResponse, REQUEST_BYTES_MAX,
};
use attestation::{PCR_COUNT, Pcr, pcr_digest};
use aws_lc_rs::rand;
use units::Clock;

use crate::chain::{ChainSpec, IssuedChain};
use crate::document::{PayloadSpec, sign};
use crate::registers::{Registers, image_pcrs};
use crate::{IssueError, SimRoot};

/// What the device gives at once.
const RANDOM_BYTES: usize = 256;
/// What the device takes of each of `public_key`, `user_data` and `nonce` (attestation_process.md §2.2).
const OPTIONAL_BYTES_MAX: usize = 1_024;
/// What the device calls itself.
const VERSION: (u16, u16, u16) = (1, 0, 0);
/// An EC2 instance id has 17 characters after `i-`; the rest is room for names that people choose.
const INSTANCE_ID_LENGTH_MAX: usize = 34;

/// An EC2 instance's id, which PCR4 measures: `i-` and small letters and digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceId(String);

/// A text that is no instance id.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("an instance id is `i-` and up to 32 small letters and digits, for example i-0123456789abcdef0")]
pub struct InstanceIdError;

/// The enclave that a module belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SimConfig {
    /// The instance that it runs on.
    pub instance_id: InstanceId,
    /// Stands for the image: PCR0, 1 and 2 follow from it, see [`image_pcrs`].
    pub image_seed: String,
    /// Registers that differ from what image and instance make them.
    pub pcrs: BTreeMap<u8, Pcr>,
    /// True zeroes PCR0, 1 and 2.
    pub is_debug: bool,
}

/// A simulated module.
#[derive(Debug)]
pub struct SimNsm {
    root: Arc<SimRoot>,
    clock: Arc<dyn Clock>,
    instance_id: InstanceId,
    module_id: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    registers: Registers,
    /// Issued when the first document is asked for.
    chain: Option<IssuedChain>,
}

impl SimNsm {
    /// A module that has just been started, under `root`.
    ///
    /// # Errors
    /// [`IssueError::Key`] if there are no random bytes for the enclave's id.
    pub fn new(root: Arc<SimRoot>, config: SimConfig, clock: Arc<dyn Clock>) -> Result<Self, IssueError> {
        let mut tail = [0; 2];
        rand::fill(&mut tail).map_err(|_| IssueError::Key)?;
        // As AWS's: 48 bits of milliseconds, 16 random ones.
        let started_ms = clock.now_ms() & 0xffff_ffff_ffff;
        let module_id = format!("{}-enc{started_ms:012x}{}", config.instance_id, hex::encode(tail));
        let pcr4 = pcr_digest(config.instance_id.0.as_bytes());
        let measured = (0_u8..).zip(image_pcrs(&config.image_seed)).chain([(4, pcr4)]);
        let registers = Registers::new(measured.chain(config.pcrs), config.is_debug);
        let state = Mutex::new(State { registers, chain: None });
        Ok(Self { root, clock, instance_id: config.instance_id, module_id, state })
    }

    /// The module's id.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Answers a request.
    #[must_use]
    pub fn handle(&self, request: &NsmRequest) -> NsmResponse {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = match request {
            NsmRequest::DescribePcr { index } => state
                .registers
                .describe(*index)
                .map(|(value, lock)| NsmResponse::DescribePcr { lock, data: value.as_bytes().to_vec() }),
            NsmRequest::ExtendPcr { index, data } => {
                let extended = state.registers.extend(*index, data);
                extended.map(|value| NsmResponse::ExtendPcr { data: value.as_bytes().to_vec() })
            }
            NsmRequest::LockPcr { index } => state.registers.lock(*index).map(|()| NsmResponse::LockPcr),
            NsmRequest::LockPcrs { range } => {
                state.registers.lock_below(*range).map(|()| NsmResponse::LockPcrs)
            }
            NsmRequest::DescribeNsm => Ok(self.describe(&state)),
            NsmRequest::Attestation { user_data, nonce, public_key } => {
                self.attest(&mut state, public_key.as_deref(), user_data.as_deref(), nonce.as_deref())
            }
            NsmRequest::GetRandom => random(),
        };
        answer.unwrap_or_else(NsmResponse::Error)
    }

    /// Answers the bytes of a request with the bytes of a response, whatever they are.
    #[must_use]
    pub fn handle_bytes(&self, request: &[u8]) -> Vec<u8> {
        let response = if request.len() > REQUEST_BYTES_MAX {
            NsmResponse::Error(NsmErrorCode::InputTooLarge)
        } else {
            match NsmRequest::decode(request) {
                Ok(request) => self.handle(&request),
                Err(_) => NsmResponse::Error(NsmErrorCode::InvalidOperation),
            }
        };
        response.encode()
    }

    fn describe(&self, state: &State) -> NsmResponse {
        let (version_major, version_minor, version_patch) = VERSION;
        NsmResponse::DescribeNsm {
            version_major,
            version_minor,
            version_patch,
            module_id: self.module_id.clone(),
            max_pcrs: PCR_COUNT.into(),
            locked_pcrs: state.registers.locked().map(|(index, _)| index).collect(),
            digest: NsmDigest::Sha384,
        }
    }

    fn attest(
        &self,
        state: &mut State,
        public_key: Option<&[u8]>,
        user_data: Option<&[u8]>,
        nonce: Option<&[u8]>,
    ) -> Result<NsmResponse, NsmErrorCode> {
        let mut given = [public_key, user_data, nonce].into_iter().flatten();
        if given.any(|value| value.len() > OPTIONAL_BYTES_MAX) {
            return Err(NsmErrorCode::InputTooLarge);
        }
        let locked = state.registers.locked();
        let payload = PayloadSpec {
            module_id: self.module_id.clone(),
            timestamp_ms: self.clock.now_ms(),
            pcrs: locked.map(|(index, value)| (index.into(), value.as_bytes().to_vec())).collect(),
            public_key: public_key.map(<[u8]>::to_vec),
            user_data: user_data.map(<[u8]>::to_vec),
            nonce: nonce.map(<[u8]>::to_vec),
            is_definite: false,
        };
        self.sign(state, &payload)
            .map(|document| NsmResponse::Attestation { document })
            .map_err(|_| NsmErrorCode::InternalError)
    }

    /// Signs with a leaf that is fresh, issuing what it takes.
    fn sign(&self, state: &mut State, payload: &PayloadSpec) -> Result<Vec<u8>, IssueError> {
        let now = self.clock.now();
        let fresh = match state.chain.take() {
            Some(chain) if chain.is_fresh(now) => Some(chain),
            Some(mut chain) => chain.renew_leaf(&self.root, &self.module_id, now)?.then_some(chain),
            None => None,
        };
        let issue = || ChainSpec::nitro(&self.instance_id.0, &self.module_id, now).issue(&self.root);
        let chain = fresh.map_or_else(issue, Ok)?;
        let document = sign(&payload.encode(chain.certificate(), chain.cabundle()), chain.leaf_key());
        state.chain = Some(chain);
        document
    }
}

impl NsmProvider for SimNsm {
    fn process(&self, request: &NsmRequest) -> Result<NsmResponse, NsmError> {
        Ok(self.handle(request))
    }
}

fn random() -> Result<NsmResponse, NsmErrorCode> {
    let mut random = vec![0; RANDOM_BYTES];
    match rand::fill(&mut random) {
        Ok(()) => Ok(NsmResponse::GetRandom { random }),
        Err(_) => Err(NsmErrorCode::InternalError),
    }
}

impl Default for SimConfig {
    /// Some image on some instance, not in debug mode.
    fn default() -> Self {
        Self {
            instance_id: InstanceId("i-0123456789abcdef0".to_owned()),
            image_seed: "enclaved".to_owned(),
            pcrs: BTreeMap::new(),
            is_debug: false,
        }
    }
}

impl FromStr for InstanceId {
    type Err = InstanceIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_prefix("i-").unwrap_or_default();
        let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if name.is_empty() || text.len() > INSTANCE_ID_LENGTH_MAX || !is_plain {
            return Err(InstanceIdError);
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
