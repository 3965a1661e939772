//! `encli wallet`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use nostr::key::PublicKey;

use super::options::Unseen;
use super::values;

/// Verbs of `wallet`.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletCommand {
    /// Makes a key for a server's wallet and writes the connection string to a file.
    #[command(
        after_help = "Example:\n  encli wallet create --instance npub1… --out wallet --maintainer npub1…"
    )]
    Create(WalletCreate),
    /// Shows what a wallet has.
    #[command(after_help = "Example:\n  encli wallet balance --wallet file:wallet")]
    Balance(WalletChoice),
    /// Makes an invoice that pays into a wallet.
    #[command(after_help = "Example:\n  encli wallet invoice 1000 --wallet file:wallet")]
    Invoice(WalletInvoice),
    /// Pays an invoice, a Lightning address, or whoever has one in a Nostr profile.
    #[command(after_help = "Examples:\n  encli wallet pay lnbc… --wallet file:wallet\n  \
                            encli wallet pay alice@wallet.example --sats 21 --comment thanks --wallet file:wallet\n  \
                            encli wallet pay npub1… --sats 21 --zap --wallet file:wallet")]
    Pay(WalletPay),
    /// Lists a wallet's invoices and payments, newest first, with the balance after each.
    #[command(after_help = "Example:\n  encli wallet history --limit 5 --wallet file:wallet")]
    History(WalletHistory),
}

/// Which wallet.
#[derive(Args, Clone, Debug)]
pub(crate) struct WalletChoice {
    /// Where its connection string is: env:NAME or file:PATH.
    #[arg(long, value_name = "WHERE")]
    pub(crate) wallet: Option<Unseen>,
}

/// `encli wallet create`.
#[derive(Args, Debug)]
pub(crate) struct WalletCreate {
    /// The server whose wallet it is; needed if more than one verifies.
    #[arg(long, value_name = "NPUB", value_parser = values::public_key)]
    pub(crate) instance: Option<PublicKey>,
    /// Where to write the connection string, for your eyes only (mode 0600).
    #[arg(long, value_name = "FILE", value_parser = values::path, required_unless_present = "show")]
    pub(crate) out: Option<PathBuf>,
    /// Print the connection string, which is the key to the money.
    #[arg(long)]
    pub(crate) show: bool,
    /// Use the wallet even though nothing says which code the server must run.
    #[arg(long)]
    pub(crate) unpinned: bool,
}

/// `encli wallet invoice`.
#[derive(Args, Debug)]
pub(crate) struct WalletInvoice {
    /// How much, in satoshi.
    #[arg(value_name = "SATS", value_parser = values::sats)]
    pub(crate) sats: i64,
    /// What for.
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) description: Option<String>,
    #[command(flatten)]
    pub(crate) wallet: WalletChoice,
}

/// `encli wallet pay`.
#[derive(Args, Debug)]
pub(crate) struct WalletPay {
    /// A BOLT11 invoice (`-` for standard input), a Lightning address, or an npub.
    #[arg(value_name = "INVOICE|ADDRESS|NPUB", value_parser = values::text)]
    pub(crate) target: String,
    /// How much, in satoshi, for an address, or for an invoice that leaves it open.
    #[arg(long, value_name = "SATS", value_parser = values::sats)]
    pub(crate) sats: Option<i64>,
    /// A note for whoever has the address.
    #[arg(long, value_name = "TEXT", value_parser = values::text)]
    pub(crate) comment: Option<String>,
    /// Pay in public, signed with your key: a zap (NIP-57).
    #[arg(long)]
    pub(crate) zap: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletChoice,
}

/// `encli wallet history`.
#[derive(Args, Debug)]
pub(crate) struct WalletHistory {
    /// At most so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20), default_value_t = 10)]
    pub(crate) limit: u32,
    /// Also invoices that nobody paid.
    #[arg(long)]
    pub(crate) unpaid: bool,
    #[command(flatten)]
    pub(crate) wallet: WalletChoice,
}
