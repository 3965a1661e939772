//! `encli keycrux approve`.

use std::collections::BTreeSet;
use std::path::Path;

use nostr::key::PublicKey;
use protocol::kinds::RELEASE_SIGNATURE;
use protocol::nec::approval::{PolicyChange, draft};
use protocol::nec::{Env, Version};
use protocol::rpc::keycrux::{Policy, Revoked};
use serde::Deserialize;

use crate::args::{KeycruxApprove, Options};
use crate::commands::signed::{self, Signed};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::signer::Signer;

const NEXT: &str =
    "Give it to the parent as release/NAME.json, beside the release signatures of the next build.";

/// What of a server's configuration makes the policy of its record.
#[derive(Deserialize)]
struct Configuration {
    repo: String,
    release: ReleaseSection,
}

#[derive(Deserialize)]
struct ReleaseSection {
    maintainers: BTreeSet<PublicKey>,
    threshold: Option<u32>,
    #[serde(default)]
    min_delay_secs: u64,
    min_version: Option<String>,
    #[serde(default)]
    revoked: Vec<Revoked>,
}

/// Approves that one policy takes the place of another.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn approve(
    ctx: &Context,
    args: &KeycruxApprove,
    given: &Options,
) -> Result<Signed, Failure> {
    let why = "is not part of an approval: the configurations name what counts";
    signed::refuse_given(&[("--pcr", !given.pcr.is_empty()), ("--ref", given.repo.is_some())], why)?;
    let env = args.signing.env;
    let (from, to) = (policy(&args.from, env)?, policy(&args.to, env)?);
    if from == to {
        let message = "both configurations have the same policy: there is nothing to approve";
        return Err(Failure::refused("policy_unchanged", message));
    }
    if let Some(path) = &args.signing.out {
        files::check_new(path)?;
    }
    let digest = |policy: &Policy| {
        policy
            .digest()
            .map_err(|e| Failure::refused("policy_invalid", format!("the policy has no digest: {e}")))
    };
    let change = PolicyChange { from: digest(&from)?, to: digest(&to)? };
    let repo = from.repo.clone().unwrap_or_default();
    let mut signer = Signer::connect(ctx, RELEASE_SIGNATURE).await?;
    if !from.release_pubkeys.contains(&signer.public_key()) {
        let message = "this key is not among the maintainers of the configuration in force: it has no say";
        return Err(Failure::refused("not_maintainer", message));
    }
    let approval = draft(&repo, env, &change, ctx.now());
    Signed::write(signer.sign(ctx, approval).await?, &args.signing, NEXT)
}

/// The policy that a server with this configuration writes.
fn policy(path: &Path, env: Env) -> Result<Policy, Failure> {
    let invalid = |why: String| {
        Failure::refused("policy_invalid", format!("{}: {why}", path.display()))
            .with_hint("give a server's configuration, enclaved.json, with a section `release`")
    };
    let bytes = files::read(path)?;
    let Configuration { repo, release } =
        serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
    let min_version = release.min_version.as_deref().map(str::parse::<Version>).transpose();
    let policy = Policy {
        repo: Some(repo),
        release_pubkeys: release.maintainers,
        env: Some(env),
        threshold: release.threshold,
        min_delay_secs: release.min_delay_secs,
        min_version: min_version.map_err(|e| invalid(e.to_string()))?,
        revoked: release.revoked,
    };
    policy.check().map_err(|fault| invalid(fault.to_string()))?;
    Ok(policy)
}
