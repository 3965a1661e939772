//! Bounds on what strangers can make the wallet do, and what it costs.

use std::fmt;

use relay::rpc::RateLimit;
use units::Msat;

use super::env::Variables;
use super::{ConfigError, parse_msat};
use crate::service::{FeeReserve, Fees, HoldingFee, PaymentFee};

/// The longest that an invoice may be payable, whatever is configured: a year.
const EXPIRY_SECS_LIMIT: u32 = 365 * 24 * 3_600;
/// The longest that an invoice is honoured after its expiry, whatever is configured: a week.
const LATE_ACCEPT_SECS_LIMIT: u32 = 7 * 24 * 3_600;
/// The longest that money is locked in for a hold invoice, whatever is configured: two weeks, as on
/// Lightning.
const HOLD_SECS_LIMIT: u32 = 14 * 24 * 3_600;
/// Most of what is counted, whatever is configured; each is a row of a table and entries of its indexes.
const ROWS_LIMIT: u32 = 10_000_000;
/// Most payments under way and hold invoices with money locked in, whatever is configured.
const IN_FLIGHT_LIMIT: u32 = 100_000;
/// Most connections: each is an entry of the subscription at every relay.
const CONNECTIONS_LIMIT: u32 = 10_000;
/// Most requests a second, whatever is configured.
const RATE_LIMIT: u32 = 1_000_000;
/// The largest reply, whatever is configured. NIP-44 pads 40,000 bytes to 40,960 and base64 makes 54,700
/// characters of them, which leaves room for the event around it below the 64 KiB that relays take.
const REPLY_BYTES_LIMIT: u32 = 40_000;
/// The smallest: one transaction with the longest texts must fit.
const REPLY_BYTES_MIN: u32 = 16_000;
/// The smallest file: its tables and indexes, empty, take a tenth of it.
const BOOKS_BYTES_MIN: u32 = 2_000_000;
/// What the write-ahead log takes at least.
const LOG_BYTES_MIN: u64 = 6_000_000;
/// The largest file, whatever is configured.
const BOOKS_BYTES_LIMIT: u32 = 4_000_000_000;
/// The longest that history is kept, whatever is configured: a century.
const HISTORY_DAYS_LIMIT: u32 = 36_500;
/// A share of the whole.
const PPM_LIMIT: u32 = 1_000_000;
/// The largest fee or minimum: a hundred thousand satoshi. More is a typing error.
const FEE_MSAT_LIMIT: u32 = 100_000_000;

/// Bounds on what strangers can make the wallet do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// `NWC_MAX_INVOICE_MSAT`: the largest invoice.
    pub invoice_max: Msat,
    /// `NWC_MAX_BALANCE_MSAT`: what one wallet may hold, with what is being taken for it.
    pub balance_max: Msat,
    /// `NWC_MAX_WALLETS`: wallets that hold money; the first payment to a key opens one while there are fewer.
    /// The house's are opened all the same.
    pub wallets_max: u32,
    /// `NWC_MIN_FIRST_MSAT`: the least that the first payment to a key may be, which opens its wallet; a
    /// wallet that holds less takes no place among [`Self::wallets_max`]. Not for what the house asks for.
    pub first_msat_min: u32,
    /// `NWC_DEFAULT_EXPIRY_SECS`: for invoices that do not ask for an expiry.
    pub expiry_default_secs: u32,
    /// `NWC_MAX_EXPIRY_SECS`: what longer wishes are cut to.
    pub expiry_max_secs: u32,
    /// `NWC_MAX_ANON_EXPIRY_SECS`: the same for invoices that somebody else asks for than is paid, or that a
    /// key asks for that holds less than [`Self::first_msat_min`].
    pub anon_expiry_max_secs: u32,
    /// `NWC_LATE_ACCEPT_SECS`: how long after its expiry an invoice is still honoured, as receivers on
    /// Lightning do for payments that were already under way.
    pub late_accept_secs: u32,
    /// `NWC_MAX_OPEN_INVOICES_PER_KEY`: for one payee, counted apart for those it asked for itself, those that
    /// other keys asked for (half of them for keys that hold nothing) and those asked for over HTTP, so that
    /// none can use up another's.
    pub open_per_key: u32,
    /// `NWC_MAX_OPEN_INVOICES_UNFUNDED`: for all payees together who hold less than
    /// [`Self::first_msat_min`], that they ask for themselves; half as many each that are asked for over HTTP, and by
    /// other keys. Whoever has most gives way.
    pub open_unfunded: u32,
    /// `NWC_MAX_OPEN_INVOICES`: the same for all payees who hold more; whoever has most for what it holds gives way.
    /// The house has as many again.
    pub open_total: u32,
    /// `NWC_MAX_IN_FLIGHT_PER_KEY`: payments of one payer that are on their way.
    pub in_flight_per_key: u32,
    /// `NWC_MAX_IN_FLIGHT`: payments of all payers to the outside; the more there are, the more each further one must
    /// be worth.
    pub in_flight_total: u32,
    /// `NWC_MAX_HOLDS_PER_KEY`: hold invoices of one payee that money is locked in for.
    pub holds_per_key: u32,
    /// `NWC_MAX_HOLDS`: hold invoices of all payees, counted apart for money from outside and from other wallets
    /// here; the more there are, the more each further one must be worth.
    pub holds_total: u32,
    /// `NWC_MAX_HOLD_SECS`: how long money of another wallet of ours stays locked in at most.
    pub hold_secs_max: u32,
    /// `NWC_MAX_CONNECTIONS_PER_KEY`: connections to one wallet.
    pub connections_per_key: u32,
    /// `NWC_MAX_CONNECTIONS`: connections to all; whoever has most for what it holds gives way. The house has as many
    /// again.
    pub connections_total: u32,
    /// `NWC_BOOKS_BYTES_MAX`: how large the wallet's file may become. Beside it the volume needs room for the
    /// write-ahead log: a third of it, at least 6 MB.
    pub books_bytes_max: u32,
    /// `NWC_MAX_ANSWERS_PER_KEY`: requests of one key that are remembered with their answers, for as long as
    /// their events could come back (twenty minutes).
    pub answers_per_key: u32,
    /// `NWC_MAX_WAITING_PER_PAYMENT`: requests that wait for the outcome of one payment.
    pub waiting_per_payment: u32,
    /// `NWC_MAX_WAITING`: requests beyond the first that wait for any; of whoever has most one is answered.
    pub waiting_total: u32,
    /// `NWC_RATE_PER_SEC`, `NWC_RATE_BURST`: requests of one key.
    pub rate: RateLimit,
    /// `NWC_RELAY_RATE_PER_SEC`, `NWC_RELAY_RATE_BURST`: requests through one relay.
    pub relay_rate: RateLimit,
    /// `NWC_LNURL_RATE_PER_SEC`, `NWC_LNURL_RATE_BURST`: requests of one address over HTTP: a person with
    /// several tabs, not a flood of invoices.
    pub lnurl_rate: RateLimit,
    /// `NWC_MAX_NAMES_PER_KEY`, `NWC_MAX_NAMES`: names of Lightning addresses, which are never given back.
    pub names_per_key: u32,
    /// See [`Self::names_per_key`].
    pub names_total: u32,
    /// `NWC_MAX_CONCURRENT`: requests under way at once; each takes a thread while it waits for the disk.
    pub concurrent_max: u32,
    /// `NWC_MAX_HTTP_CONNECTIONS`: connections for Lightning addresses at once; more wait in the kernel's queue.
    pub http_connections_max: u32,
    /// `NWC_HISTORY_MAX`: finished payments and paid invoices of one key; the oldest beyond are deleted.
    pub history_items_max: u32,
    /// `NWC_HISTORY_DAYS`: what was made longer ago is deleted.
    pub history_days: u32,
    /// `NWC_JOURNAL_MAX`: transactions in the books' journal; the oldest beyond are carried forward. It takes an eighth
    /// of [`Self::books_bytes_max`] at most, so that fewer are kept in a small file.
    pub journal_max: u32,
    /// `NWC_LNURL_INVOICES_PER_CLIENT`: invoices for one payee that one address over HTTP is given within
    /// [`Self::anon_expiry_max_secs`].
    pub lnurl_per_client: u32,
    /// `NWC_MAX_HISTORY`: how far back a list can be paged by offset, in transactions.
    pub history_max: u32,
    /// `NWC_MAX_REPLY_BYTES`: the longest list in a reply.
    pub reply_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            invoice_max: Msat::new(100_000_000_000),
            balance_max: Msat::new(1_000_000_000_000),
            wallets_max: 10_000,
            // A satoshi: what the smallest payment over Lightning is.
            first_msat_min: 1_000,
            expiry_default_secs: 600,
            expiry_max_secs: 86_400,
            anon_expiry_max_secs: 600,
            late_accept_secs: 0,
            // With the longest texts, and the answers that carry them, they fit the strangers' part of the file.
            open_per_key: 100,
            open_unfunded: 1_000,
            open_total: 2_000,
            in_flight_per_key: 10,
            in_flight_total: 200,
            holds_per_key: 10,
            holds_total: 200,
            hold_secs_max: 86_400,
            connections_per_key: 16,
            connections_total: 1_000,
            // Beside a write-ahead log of a third on a volume of 300 MB. A half of it is for history, fifty thousand
            // payments between strangers; what changes in a day, not the whole, is what a snapshot sends.
            books_bytes_max: 200_000_000,
            answers_per_key: 2_000,
            waiting_per_payment: 32,
            waiting_total: 2_000,
            rate: RateLimit { per_sec: 20, burst: 100 },
            relay_rate: RateLimit { per_sec: 2_000, burst: 5_000 },
            lnurl_rate: RateLimit { per_sec: 5, burst: 50 },
            names_per_key: 3,
            names_total: 1_000_000,
            concurrent_max: 256,
            http_connections_max: 256,
            history_items_max: 2_000,
            history_days: 400,
            journal_max: 50_000,
            lnurl_per_client: 10,
            history_max: 10_000,
            reply_bytes_max: REPLY_BYTES_LIMIT,
        }
    }
}

impl Limits {
    /// The least that the first payment to a key may be.
    #[must_use]
    pub fn first_min(&self) -> Msat {
        Msat::new(self.first_msat_min.into())
    }

    /// The same, with books that fit a volume of this size beside their write-ahead log: a third of them, at
    /// least 6 MB.
    #[must_use]
    pub fn within(self, volume_bytes: u64) -> Self {
        let room = (volume_bytes / 4 * 3).min(volume_bytes.saturating_sub(LOG_BYTES_MIN));
        let room = u32::try_from(room).unwrap_or(u32::MAX).max(BOOKS_BYTES_MIN);
        if room < self.books_bytes_max {
            tracing::warn!(bytes = room, "the volume is small; the books are bounded to this");
        }
        Self { books_bytes_max: self.books_bytes_max.min(room), ..self }
    }

    /// Every bound that is a whole number, by the variable that sets it.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, u32)> {
        let mut limits = *self;
        NUMBERS.into_iter().map(move |(name, _, _, field)| (name, *field(&mut limits)))
    }
}

type Field = fn(&mut Limits) -> &mut u32;

/// Every whole number: variable, least, most, where it goes.
const NUMBERS: [(&str, u32, u32, Field); 36] = [
    ("NWC_MAX_WALLETS", 1, ROWS_LIMIT, |l| &mut l.wallets_max),
    ("NWC_MIN_FIRST_MSAT", 1, FEE_MSAT_LIMIT, |l| &mut l.first_msat_min),
    ("NWC_DEFAULT_EXPIRY_SECS", 1, EXPIRY_SECS_LIMIT, |l| &mut l.expiry_default_secs),
    ("NWC_MAX_EXPIRY_SECS", 1, EXPIRY_SECS_LIMIT, |l| &mut l.expiry_max_secs),
    ("NWC_MAX_ANON_EXPIRY_SECS", 1, EXPIRY_SECS_LIMIT, |l| &mut l.anon_expiry_max_secs),
    ("NWC_LATE_ACCEPT_SECS", 0, LATE_ACCEPT_SECS_LIMIT, |l| &mut l.late_accept_secs),
    ("NWC_MAX_OPEN_INVOICES_PER_KEY", 1, ROWS_LIMIT, |l| &mut l.open_per_key),
    ("NWC_MAX_OPEN_INVOICES_UNFUNDED", 1, ROWS_LIMIT, |l| &mut l.open_unfunded),
    ("NWC_MAX_OPEN_INVOICES", 1, ROWS_LIMIT, |l| &mut l.open_total),
    ("NWC_MAX_IN_FLIGHT_PER_KEY", 1, IN_FLIGHT_LIMIT, |l| &mut l.in_flight_per_key),
    ("NWC_MAX_IN_FLIGHT", 1, IN_FLIGHT_LIMIT, |l| &mut l.in_flight_total),
    ("NWC_MAX_HOLDS_PER_KEY", 1, IN_FLIGHT_LIMIT, |l| &mut l.holds_per_key),
    ("NWC_MAX_HOLDS", 1, IN_FLIGHT_LIMIT, |l| &mut l.holds_total),
    ("NWC_MAX_HOLD_SECS", 1, HOLD_SECS_LIMIT, |l| &mut l.hold_secs_max),
    ("NWC_MAX_CONNECTIONS_PER_KEY", 1, CONNECTIONS_LIMIT, |l| &mut l.connections_per_key),
    ("NWC_MAX_CONNECTIONS", 1, CONNECTIONS_LIMIT, |l| &mut l.connections_total),
    ("NWC_BOOKS_BYTES_MAX", BOOKS_BYTES_MIN, BOOKS_BYTES_LIMIT, |l| &mut l.books_bytes_max),
    ("NWC_MAX_ANSWERS_PER_KEY", 10, ROWS_LIMIT, |l| &mut l.answers_per_key),
    ("NWC_MAX_WAITING_PER_PAYMENT", 1, IN_FLIGHT_LIMIT, |l| &mut l.waiting_per_payment),
    ("NWC_MAX_WAITING", 1, IN_FLIGHT_LIMIT, |l| &mut l.waiting_total),
    ("NWC_RATE_PER_SEC", 1, RATE_LIMIT, |l| &mut l.rate.per_sec),
    ("NWC_RATE_BURST", 1, RATE_LIMIT, |l| &mut l.rate.burst),
    ("NWC_RELAY_RATE_PER_SEC", 1, RATE_LIMIT, |l| &mut l.relay_rate.per_sec),
    ("NWC_RELAY_RATE_BURST", 1, RATE_LIMIT, |l| &mut l.relay_rate.burst),
    ("NWC_LNURL_RATE_PER_SEC", 1, RATE_LIMIT, |l| &mut l.lnurl_rate.per_sec),
    ("NWC_LNURL_RATE_BURST", 1, RATE_LIMIT, |l| &mut l.lnurl_rate.burst),
    ("NWC_MAX_NAMES_PER_KEY", 1, ROWS_LIMIT, |l| &mut l.names_per_key),
    ("NWC_MAX_NAMES", 1, ROWS_LIMIT, |l| &mut l.names_total),
    // Of the 512 threads that may wait for the disk, some are for the server's own requests and for HTTP.
    ("NWC_MAX_CONCURRENT", 1, 384, |l| &mut l.concurrent_max),
    ("NWC_MAX_HTTP_CONNECTIONS", 1, CONNECTIONS_LIMIT, |l| &mut l.http_connections_max),
    ("NWC_HISTORY_MAX", 20, ROWS_LIMIT, |l| &mut l.history_items_max),
    ("NWC_HISTORY_DAYS", 1, HISTORY_DAYS_LIMIT, |l| &mut l.history_days),
    ("NWC_JOURNAL_MAX", 20, ROWS_LIMIT, |l| &mut l.journal_max),
    ("NWC_LNURL_INVOICES_PER_CLIENT", 1, ROWS_LIMIT, |l| &mut l.lnurl_per_client),
    ("NWC_MAX_HISTORY", 20, ROWS_LIMIT, |l| &mut l.history_max),
    ("NWC_MAX_REPLY_BYTES", REPLY_BYTES_MIN, REPLY_BYTES_LIMIT, |l| &mut l.reply_bytes_max),
];

fn number(variables: &mut Variables, name: &str, min: u32, max: u32) -> Result<Option<u32>, ConfigError> {
    variables.optional(name, |text| {
        let number = text.parse().ok().filter(|number| (min..=max).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {min} to {max}"))
    })
}

pub(super) fn parse(variables: &mut Variables) -> Result<Limits, ConfigError> {
    let mut limits = Limits::default();
    for (name, min, max, field) in NUMBERS {
        if let Some(number) = number(variables, name, min, max)? {
            *field(&mut limits) = number;
        }
    }
    if let Some(invoice_max) = variables.optional("NWC_MAX_INVOICE_MSAT", parse_msat)? {
        limits.invoice_max = invoice_max;
    }
    if let Some(balance_max) = variables.optional("NWC_MAX_BALANCE_MSAT", parse_msat)? {
        limits.balance_max = balance_max;
    }
    if limits.expiry_default_secs > limits.expiry_max_secs {
        return Err(ConfigError::new("NWC_DEFAULT_EXPIRY_SECS", "must not exceed NWC_MAX_EXPIRY_SECS"));
    }
    Ok(limits)
}

/// `NWC_FEE_…`: what payments and holding money cost.
pub(super) fn parse_fees(variables: &mut Variables) -> Result<Fees, ConfigError> {
    let msat = |number: u32| Msat::new(number.into());
    let default = FeeReserve::default();
    let reserve = FeeReserve {
        share_ppm: number(variables, "NWC_FEE_RESERVE_PPM", 0, PPM_LIMIT)?.unwrap_or(default.share_ppm),
        min: number(variables, "NWC_FEE_RESERVE_MSAT", 0, FEE_MSAT_LIMIT)?.map_or(default.min, msat),
    };
    let payment = PaymentFee {
        base: number(variables, "NWC_FEE_PAYMENT_MSAT", 0, FEE_MSAT_LIMIT)?.map_or(Msat::ZERO, msat),
        share_ppm: number(variables, "NWC_FEE_PAYMENT_PPM", 0, PPM_LIMIT)?.unwrap_or(0),
    };
    let amount = number(variables, "NWC_FEE_HOLDING_MSAT", 1, FEE_MSAT_LIMIT)?.map(msat);
    let period_secs = number(variables, "NWC_FEE_HOLDING_SECS", 3_600, EXPIRY_SECS_LIMIT)?;
    let holding = match (amount, period_secs) {
        (Some(amount), secs) => Some(HoldingFee { amount, period_secs: secs.unwrap_or(86_400) }),
        (None, None) => None,
        (None, Some(_)) => {
            return Err(ConfigError::new("NWC_FEE_HOLDING_MSAT", "is missing beside NWC_FEE_HOLDING_SECS"));
        }
    };
    Ok(Fees { reserve, payment, holding })
}

pub(super) fn write(f: &mut fmt::Formatter<'_>, limits: &Limits, fees: &Fees) -> fmt::Result {
    writeln!(f, "NWC_MAX_INVOICE_MSAT={}", limits.invoice_max.msat())?;
    writeln!(f, "NWC_MAX_BALANCE_MSAT={}", limits.balance_max.msat())?;
    let mut limits = *limits;
    for (name, _, _, field) in NUMBERS {
        writeln!(f, "{name}={}", field(&mut limits))?;
    }
    writeln!(f, "NWC_FEE_RESERVE_PPM={}", fees.reserve.share_ppm)?;
    writeln!(f, "NWC_FEE_RESERVE_MSAT={}", fees.reserve.min.msat())?;
    writeln!(f, "NWC_FEE_PAYMENT_MSAT={}", fees.payment.base.msat())?;
    writeln!(f, "NWC_FEE_PAYMENT_PPM={}", fees.payment.share_ppm)?;
    if let Some(holding) = &fees.holding {
        writeln!(f, "NWC_FEE_HOLDING_MSAT={}", holding.amount.msat())?;
        writeln!(f, "NWC_FEE_HOLDING_SECS={}", holding.period_secs)?;
    }
    Ok(())
}
