//! `encli release`, `encli build`, and what all signatures of people have in common.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use protocol::nec::{Env, Version};

use super::values::{self, Moment};

/// Verbs of `release`.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Signs a release: a maintainer approves a build, by its PCR0, 1 and 2 (NEC-05, kind 63794).
    #[command(after_help = "Examples:\n  \
        encli release sign --ref https://example.com/enclaved --version 1.4.0 --pcrs pcrs.json \\\n      \
        --env prod --key bunker:env:BUNKER --out release/me.json\n  \
        encli release sign --ref https://example.com/enclaved --version 1.4.0 \\\n      \
        --pcr 0=9fc1… --pcr 1=4b4d… --pcr 2=365c… --key file:key --publish --relay wss://relay.example")]
    Sign(ReleaseSign),
    /// Verifies release signatures, of one build or of several in the order of their versions.
    #[command(after_help = "Examples:\n  \
        encli release verify release/alice.json release/bob.json --ref https://example.com/enclaved \\\n      \
        --maintainer npub1… --maintainer npub1… --threshold 2\n  \
        encli release verify 1.3.0.json 1.4.0.json --maintainer npub1… --json")]
    Verify(ReleaseVerify),
}

/// Verbs of `build`.
#[derive(Debug, Subcommand)]
pub(crate) enum BuildCommand {
    /// Signs a build: the builder vouches for the certificate that signs the image, PCR8 (NEC-03, kind
    /// 23794).
    ///
    /// With a COMMAND, a P-384 key and a certificate `CN=npub…, O=Nostr` for it are made, and COMMAND,
    /// which signs the image, gets the key on its standard input, in PEM. The key is never written to
    /// disk, never stands on a command line or in the environment, and is forgotten when COMMAND ends: no
    /// other image is signed with it, unless COMMAND keeps it. Without a COMMAND, the certificate must be
    /// there.
    #[command(after_help = "Examples:\n  \
        encli build sign --ref https://example.com/enclaved --version 1.4.0 --certificate cert.pem \\\n      \
        --out build.json --key file:key -- sh -c 'nitro-cli build-enclave --docker-uri enclaved \\\n      \
        --output-file enclaved.eif --signing-certificate cert.pem \\\n      \
        --private-key /dev/stdin > pcrs.json'\n  \
        encli build sign --ref https://example.com/enclaved --version 1.4.0 --certificate cert.pem \\\n      \
        --out build.json --key bunker:env:BUNKER")]
    Sign(BuildSign),
}

/// What every signature says, and where it goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Signing {
    /// What it is for: prod, dev or debug.
    #[arg(long, alias = "t", value_name = "ENV", value_parser = values::env, default_value = "dev")]
    pub(crate) env: Env,
    /// Also write the event to this file, which must not exist.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) out: Option<PathBuf>,
}

/// `encli release sign`.
#[derive(Args, Debug)]
pub(crate) struct ReleaseSign {
    /// The version, like 1.4.0.
    #[arg(long, value_name = "VERSION", value_parser = values::version)]
    pub(crate) version: Version,
    /// PCR0, 1 and 2 as `nitro-cli build-enclave` prints them, in place of three --pcr; `-` for standard
    /// input.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) pcrs: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Send the event to the relays, too.
    #[arg(long)]
    pub(crate) publish: bool,
}

/// `encli release verify`.
#[derive(Args, Debug)]
pub(crate) struct ReleaseVerify {
    /// Release signatures, as JSON: of the oldest version first. `-` for standard input.
    #[arg(value_name = "EVENT.json", value_parser = values::path, required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// What the releases must be for: prod, dev or debug.
    #[arg(long, value_name = "ENV", value_parser = values::env)]
    pub(crate) env: Option<Env>,
    /// The moment at which they must be valid.
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment, default_value = "now")]
    pub(crate) at: Moment,
}

/// `encli build sign`.
#[derive(Args, Debug)]
pub(crate) struct BuildSign {
    /// The version, like 1.4.0.
    #[arg(long, value_name = "VERSION", value_parser = values::version)]
    pub(crate) version: Version,
    /// The certificate that signs the image, in PEM: written if there is a COMMAND, read if not.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) certificate: PathBuf,
    #[command(flatten)]
    pub(crate) signing: Signing,
    /// Signs the image with the key on its standard input. What it prints goes to standard error.
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) command: Vec<OsString>,
}
