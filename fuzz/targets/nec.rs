//! The verifiers of NEC events: of announcements, containers, certificates, of what is embedded in them, and of
//! what people sign for a machine and its builds.
#![no_main]

use std::sync::LazyLock;

use attestation::VerifiedDocument;
use fuzz::{DOCUMENT, Draft, NOW, trust, verdict};
use libfuzzer_sys::fuzz_target;
use protocol::nec::release::Release;
use protocol::nec::{
    Env, Policy, PolicyApproval, VerifiedChain, VerifiedContainer, VerifiedGenesis, VerifiedInstance, VerifiedRoot,
};

/// The machine for which a launcher may permit a fresh start.
static MACHINE: LazyLock<VerifiedDocument> = LazyLock::new(|| verdict(DOCUMENT).expect("it verifies"));

fuzz_target!(|input: &str| {
    let Some(event) = serde_json::from_str::<Draft>(input).ok().and_then(|draft| draft.signed()) else {
        return;
    };
    let policy = Policy::new(trust().clone(), NOW);
    let policy = Policy { allow_debug: true, ..policy };
    if let Ok(instance) = VerifiedInstance::verify(&event, &policy) {
        assert_eq!(instance.service(), event.pubkey);
        assert!(!instance.is_pinned() && instance.expires_at() >= NOW);
    }
    if let Ok(container) = VerifiedContainer::verify(&event, &policy) {
        assert!(container.expires_at() >= NOW);
    }
    if let Ok(root) = VerifiedRoot::verify(&event, &policy) {
        assert_eq!(root.service(), event.pubkey);
        // A chain that ends with its root is one for the service.
        assert!(VerifiedChain::verify(&event, &[], &event.pubkey, &policy).is_ok());
    }
    if let Ok(genesis) = VerifiedGenesis::verify(&event, &MACHINE, Env::Dev) {
        assert_eq!((genesis.launcher(), genesis.id()), (event.pubkey, event.id));
        let pcr4 = MACHINE.pcr(4).expect("it has one").to_string();
        assert!(event.as_json().contains(&pcr4) && event.as_json().contains(&genesis.boot_key().to_hex()));
    }
    // Nothing is both, or somebody's approval of rules would be taken for one of a build.
    assert!(!(Release::read(&event).is_ok() && PolicyApproval::read(&event).is_ok()));
});
