//! `encli attestation verify`.

use std::collections::BTreeMap;

use attestation::{Expectations, VerifiedDocument, VerifyAt, decode_input, verify as verify_document};
use serde::Serialize;
use units::UnixSecs;

use super::proof;
use super::signed::refuse_given;
use crate::args::values::Moment;
use crate::args::{AttestationVerify, Options};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, View};

/// A document that was verified.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    ok: bool,
    module_id: String,
    timestamp_ms: u64,
    debug: bool,
    pcrs: BTreeMap<u8, String>,
    public_key: Option<String>,
    user_data: Option<String>,
    nonce: Option<String>,
    leaf_not_after: UnixSecs,
    pinned: bool,
    aws_root: bool,
}

/// Verifies a document.
///
/// # Errors
/// The reason to refuse it, with its code.
pub(crate) fn verify(ctx: &Context, args: &AttestationVerify, given: &Options) -> Result<Verified, Failure> {
    // A document alone says nothing of these.
    refuse_given(
        &[
            ("--maintainer", !given.maintainer.is_empty()),
            ("--threshold", given.threshold.is_some()),
            ("--ref", given.repo.is_some()),
        ],
        "needs an announcement: use `encli instance verify`",
    )?;
    let expectations = expectations(ctx, args)?;
    let root = ctx.settings.trust_root()?;
    let input = files::read(&args.file)?;
    let document = decode_input(&input)?;
    let at = match args.at {
        Moment::Now => VerifyAt::now(&*ctx.clock),
        Moment::At(at) => VerifyAt::from(at),
    };
    let verified = verify_document(&document, &expectations, &root, at)?;
    Ok(Verified::new(&verified, expectations.pins_code()))
}

fn expectations(ctx: &Context, args: &AttestationVerify) -> Result<Expectations, Failure> {
    let unusable = |e: attestation::ExpectationError| Failure::usage("usage", e.to_string());
    let mut expectations = Expectations::none().allow_debug(ctx.settings.allow_debug());
    for (index, value) in ctx.settings.pcrs() {
        expectations = expectations.pcr(*index, *value).map_err(unusable)?;
    }
    if let Some(key) = &args.public_key {
        expectations = expectations.public_key(&key.0).map_err(unusable)?;
    }
    if let Some(nonce) = &args.nonce {
        expectations = expectations.nonce(&nonce.0).map_err(unusable)?;
    }
    if let Some(data) = &args.user_data {
        expectations = expectations.user_data(&data.0).map_err(unusable)?;
    }
    if let Some(secs) = ctx.settings.max_age_secs() {
        expectations = expectations.max_age_secs(secs);
    }
    Ok(expectations)
}

impl Verified {
    fn new(document: &VerifiedDocument, pinned: bool) -> Self {
        Self {
            ok: true,
            module_id: document.module_id().to_owned(),
            timestamp_ms: document.timestamp_ms(),
            debug: document.is_debug(),
            pcrs: proof::pcrs(document),
            public_key: document.public_key().map(hex::encode),
            user_data: document.user_data().map(hex::encode),
            nonce: document.nonce().map(hex::encode),
            leaf_not_after: document.leaf_not_after(),
            pinned,
            aws_root: document.is_under_aws_root(),
        }
    }
}

impl View for Verified {
    fn show(&self, page: &mut Page) {
        page.good("The document verifies: an NSM under the trusted root made it.");
        page.field("module", &self.module_id);
        page.time("made", UnixSecs(self.timestamp_ms / 1_000));
        page.time("ends", self.leaf_not_after);
        page.maybe("public key", self.public_key.as_ref());
        page.maybe("user data", self.user_data.as_ref());
        page.maybe("nonce", self.nonce.as_ref());
        proof::show_pcrs(page, &self.pcrs);
        if self.debug {
            page.warn("Debug mode: the operator reads everything in this enclave.");
        }
        if !self.aws_root {
            page.warn("The root is not AWS's: this is worth what that root is worth.");
        }
        if !self.pinned {
            page.warn("Not pinned: any code passes. Say with --pcr which code you expect.");
        }
    }
}
