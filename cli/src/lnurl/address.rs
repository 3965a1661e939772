//! `name@host`.

use std::fmt;
use std::net::IpAddr;

use guard::AddressGuard;
use nostr::key::PublicKey;
use nostr::types::{Host, Url};

use crate::error::Failure;

/// A Lightning address (LUD-16).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    name: String,
    authority: String,
}

impl Address {
    /// Reads an address; none if the text is not meant as one.
    ///
    /// # Errors
    /// `address_invalid` if it is, but is none.
    pub(crate) fn parse(text: &str) -> Option<Result<Self, Failure>> {
        let text = text.trim();
        let text = text.strip_prefix("lightning:").unwrap_or(text);
        let (name, authority) = text.rsplit_once('@')?;
        // The reference's form has a wallet's npub behind a second `@`.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@');
        let address = Self { name: name.to_ascii_lowercase(), authority: authority.to_ascii_lowercase() };
        let sound = !name.is_empty() && name.chars().all(plain) && address.url().is_ok();
        let invalid = || {
            let message = format!("{text:?} is no Lightning address: it must look like name@host");
            Failure::usage("address_invalid", message)
        };
        Some(if sound { Ok(address) } else { Err(invalid()) })
    }

    /// The key that the address names by itself.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        let user = self.name.split('@').next().filter(|user| user.starts_with("npub1"))?;
        PublicKey::parse(user).ok()
    }

    /// Where it is asked.
    ///
    /// Over https; plain http only at an address of the user's own network, where development happens
    /// and nobody is given a certificate.
    ///
    /// # Errors
    /// `address_invalid`.
    pub(super) fn url(&self) -> Result<Url, Failure> {
        let wrong = || Failure::usage("address_invalid", format!("{self} is no Lightning address"));
        let build =
            |scheme: &str| Url::parse(&format!("{scheme}://{}/", self.authority)).map_err(|_| wrong());
        let mut url = build("https")?;
        if is_private(&url) {
            url = build("http")?;
        }
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
        {
            return Err(wrong());
        }
        url.set_path(&format!("/.well-known/lnurlp/{}", self.name));
        Ok(url)
    }
}

/// True for an address in figures that is not on the public internet.
pub(super) fn is_private(url: &Url) -> bool {
    let ip: IpAddr = match url.host() {
        Some(Host::Ipv4(ip)) => ip.into(),
        Some(Host::Ipv6(ip)) => ip.into(),
        Some(Host::Domain(_)) | None => return false,
    };
    AddressGuard::public_only().check(ip).is_err()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.authority)
    }
}
