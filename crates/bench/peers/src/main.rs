//! Verifies one simulated document with our verifier, with those of others, and with nothing but the
//! signature checks in it, in turn, and writes what each took as JSON, with the document.

mod bare;
mod samples;

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use attestation::{Expectations, VerifyAt, verify};
use attestation_sim::{Forge, SimRoot};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nsm_nitro_enclave_utils::api::nsm::AttestationDoc;
use nsm_nitro_enclave_utils::time::Time;
use nsm_nitro_enclave_utils::verify::AttestationDocVerifierExt;
use rustls_pki_types::UnixTime;
use serde::Serialize;
use ttk_server::verifier::{Policy, TrustStore, nitro};
use units::UnixSecs;

use crate::bare::SignatureChecks;
use crate::samples::{Subject, medians_us};

/// When the document is made and verified.
const NOW: UnixSecs = UnixSecs(1_750_000_000);
/// Rounds in which every subject has one turn, after a tenth of them to warm up.
const ROUNDS: usize = 500;

/// What is written, in microseconds.
#[derive(Debug, Serialize)]
struct Measured {
    now_secs: u64,
    root: String,
    document: String,
    rounds: usize,
    ours: f64,
    bare: f64,
    /// Others, by name and version.
    peers: Vec<(&'static str, f64)>,
}

fn main() -> Result<()> {
    let root = SimRoot::generate()?;
    let mut forge = Forge::at(NOW);
    // As an enclave of ours asks for it: a Nostr key and nothing else.
    forge.payload.public_key = Some(vec![7; 32]);
    let document = forge.document(&root)?;
    let checks = SignatureChecks::of(&document)?;
    let expectations = Expectations::none();
    let at = VerifyAt::from(NOW);
    let trust = TrustStore { aws_nitro_root: root.der().to_vec(), ..TrustStore::default() };
    let unix_time = UnixTime::since_unix_epoch(Duration::from_secs(NOW.0));

    let mut subjects: Vec<Subject<'_>> = vec![
        ("ours", Box::new(|| verify(&document, &expectations, root.trust_root(), at).is_ok())),
        ("bare", Box::new(|| checks.all_hold())),
        (
            "TTKServer 0.22 (ring)",
            Box::new(|| nitro::verify(&document, unix_time, &trust, Policy::default()).is_ok()),
        ),
        (
            "nsm-nitro-enclave-utils 0.1 (ring, p384)",
            Box::new(|| {
                let time = Time::new(Box::new(|| NOW.0 * 1_000));
                AttestationDoc::from_cose(&document, root.der(), time).is_ok()
            }),
        ),
    ];
    let mut medians = medians_us(&mut subjects, ROUNDS)?.into_iter();
    let ((_, ours), (_, bare)) = (medians.next().context("ours")?, medians.next().context("bare")?);
    let measured = Measured {
        now_secs: NOW.0,
        root: STANDARD.encode(root.der()),
        document: STANDARD.encode(&document),
        rounds: ROUNDS,
        ours,
        bare,
        peers: medians.collect(),
    };
    serde_json::to_writer(std::io::stdout(), &measured)?;
    Ok(std::io::stdout().flush()?)
}
