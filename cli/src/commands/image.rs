//! `encli image`: releases of container images, signed by all and published by one.

use std::collections::BTreeSet;

use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::kinds::{IMAGE_RELEASE, IMAGE_RELEASE_SIGNATURE};
use protocol::nec::image_release::{
    ImageReleaseError, ReleaseDigest, ReleaseTerms, check_signature, release_draft, signature_draft,
};
use protocol::nec::{Env, Version};

use super::signed::{self, Signed};
use crate::args::{ImagePublishRelease, ImageSignRelease, Options, Signing};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::output::page::npub;
use crate::signer::Signer;

const NEXT_SIGNED: &str =
    "Give it to whoever publishes: `encli image publish-release` takes those of all signers.";
const NEXT_PUBLISHED: &str = "Servers that run an image whose signers these are find it within minutes.";

/// Signs a release of an image.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn sign_release(
    ctx: &Context,
    args: &ImageSignRelease,
    given: &Options,
) -> Result<Signed, Failure> {
    let terms = terms(&args.image, &args.version, &args.signing, given)?;
    if args.publish {
        // Whoever confirms a signature should not do it in vain.
        ctx.pool().await?;
    }
    let mut signer = Signer::connect(ctx, IMAGE_RELEASE_SIGNATURE).await?;
    let draft = signature_draft(&terms, ctx.now());
    let signed = Signed::write(signer.sign(ctx, draft).await?, &args.signing, NEXT_SIGNED)?;
    if args.publish { signed.publish(ctx).await } else { Ok(signed) }
}

/// Publishes a release of an image.
///
/// # Errors
/// [`Failure`]: `release_invalid` if a signature is for something else, or the publisher is no signer.
pub(crate) async fn publish_release(
    ctx: &Context,
    args: &ImagePublishRelease,
    given: &Options,
) -> Result<Signed, Failure> {
    let terms = terms(&args.image, &args.version, &args.signing, given)?;
    if let Some(prev) = &args.prev {
        ReleaseDigest::read(prev).map_err(|_| Failure::usage("usage", "--prev: give a digest, sha256:…"))?;
    }
    let mut signatures: Vec<CheckedEvent> = Vec::new();
    let mut signers = BTreeSet::new();
    for path in &args.signatures {
        let shown = path.display();
        let signature = files::read_release(path)?;
        let signer = check_signature(&signature, &terms)
            .map_err(|e| Failure::refused(e.code(), format!("{shown}: {e}")))?;
        if !signers.insert(signer) {
            let message = format!("{shown}: {} signed twice; give one signature of each", npub(&signer));
            return Err(Failure::refused("release_invalid", message));
        }
        signatures.push(signature);
    }
    ctx.pool().await?;
    let mut signer = Signer::connect(ctx, IMAGE_RELEASE).await?;
    check_publisher(&signer.public_key(), &signers)?;
    let image = image_of(&args.image);
    let draft =
        release_draft(&terms, image, &signatures, args.prev.as_deref(), ctx.now()).map_err(refused)?;
    let event = signer.sign(ctx, draft).await?;
    Signed::write(event, &args.signing, NEXT_PUBLISHED)?.publish(ctx).await
}

/// Servers look for releases by the signers, and by nobody else.
fn check_publisher(publisher: &PublicKey, signers: &BTreeSet<PublicKey>) -> Result<(), Failure> {
    if signers.contains(publisher) {
        return Ok(());
    }
    let message = format!(
        "{} did not sign this release, and servers take a release by one of its signers only",
        npub(publisher)
    );
    Err(Failure::refused("release_invalid", message).with_hint("publish with the key of a signer"))
}

/// What is released, of the command line alone.
fn terms(
    image: &str,
    version: &Version,
    signing: &Signing,
    given: &Options,
) -> Result<ReleaseTerms, Failure> {
    if signing.env == Env::Debug {
        return Err(Failure::usage("usage", "a release is for prod or dev"));
    }
    if let Some(path) = &signing.out {
        files::check_new(path)?;
    }
    let unnamed = "IMAGE: name the image by its digest, registry/name@sha256:…; a tag can be moved";
    let digest = image_of(image).split_once('@').map(|(_, digest)| ReleaseDigest::read(digest));
    let Some(Ok(digest @ ReleaseDigest::Manifest(_))) = digest else {
        return Err(Failure::usage("usage", unnamed));
    };
    Ok(ReleaseTerms {
        repo: signed::repo(given)?.to_owned(),
        version: version.clone(),
        digest,
        env: signing.env,
    })
}

fn image_of(image: &str) -> &str {
    image.strip_prefix("docker://").unwrap_or(image)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn refused(error: ImageReleaseError) -> Failure {
    Failure::refused(error.code(), error.to_string())
}
