//! Whatever bytes come: no panic, and nothing altered passes.

use std::sync::LazyLock;

use attestation::cbor::Writer;
use attestation::{Expectations, TrustRoot, VerifyAt, decode_input, verify};
use attestation_sim::{Forge, IssuedChain};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{NOW, ROOT, forged, verdict, with_certificates};

static CHAIN: LazyLock<IssuedChain> = LazyLock::new(|| Forge::at(NOW).chain.issue(&ROOT).unwrap());
static GOOD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    forged(|forge| {
        forge.payload.public_key = Some(vec![3; 32]);
        forge.payload.nonce = Some(vec![4; 20]);
    })
});

/// A COSE_Sign1 of the right form around any payload.
fn enveloped(payload: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.array(4).bytes(&[0xa1, 0x01, 0x38, 0x22]).map(0).bytes(payload).bytes(&[1; 96]);
    writer.into_bytes()
}

#[test]
fn every_flipped_bit_is_refused() {
    let good = &*GOOD;
    assert!(verdict(good).is_ok());
    // As many threads as there are usually cores: 30,000 verifications take a while.
    std::thread::scope(|scope| {
        for half in 0..2 {
            scope.spawn(move || {
                let mut document = good.clone();
                for at in (half..good.len()).step_by(2) {
                    for bit in 0..8 {
                        document[at] ^= 1 << bit;
                        assert!(verdict(&document).is_err(), "bit {bit} of byte {at}");
                        document[at] ^= 1 << bit;
                    }
                }
            });
        }
    });
}

#[test]
fn every_cut_and_every_extension_is_refused() {
    for length in 0..GOOD.len() {
        assert!(verdict(&GOOD[..length]).is_err(), "{length} bytes");
    }
    assert!(verdict(&[&GOOD[..], &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        prop_assert!(verdict(&bytes).is_err());
        prop_assert!(verdict(&enveloped(&bytes)).is_err());
        let _ = decode_input(&bytes);
    }

    #[test]
    fn arbitrary_certificates_never_panic(
        bytes in vec(any::<u8>(), 1..700), place in 0_usize..5, cut in 0_usize..400, keep in any::<bool>(),
    ) {
        // Bytes that are no certificate, and a certificate whose middle they replace.
        let mut all = [CHAIN.cabundle(), &[CHAIN.certificate().to_vec()]].concat();
        if keep {
            let from = cut.min(all[place].len());
            let to = (from + bytes.len().min(8)).min(all[place].len());
            all[place].splice(from..to, bytes.iter().take(8).copied());
        } else {
            all[place] = bytes;
        }
        let unchanged = all[4] == CHAIN.certificate() && all[..4] == *CHAIN.cabundle();
        let found = verdict(&with_certificates(&CHAIN, &all[4], &all[..4]));
        prop_assert_eq!(found.is_ok(), unchanged);
    }

    #[test]
    fn spliced_documents_are_refused(
        at in 0_usize..3_000, removed in 0_usize..40, inserted in vec(any::<u8>(), 0..40),
    ) {
        let mut document = GOOD.clone();
        let end = (at + removed).min(document.len());
        document.splice(at..end, inserted);
        prop_assume!(document != *GOOD);
        prop_assert!(verdict(&document).is_err());
        let anything = Expectations::none().allow_debug(true);
        prop_assert!(verify(&document, &anything, &TrustRoot::aws(), VerifyAt::DocumentTime).is_err());
    }
}
