//! `encli container`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nostr::key::PublicKey;
use protocol::statement::merkle::Hash;

use super::deploy::RegistryAccount;
use super::observe::{ContainerEvents, ContainerExec, ContainerLogs, ContainerTransfer};
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
    /// Shows what a container's process wrote: the newest megabyte of it is kept.
    #[command(after_help = "Examples:\n  \
        encli container logs npub1… --key file:key\n  \
        encli container logs npub1… -f --key file:key")]
    Logs(ContainerLogs),
    /// Shows what a container uses of what it may, and what it costs.
    #[command(after_help = "Example:\n  encli container stats npub1… --key file:key")]
    Stats(OneContainer),
    /// Shows what happened to a container, newest first.
    #[command(after_help = "Example:\n  encli container events npub1… --key file:key")]
    Events(ContainerEvents),
    /// Runs a command in a container that was launched with --exec.
    #[command(after_help = "Example:\n  encli container exec npub1… --key file:key -- ls -l /data")]
    Exec(ContainerExec),
    /// Offers a container to another key, which commands it once it has accepted; the offer stands for a day.
    #[command(after_help = "Examples:\n  \
        encli container transfer npub1… --to npub1… --key file:key\n  \
        encli container transfer npub1… --cancel --key file:key")]
    Transfer(ContainerTransfer),
    /// Takes over a container that its owner offers to your key. Its process is started anew.
    #[command(after_help = "Example:\n  encli container accept npub1… --key file:key")]
    Accept(OneContainer),
    /// Makes an invoice that pays into a container's balance, and pays it if asked to.
    #[command(after_help = "Examples:\n  \
        encli container topup 500 npub1…\n  \
        encli container topup 500 npub1… --pay file:wallet")]
    Topup(ContainerTopup),
    /// Gives a container another environment, and other secrets if there are some; it is started anew. Or gives it
    /// another account at its image's registry, and changes nothing else.
    #[command(after_help = "Examples:\n  \
        encli container set-env npub1… --env MODE=fast --key file:key\n  \
        encli container set-env npub1… --env MODE=fast --secret TOKEN@token.txt --key file:key\n  \
        encli container set-env npub1… --registry-user bob --registry-password file:password --key file:key")]
    SetEnv(ContainerSetEnv),
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
    /// Has another image take the place of the one that runs, on the container's data; goes back to it if
    /// the new one does not become healthy.
    #[command(after_help = "Example:\n  \
        encli container upgrade npub1… registry.example/app:2 --wait --key file:key")]
    Upgrade(ContainerUpgrade),
    /// Shows what was decided about a container's image, and why.
    #[command(after_help = "Example:\n  encli container upgrades npub1… --key file:key")]
    Upgrades(OneContainer),
    /// Holds a container at the image that it has.
    #[command(after_help = "Example:\n  encli container pin npub1… --key file:key")]
    Pin(OneContainer),
    /// Lets a container's image be upgraded again, to releases that failed before as well.
    #[command(after_help = "Example:\n  encli container unpin npub1… --key file:key")]
    Unpin(OneContainer),
    /// Verifies what runs in a container, down to the digest of its image.
    #[command(after_help = "Examples:\n  \
        encli container verify event.json --maintainer npub1…\n  \
        encli container verify npub1… --relay wss://relay.example --json")]
    Verify(ContainerVerify),
    /// Shows what a container was charged for, from its server or from a file, and verifies it.
    #[command(after_help = "Examples:\n  \
        encli container receipts npub1… --key file:key --verify --out receipts.json\n  \
        encli container receipts receipts.json --verify --maintainer npub1…")]
    Receipts(ContainerReceipts),
    /// What a server stated about a container, such as an attested fetch.
    #[command(subcommand, after_help = "Example:\n  encli container statement verify statement.json")]
    Statement(StatementCommand),
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

/// `encli container upgrade`.
#[derive(Args, Debug)]
pub(crate) struct ContainerUpgrade {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// The image: `[registry/]name[:tag][@sha256:…]`.
    #[arg(value_name = "IMAGE", value_parser = values::text)]
    pub(crate) image: String,
    /// Wait until it is over, and fail if it was not upgraded.
    #[arg(long)]
    pub(crate) wait: bool,
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

/// `encli container set-env`.
#[derive(Args, Debug)]
pub(crate) struct ContainerSetEnv {
    #[command(flatten)]
    pub(crate) container: OneContainer,
    /// A variable of the environment as it is to be, K=V, K@FILE or K=env:NAME; those that are not given
    /// are gone. May be given several times.
    #[arg(long, value_name = "K=V|K@FILE|K=env:NAME")]
    pub(crate) env: Vec<Unseen>,
    /// A secret as it is to be, K@FILE or K=env:NAME; without any they stay as they are.
    #[arg(long, value_name = "K@FILE|K=env:NAME")]
    pub(crate) secret: Vec<Unseen>,
    /// A secret file as it is to be; without any they stay as they are.
    #[arg(long, value_name = "NAME@FILE")]
    pub(crate) secret_file: Vec<Unseen>,
    /// Take all secrets away.
    #[arg(long, conflicts_with_all = ["secret", "secret_file"])]
    pub(crate) no_secrets: bool,
    #[command(flatten)]
    pub(crate) account: RegistryAccount,
}

/// `encli container receipts`.
#[derive(Args, Debug)]
pub(crate) struct ContainerReceipts {
    /// The container's key, or a file that --out wrote; `-` for standard input.
    #[arg(value_name = "NPUB|FILE", value_parser = values::text)]
    pub(crate) from: String,
    /// Verify them, from the root of the attestation to the last receipt.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Write them to a new file, with their evidence.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) out: Option<PathBuf>,
    /// The server that it is on; found by the container's public event if it is left out.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) instance: Option<PublicKey>,
    /// The moment at which the evidence must be valid [default: when it was made].
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment)]
    pub(crate) at: Option<Moment>,
}

/// Verbs of `container statement`.
#[derive(Debug, Subcommand)]
pub(crate) enum StatementCommand {
    /// Verifies a statement that was kept, from the root of the attestation to what was stated.
    #[command(after_help = "Examples:\n  \
        encli container statement verify proof.json --maintainer npub1… --digest 9fc1…\n  \
        encli container statement verify fetched.json --url https://example.com/ --response body.bin")]
    Verify(StatementVerify),
}

/// `encli container statement verify`.
#[derive(Args, Debug)]
pub(crate) struct StatementVerify {
    /// The answer of `attest` or of `attested_fetch`; `-` for standard input.
    #[arg(value_name = "FILE", value_parser = values::path)]
    pub(crate) file: PathBuf,
    /// The container that it must be about.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) container: Option<PublicKey>,
    /// The SHA-256 that must be attested.
    #[arg(long, value_name = "HEX", value_parser = values::sha256)]
    pub(crate) digest: Option<Hash>,
    /// The URL that must have been fetched.
    #[arg(long, value_name = "URL", value_parser = values::text)]
    pub(crate) url: Option<String>,
    /// A file that must be what was answered.
    #[arg(long, value_name = "FILE", value_parser = values::path)]
    pub(crate) response: Option<PathBuf>,
    /// The moment at which the evidence must be valid [default: when it was made].
    #[arg(long, value_name = "UNIX|now", value_parser = values::moment)]
    pub(crate) at: Option<Moment>,
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
