//! An enclave that asks: a build on a machine, with a simulated NSM.

use std::sync::Arc;

use attestation::nsm::Nsm;
use attestation::{Pcr, pcr_digest};
use attestation_sim::{SimConfig, SimNsm, SimRoot, image_pcrs};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Event;
use nostr::key::Keys;
use protocol::nec::{Env, release};
use protocol::rpc::keycrux::{Build, Identity, Input, Policy};
use units::{Clock, SystemClock, UnixSecs};

pub(crate) const REPO: &str = "https://example.com/enclaved";
pub(crate) const INSTANCE_ID: &str = "i-0owner";

/// A build on a machine.
#[derive(Clone)]
pub(crate) struct Enclave {
    pub(crate) nsm: Nsm,
    pub(crate) pcrs: [Pcr; 3],
    pub(crate) pcr4: Pcr,
}

impl Enclave {
    pub(crate) fn start(root: &Arc<SimRoot>, image_seed: &str) -> Self {
        Self::with(root, image_seed, INSTANCE_ID, false, Arc::new(SystemClock))
    }

    pub(crate) fn with(
        root: &Arc<SimRoot>,
        image_seed: &str,
        instance_id: &str,
        is_debug: bool,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let config = SimConfig {
            instance_id: instance_id.parse().unwrap(),
            image_seed: image_seed.into(),
            is_debug,
            ..SimConfig::default()
        };
        let nsm = Nsm::new(Arc::new(SimNsm::new(Arc::clone(root), config, clock).unwrap()));
        Self { nsm, pcrs: image_pcrs(image_seed), pcr4: pcr_digest(instance_id.as_bytes()) }
    }

    /// A document for these keys, base64.
    pub(crate) fn document(&self, keys: &Keys) -> String {
        STANDARD.encode(self.nsm.attest(Some(&keys.public_key().to_bytes()), None, None).unwrap())
    }

    pub(crate) fn identity(&self, policy: &Policy) -> Identity {
        Identity::new(self.pcr4, self.pcrs, policy)
    }

    pub(crate) fn build(&self, version: &str) -> Build {
        Build { pcrs: self.pcrs, version: version.parse().ok(), since: SystemClock.now() }
    }
}

/// A maintainer's signature of a build.
pub(crate) fn signed(by: &Keys, repo: &str, version: &str, image_seed: &str, env: Env) -> Event {
    signed_at(by, repo, version, image_seed, env, SystemClock.now())
}

pub(crate) fn signed_at(
    by: &Keys,
    repo: &str,
    version: &str,
    image_seed: &str,
    env: Env,
    at: UnixSecs,
) -> Event {
    release::build(by, repo, version, &image_pcrs(image_seed), env, at).unwrap().into_event()
}

pub(crate) fn input(release_signatures: Vec<Event>) -> Input {
    Input { repo: Some(REPO.into()), release_signatures }
}

/// These maintainers, so many of whom must sign.
pub(crate) fn policy(maintainers: &[Keys], threshold: u32) -> Policy {
    Policy {
        repo: Some(REPO.into()),
        release_pubkeys: maintainers.iter().map(Keys::public_key).collect(),
        env: Some(Env::Dev),
        threshold: Some(threshold),
        ..Policy::default()
    }
}
