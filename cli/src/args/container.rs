//! `encli container`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nostr::key::PublicKey;

use super::options::Unseen;
use super::values::{self, Moment};

/// Verbs of `container`.
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerCommand {
    /// Lists your containers, on one server or on all that verify.
    #[command(after_help = "Example:\n  encli container ls --key file:key --instance npub1…")]
    Ls {
        /// The server to ask; all that verify if it is left out.
        #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
        instance: Option<PublicKey>,
    },
    /// Shows everything about a container of yours.
    #[command(after_help = "Example:\n  encli container status npub1… --key file:key")]
    Status(OneContainer),
    /// Makes an invoice that pays into a container's balance, and pays it if asked to.
    #[command(after_help = "Examples:\n  \
        encli container topup 500 npub1…\n  \
        encli container topup 500 npub1… --pay file:wallet")]
    Topup(ContainerTopup),
    /// Stops a container's process. Its units are paid for all the same.
    #[command(after_help = "Example:\n  encli container pause npub1… --key file:key")]
    Pause(OneContainer),
    /// Starts a container's process again.
    #[command(after_help = "Example:\n  encli container resume npub1… --key file:key")]
    Resume(OneContainer),
    /// Ends a container and wipes its data. Its balance can still be withdrawn.
    #[command(after_help = "Example:\n  encli container terminate npub1… --key file:key")]
    Terminate(OneContainer),
    /// Pays an invoice from a container's balance.
    #[command(after_help = "Examples:\n  \
        encli container withdraw npub1… lnbc… --key file:key\n  \
        encli container withdraw npub1… --wallet file:wallet --key file:key")]
    Withdraw(ContainerWithdraw),
    /// Verifies what runs in a container, down to the digest of its image.
    #[command(after_help = "Examples:\n  \
        encli container verify event.json --maintainer npub1…\n  \
        encli container verify npub1… --relay wss://relay.example --json")]
    Verify(ContainerVerify),
    /// Verifies an app's signed answer to a nonce, and the chain from the root to the app's key.
    #[command(after_help = "Example:\n  \
        curl -s http://host:port/sign?nonce=abc | encli container verify-answer - --nonce abc")]
    VerifyAnswer(ContainerVerifyAnswer),
}

/// One container, and the server that it is on.
#[derive(Args, Clone, Debug)]
pub(crate) struct OneContainer {
    /// The container's key, as npub or in hex.
    #[arg(value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) npub: PublicKey,
    /// The server that it is on; found by the container's public event if it is left out.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) instance: Option<PublicKey>,
}

/// `encli container topup`.
#[derive(Args, Debug)]
pub(crate) struct ContainerTopup {
    /// How much, in satoshi.
    #[arg(value_name = "SATS", value_parser = values::sats)]
    pub(crate) sats: i64,
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// Pay at once: env:NAME or file:PATH of a wallet's connection string.
    #[arg(long, value_name = "WHERE")]
    pub(crate) pay: Option<Unseen>,
}

/// `encli container withdraw`.
#[derive(Args, Debug)]
pub(crate) struct ContainerWithdraw {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// The BOLT11 invoice to pay, with its amount in it; `-` for standard input.
    #[arg(value_name = "INVOICE", value_parser = values::text, required_unless_present = "wallet")]
    pub(crate) invoice: Option<String>,
    /// In place of an invoice: env:NAME or file:PATH of the wallet that takes the money.
    #[arg(long, value_name = "WHERE", conflicts_with = "invoice")]
    pub(crate) wallet: Option<Unseen>,
    /// How much goes to the wallet, in satoshi [default: the whole balance].
    #[arg(long, value_name = "SATS", value_parser = values::sats, conflicts_with = "invoice")]
    pub(crate) sats: Option<i64>,
}

/// `encli container verify`.
#[derive(Args, Debug)]
pub(crate) struct ContainerVerify {
    /// The container's public event: a file, `-` for standard input, or its key, to be fetched from the relays.
    #[arg(value_name = "EVENT.json|NPUB", value_parser = values::text)]
    pub(crate) event: String,
    /// The moment at which it must be valid.
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment, default_value = "now")]
    pub(crate) at: Moment,
}

/// `encli container verify-answer`.
#[derive(Args, Debug)]
pub(crate) struct ContainerVerifyAnswer {
    /// The answer: an event as JSON; `-` for standard input.
    #[arg(value_name = "ANSWER.json", value_parser = values::path)]
    pub(crate) file: PathBuf,
    /// The nonce that was asked, as text.
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) nonce: String,
    /// The container that must have answered.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) container: Option<PublicKey>,
    /// The server's announcement, which carries its release signatures; fetched from the relays if
    /// --maintainer or --ref is given and this is left out.
    #[arg(long, value_name = "EVENT.json", value_parser = values::path)]
    pub(crate) announcement: Option<PathBuf>,
    /// The moment at which it must be valid.
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment, default_value = "now")]
    pub(crate) at: Moment,
}
