//! `encli release`.

mod history;

use std::collections::BTreeMap;
use std::path::Path;

use attestation::Pcr;
use nostr::key::PublicKey;
use protocol::kinds::RELEASE_SIGNATURE;
use protocol::nec::Env;
use protocol::nec::release::{IMAGE_PCRS, draft};
use serde::{Deserialize, Serialize};

use super::proof::show_pinned;
use super::signed::{self, Signed};
use crate::args::{Options, ReleaseSign, ReleaseVerify};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::{Page, Table, View, time};
use crate::signer::Signer;
use history::{Build, Expected, Signature};

const NEXT: &str = "Give it to the parent as release/NAME.json: the server shows it with its announcement.";

/// Signs a release.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn sign(ctx: &Context, args: &ReleaseSign, given: &Options) -> Result<Signed, Failure> {
    let repo = signed::repo(given)?;
    let pcrs = image_pcrs(args.pcrs.as_deref(), given)?;
    if args.signing.env == Env::Debug {
        let message = "a release is for prod or dev: in debug mode no enclave shows what it runs";
        return Err(Failure::usage("usage", message));
    }
    if let Some(path) = &args.signing.out {
        files::check_new(path)?;
    }
    if args.publish {
        // Whoever confirms a signature should not do it in vain.
        ctx.pool().await?;
    }
    let mut signer = Signer::connect(ctx, RELEASE_SIGNATURE).await?;
    let release = draft(repo, &args.version.to_string(), &pcrs, args.signing.env, ctx.now());
    let signed = Signed::write(signer.sign(ctx, release).await?, &args.signing, NEXT)?;
    if args.publish { signed.publish(ctx).await } else { Ok(signed) }
}

/// What `nitro-cli build-enclave` and `describe-eif` print.
#[derive(Deserialize)]
struct Measured {
    #[serde(rename = "Measurements")]
    measurements: BTreeMap<String, String>,
}

/// PCR0, 1 and 2, of the file or of the command line, never of the configuration.
fn image_pcrs(file: Option<&Path>, given: &Options) -> Result<[Pcr; 3], Failure> {
    let measured = file.map(measured).transpose()?;
    if measured.is_some() && !given.pcr.is_empty() {
        return Err(Failure::usage("usage", "give the registers with --pcrs or with --pcr, not with both"));
    }
    if let Some((index, _)) = given.pcr.iter().find(|(index, _)| !IMAGE_PCRS.contains(index)) {
        let message = format!("a release is signed by PCR0, PCR1 and PCR2; leave PCR{index} out");
        return Err(Failure::usage("usage", message));
    }
    let mut pcrs = [Pcr::ZERO; 3];
    for (index, pcr) in IMAGE_PCRS.iter().zip(&mut pcrs) {
        let found = match &measured {
            Some(measured) => {
                measured.measurements.get(&format!("PCR{index}")).and_then(|hex| hex.parse().ok())
            }
            None => given.pcr.iter().find(|(at, _)| at == index).map(|(_, pcr)| *pcr),
        };
        *pcr = found.ok_or_else(|| {
            let message =
                format!("PCR{index} of the build is missing: give --pcrs FILE, or --pcr {index}=HEX");
            Failure::usage("usage", message)
        })?;
        if pcr.is_zero() {
            let message =
                format!("PCR{index} is zero, as in every enclave in debug mode; measure the image itself");
            return Err(Failure::refused("debug_mode", message));
        }
    }
    Ok(pcrs)
}

fn measured(path: &Path) -> Result<Measured, Failure> {
    serde_json::from_slice(&files::read(path)?).map_err(|e| {
        let message = format!("{} has no measurements: {e}; give what `nitro-cli` printed", path.display());
        Failure::refused("measurements_invalid", message)
    })
}

/// Release signatures that were verified: what is said of the newest build, and of all in their order.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    ok: bool,
    r#ref: String,
    env: Env,
    #[serde(flatten)]
    newest: Build,
    pinned: bool,
    history: Vec<Build>,
}

/// Verifies release signatures.
///
/// # Errors
/// The reason to refuse them, with its code.
pub(crate) fn verify(ctx: &Context, args: &ReleaseVerify, given: &Options) -> Result<Verified, Failure> {
    let unmeasured = given.pcr.iter().any(|(index, _)| !IMAGE_PCRS.contains(index));
    signed::refuse_given(
        &[
            ("--trust-root", given.trust_root.is_some()),
            ("--allow-debug", given.allow_debug),
            ("--max-age", given.max_age.is_some()),
            ("--pcr of another register than 0, 1 and 2", unmeasured),
        ],
        "needs an attestation: use `encli instance verify`",
    )?;
    let policy = ctx.settings.policy(args.at.resolve(ctx.now()))?;
    let expected = Expected {
        at: policy.at,
        repo: policy.repo.as_deref(),
        env: args.env,
        maintainers: &policy.maintainers,
        threshold: policy.threshold,
        pcrs: policy.pcrs.iter().copied().filter(|(index, _)| IMAGE_PCRS.contains(index)).collect(),
    };
    let signatures = args.files.iter().map(|path| read(path)).collect::<Result<Vec<_>, Failure>>()?;
    let pinned = expected.pins_code();
    let history = history::check(&signatures, &expected)?;
    let (Some(newest), Some(first)) = (history.last().cloned(), signatures.into_iter().next()) else {
        return Err(Failure::usage("usage", "give at least one release signature"));
    };
    Ok(Verified { ok: true, r#ref: first.release.repo, env: first.release.env, newest, pinned, history })
}

fn read(path: &Path) -> Result<Signature, Failure> {
    Signature::read(&files::read_release(path)?)
        .map_err(|e| Failure::refused(e.code(), format!("{}: {e}", path.display())))
}

impl View for Verified {
    fn show(&self, page: &mut Page) {
        page.good("The release signatures verify.");
        page.field("repository", &self.r#ref);
        page.field("env", self.env);
        for (index, pcr) in &self.newest.pcrs {
            page.field(&format!("PCR{index}"), pcr);
        }
        let mut table = Table::new(&["VERSION", "SIGNED", "BY"]);
        for build in &self.history {
            let by: Vec<PublicKey> = build.releasers.iter().copied().collect();
            table.row([
                build.version.clone().unwrap_or_else(|| "-".to_owned()),
                time::both_ways(build.signed_at, page.now()),
                signed::names(by),
            ]);
        }
        page.gap();
        page.table(&table);
        show_pinned(page, self.pinned);
    }
}
