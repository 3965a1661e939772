//! `encli image`: releases of container images.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::nec::Version;

use super::sign::Signing;
use super::values;

/// Verbs of `image`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// Signs a release of an image: one of its signers approves it under a version (NEC-07, kind 63795).
    ///
    /// All signers that the running image names in its label `signers` must sign; then one of them
    /// publishes.
    #[command(after_help = "Example:\n  \
        encli image sign-release registry.example/app@sha256:9fc1… --ref https://example.com/app \\\n      \
        --version 1.4.0 --env prod --key bunker:env:BUNKER --out alice.json")]
    SignRelease(ImageSignRelease),
    /// Publishes a release of an image with the signatures of all signers (NEC-07, kind 63796).
    #[command(after_help = "Example:\n  \
        encli image publish-release registry.example/app@sha256:9fc1… alice.json bob.json \\\n      \
        --ref https://example.com/app --version 1.4.0 --env prod --key file:alice --relay wss://relay.example")]
    PublishRelease(ImagePublishRelease),
}

/// `encli image sign-release`.
#[derive(Args, Debug)]
pub(crate) struct ImageSignRelease {
    /// The image by its digest: `registry/name@sha256:…`.
    #[arg(value_name = "IMAGE", value_parser = values::text)]
    pub(crate) image: String,
    /// The version, as the image's label `version` says: 1.4.0.
    #[arg(long, value_name = "VERSION", value_parser = values::version)]
    pub(crate) version: Version,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Send the event to the relays, too.
    #[arg(long)]
    pub(crate) publish: bool,
}

/// `encli image publish-release`.
#[derive(Args, Debug)]
pub(crate) struct ImagePublishRelease {
    /// The image by its digest: `registry/name@sha256:…`.
    #[arg(value_name = "IMAGE", value_parser = values::text)]
    pub(crate) image: String,
    /// The signatures, one of each signer; `-` for standard input.
    #[arg(value_name = "SIGNATURE.json", value_parser = values::path, required = true)]
    pub(crate) signatures: Vec<PathBuf>,
    /// The version, as the image's label `version` says: 1.4.0.
    #[arg(long, value_name = "VERSION", value_parser = values::version)]
    pub(crate) version: Version,
    /// The digest of the image before, `sha256:…`, for people.
    #[arg(long, value_name = "DIGEST", value_parser = values::text)]
    pub(crate) prev: Option<String>,
    #[command(flatten)]
    pub(crate) signing: Signing,
}
