//! The verifiers of NEC events: of announcements, containers, certificates, and of what is embedded in them.
#![no_main]

use fuzz::{Draft, NOW, trust};
use libfuzzer_sys::fuzz_target;
use protocol::nec::{Policy, VerifiedChain, VerifiedContainer, VerifiedInstance, VerifiedRoot};

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
});
