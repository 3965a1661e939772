//! Machines that prove themselves, and who signs their builds.

use std::sync::LazyLock;

use attestation::{Expectations, Pcr, VerifyAt, pcr_digest, verify};
use attestation_sim::{Forge, SimRoot, image_pcrs};
use nostr::key::{Keys, PublicKey};
use protocol::nec::release::Release;
use protocol::nec::{Env, PolicyApproval, PolicyChange, Version};
use protocol::rpc::keycrux::Policy;
use units::UnixSecs;

use crate::policy::{Measured, Shown};
use crate::store::Caller;

pub(super) const NOW: UnixSecs = UnixSecs(1_750_000_000);
pub(super) const REPO: &str = "https://example.com/enclaved";

static ROOT: LazyLock<SimRoot> = LazyLock::new(|| SimRoot::generate().unwrap());
static KEYS: LazyLock<[Keys; 3]> = LazyLock::new(|| [(); 3].map(|()| Keys::generate()));
static MAINTAINERS: LazyLock<[PublicKey; 3]> =
    LazyLock::new(|| [0, 1, 2].map(|n: usize| KEYS[n].public_key()));
static STRANGER: LazyLock<PublicKey> = LazyLock::new(|| Keys::generate().public_key());

pub(super) fn keys() -> &'static [Keys; 3] {
    &KEYS
}

/// The events in which all maintainers sign a build.
pub(super) fn release_events(machine: &Machine) -> Vec<nostr::event::Event> {
    let version = machine.version.as_ref().unwrap().to_string();
    let sign = |by: &Keys| {
        protocol::nec::release::build(by, REPO, &version, &machine.build.pcrs, Env::Dev, NOW).unwrap()
    };
    KEYS.iter().map(|by| sign(by).into_event()).collect()
}

pub(super) fn stranger() -> PublicKey {
    *STRANGER
}

/// All three maintainers, so many of whom must sign.
pub(super) fn signed_policy(threshold: u32) -> Policy {
    Policy {
        repo: Some(REPO.into()),
        release_pubkeys: MAINTAINERS.iter().copied().collect(),
        env: Some(Env::Dev),
        threshold: Some(threshold),
        ..Policy::default()
    }
}

/// A build on a machine.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) build: Measured,
    pub(super) version: Option<Version>,
    pub(super) made_at: UnixSecs,
}

impl Machine {
    pub(super) fn unsigned(seed: &str) -> Self {
        let build = Measured { pcrs: image_pcrs(seed), pcr4: pcr_digest(b"i-0machine") };
        Self { build, version: None, made_at: NOW }
    }

    pub(super) fn signed(seed: &str, version: &str) -> Self {
        Self { version: Some(version.parse().unwrap()), ..Self::unsigned(seed) }
    }

    pub(super) fn on(&self, instance_id: &str) -> Self {
        let build = Measured { pcr4: pcr_digest(instance_id.as_bytes()), ..self.build };
        Self { build, ..self.clone() }
    }

    /// It asks, and shows besides that so many maintainers approve another policy.
    pub(super) fn caller_with_approvals(&self, by: usize, from: &Policy, to: &Policy) -> Caller {
        let change = PolicyChange { from: from.digest().unwrap(), to: to.digest().unwrap() };
        let approval =
            |signer: &PublicKey| PolicyApproval { signer: *signer, repo: REPO.into(), env: Env::Dev, change };
        let caller = self.caller();
        let approvals = MAINTAINERS.iter().take(by).map(approval).collect();
        Caller { shown: caller.shown.with_approvals(approvals), ..caller }
    }

    /// It asks, and shows the signatures of all maintainers if it is signed.
    pub(super) fn caller(&self) -> Caller {
        let mut forge = Forge::at(self.made_at);
        let registers: Vec<(u64, Pcr)> = (0..3).zip(self.build.pcrs).chain([(4, self.build.pcr4)]).collect();
        for (index, value) in &mut forge.payload.pcrs {
            if let Some((_, pcr)) = registers.iter().find(|(own, _)| own == index) {
                *value = pcr.as_bytes().to_vec();
            }
        }
        let raw = forge.document(&ROOT).unwrap();
        let at = VerifyAt::from(self.made_at);
        let document = verify(&raw, &Expectations::none(), ROOT.trust_root(), at).unwrap();
        let release = |signer: &PublicKey| Release {
            signer: *signer,
            repo: REPO.into(),
            env: Env::Dev,
            version: self.version.clone(),
            pcrs: self.build.pcrs,
        };
        let signed = self.version.as_ref().map(|_| MAINTAINERS.iter().map(release).collect());
        Caller { document, shown: Shown::new(Some(REPO.into()), signed.unwrap_or_default()) }
    }
}
