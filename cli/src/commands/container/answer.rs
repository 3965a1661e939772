//! `encli container verify-answer`: an app proves, for a nonce of ours, which key it holds and what
//! vouches for that key.
//!
//! ```text
//! nonce ◄─ signed by ─ app key ◄─ tee_cert ─ container key ◄─ tee_cert ─ service key ◄─ tee_root ─ NSM
//! ```

use nostr::key::PublicKey;
use protocol::event::{CheckedEvent, tags_named};
use protocol::nec::{Policy, VerifiedChain, VerifiedInstance};
use serde::Serialize;
use units::UnixSecs;

use crate::args::ContainerVerifyAnswer;
use crate::commands::proof::{InstanceProof, show_pinned};
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, View};
use crate::{files, find};

/// The registers that measure the image.
const IMAGE_PCRS: [u8; 3] = protocol::nec::release::IMAGE_PCRS;

/// An answer that was verified.
#[derive(Debug, Serialize)]
pub(crate) struct Answered {
    ok: bool,
    nonce: String,
    app_pubkey: PublicKey,
    container_pubkey: PublicKey,
    image: String,
    manifest_sha256: Option<String>,
    signed_at: UnixSecs,
    instance: InstanceProof,
    expires_at: UnixSecs,
    pinned: bool,
}

/// Verifies an app's answer to a nonce.
///
/// # Errors
/// `nonce_mismatch`, `key_mismatch`, or why the chain does not verify.
pub(crate) async fn verify_answer(ctx: &Context, args: &ContainerVerifyAnswer) -> Result<Answered, Failure> {
    let policy = ctx.settings.policy(args.at.resolve(ctx.now()))?;
    let answer = files::read_event(&args.file)?;
    if answer.content != args.nonce {
        let message = "the answer is to another nonce; ask the app again with a nonce of your own";
        return Err(Failure::refused("nonce_mismatch", message));
    }
    let chain = chain(&answer, &policy)?;
    let Some(container) = chain.container().cloned() else {
        return Err(Failure::refused(
            "event_invalid",
            "the answer has no `tee_cert`: no container stands behind it",
        ));
    };
    if let Some(wanted) = args.container.filter(|wanted| *wanted != container.pubkey) {
        let message = format!("{} answered, not {}", npub(&container.pubkey), npub(&wanted));
        return Err(Failure::refused("key_mismatch", message));
    }
    let vouched = vouched(ctx, args, &chain, &policy).await?;
    let instance = match &vouched {
        Some(instance) => InstanceProof::from(instance),
        None => InstanceProof::of_root(chain.root(), []),
    };
    Ok(Answered {
        ok: true,
        nonce: args.nonce.clone(),
        app_pubkey: chain.subject(),
        container_pubkey: container.pubkey,
        image: container.image,
        manifest_sha256: container.manifest_sha256,
        signed_at: answer.created_at(),
        expires_at: chain.expires_at().min(instance.expires_at),
        instance,
        pinned: policy.pins_code(),
    })
}

/// The chain that stands in the answer's own tags, down to the key that signed it.
fn chain(answer: &CheckedEvent, policy: &Policy) -> Result<VerifiedChain, Failure> {
    let embedded = |name: &'static str| -> Result<Vec<CheckedEvent>, Failure> {
        let parse = |tag: &[String]| {
            let json = tag.get(1).map(String::as_str).unwrap_or_default();
            let invalid = |e| Failure::refused("event_invalid", format!("in the `{name}` tag: {e}"));
            CheckedEvent::parse(json).map_err(invalid)
        };
        tags_named(answer, name).map(parse).collect()
    };
    let mut roots = embedded("tee_root")?;
    let (Some(root), true) = (roots.pop(), roots.is_empty()) else {
        return Err(Failure::refused("event_invalid", "the answer must have one `tee_root` tag"));
    };
    Ok(VerifiedChain::verify(&root, &embedded("tee_cert")?, &answer.pubkey, policy)?)
}

/// The server's announcement, where the policy asks for what an answer does not carry: the repository
/// and the maintainers' signatures. It must be about the same build.
async fn vouched(
    ctx: &Context,
    args: &ContainerVerifyAnswer,
    chain: &VerifiedChain,
    policy: &Policy,
) -> Result<Option<VerifiedInstance>, Failure> {
    let service = chain.root().service();
    let needed = !policy.maintainers.is_empty() || policy.repo.is_some();
    let announcement = match &args.announcement {
        Some(path) => files::read_event(path)?,
        None if needed => find::instance(ctx, service).await?.event,
        None => return Ok(None),
    };
    let instance = VerifiedInstance::verify(&announcement, policy)?;
    if instance.service() != service {
        let message =
            format!("the announcement is of {}, not of {}", npub(&instance.service()), npub(&service));
        return Err(Failure::refused("key_mismatch", message));
    }
    let (announced, answered) = (instance.root().document(), chain.root().document());
    if IMAGE_PCRS.iter().any(|index| announced.pcr(*index) != answered.pcr(*index)) {
        let message = "the answer comes from another build than the announcement; ask the app again";
        return Err(Failure::refused("release_missing", message));
    }
    Ok(Some(instance))
}

impl View for Answered {
    fn show(&self, page: &mut Page) {
        page.good("The answer verifies: the app holds a key that the chain leads to.");
        page.field("nonce", &self.nonce);
        page.key("app", &self.app_pubkey);
        page.key("container", &self.container_pubkey);
        page.field("image", &self.image);
        page.maybe("manifest", self.manifest_sha256.as_ref());
        page.time("signed", self.signed_at);
        page.time("proved until", self.expires_at);
        page.gap();
        page.line("On this server:");
        self.instance.show(page);
        show_pinned(page, self.pinned);
    }
}
