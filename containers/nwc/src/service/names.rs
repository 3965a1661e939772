//! Names of Lightning addresses: which there are, and who may choose one.
//!
//! A key that was paid before may choose a name, three in its life. It keeps them all: a name that
//! changed hands would pay the wrong person.

use ledger::Account;
use nostr::key::PublicKey;
use protocol::nwc::{Method, Named, Response, ResultBody};
use units::UnixSecs;

use super::caller::Caller;
use super::refusal::Refusal;
use super::shares;
use super::{Handled, Wallet};
use crate::store::{StoreError, name};

/// Fewest and most characters.
const CHARS: std::ops::RangeInclusive<usize> = 3..=30;
/// Names that people take for the wallet's own, or for its operator.
const RESERVED: [&str; 40] = [
    "abuse",
    "account",
    "admin",
    "administrator",
    "api",
    "billing",
    "bitcoin",
    "bot",
    "contact",
    "donate",
    "donations",
    "enclave",
    "enclaved",
    "faucet",
    "fees",
    "help",
    "hostmaster",
    "info",
    "keycrux",
    "lightning",
    "lnurl",
    "lnurlp",
    "mail",
    "noreply",
    "nostr",
    "nwc",
    "official",
    "operator",
    "payments",
    "postmaster",
    "root",
    "satoshi",
    "security",
    "service",
    "status",
    "support",
    "system",
    "wallet",
    "webmaster",
    "www",
];
/// Beginnings of texts that mean something by themselves (NIP-19, BOLT11, LUD-01).
const RESERVED_BEGINNINGS: [&str; 9] =
    ["npub1", "nsec1", "note1", "nprofile1", "nevent1", "naddr1", "lnbc", "lntb", "lnurl1"];

/// Why a name is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("this wallet serves no Lightning addresses")]
    NotServed,
    #[error(
        "a name has {} to {} characters, small letters, digits, and single . _ - between them, and begins with a letter",
        CHARS.start(),
        CHARS.end()
    )]
    Shape,
    #[error("the name is reserved; choose another")]
    Reserved,
    #[error("the name is taken; choose another")]
    Taken,
    #[error("you have as many names as a key may have (limit: NWC_MAX_NAMES_PER_KEY); use one of yours")]
    TooMany,
    #[error("all names are given out (limit: NWC_MAX_NAMES)")]
    Full,
    #[error("choose a name after this wallet was paid for the first time")]
    NeverPaid,
}

/// Whether a text can be a name. The same name has one spelling.
pub(super) fn check(name: &str) -> Result<(), NameError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let between = |c: char| matches!(c, '.' | '_' | '-');
    let shaped = CHARS.contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || between(c))
        && !name.chars().zip(name.chars().skip(1)).any(|(a, b)| between(a) && between(b));
    if !shaped {
        return Err(NameError::Shape);
    }
    let letters: String = name.chars().filter(|c| !between(*c)).collect();
    if RESERVED.contains(&letters.as_str()) || RESERVED_BEGINNINGS.iter().any(|it| letters.starts_with(it)) {
        return Err(NameError::Reserved);
    }
    Ok(())
}

impl Wallet {
    /// Gives the caller a name, once for each request: a request that comes again brings no older name back.
    pub(super) fn choose_name(
        &self,
        caller: &Caller,
        name: String,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let Some(addresses) = &self.addresses else { return Err(NameError::NotServed.into()) };
        check(&name)?;
        let (key, lud16, limits) = (caller.wallet, addresses.of(&name), self.limits);
        let (handled, _) = self.once::<()>(caller, &Method::ChooseName, now, move |tx, _| {
            let view = tx.view();
            match name::key_of(view, &name)? {
                Some(owner) if owner == key => {}
                Some(_) => return Err(NameError::Taken.into()),
                None => {
                    if !view.exists(Account::User(key.to_bytes()))? {
                        return Err(NameError::NeverPaid.into());
                    }
                    let names_max = shares::names_max(&limits);
                    let (of_key, total) = name::counts(view, &key, names_max)?;
                    if of_key >= limits.names_per_key {
                        return Err(NameError::TooMany.into());
                    }
                    if total >= names_max {
                        return Err(NameError::Full.into());
                    }
                }
            }
            name::choose(tx, &key, &name, now)?;
            Ok((Handled::now(Response::done(ResultBody::ChooseName(Named { lud16 }))), None))
        })?;
        Ok(handled)
    }

    /// The Lightning address of a key: with its newest name, or with its npub; none if none are served.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn lightning_address(&self, key: &PublicKey) -> Result<Option<String>, StoreError> {
        let Some(addresses) = &self.addresses else { return Ok(None) };
        let chosen = self.store.read(|view| name::name_of(view, key).map_err(StoreError::from))?;
        Ok(Some(addresses.of(&chosen.unwrap_or_else(|| super::lnurl::npub(key)))))
    }
}

impl From<NameError> for Refusal {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

#[cfg(test)]
mod tests;
