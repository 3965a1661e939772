//! The guard itself.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::special::{canonical, special_range};
use crate::{AddressRefused, GuardError, Hold, Lookup, SystemLookup};

/// How long one name may take to resolve: two tries of a usual stub resolver.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// How many addresses of one name are handed back, so that a name with thousands of addresses does
/// not cost thousands of connection attempts. All of them are checked.
const ADDRESSES_MAX: usize = 16;

/// Longest DNS name in text form (RFC 1035, 2.3.4, less the two length octets).
const NAME_CHARS_MAX: usize = 253;

/// Longest label of a DNS name (RFC 1035, 2.3.4).
const LABEL_CHARS_MAX: usize = 63;

/// Decides which addresses may be connected to on behalf of a stranger.
#[derive(Clone, Debug)]
pub struct AddressGuard {
    exceptions: Arc<[IpNet]>,
    lookup: Arc<dyn Lookup>,
}

impl AddressGuard {
    /// A guard that lets only public addresses pass.
    #[must_use]
    pub fn public_only() -> Self {
        Self::with_exceptions(Vec::new())
    }

    /// A guard that lets public addresses and those in `exceptions` pass. For development and tests.
    #[must_use]
    pub fn with_exceptions(exceptions: Vec<IpNet>) -> Self {
        Self { exceptions: exceptions.into(), lookup: Arc::new(SystemLookup::default()) }
    }

    /// The same guard, asking `lookup` instead of the operating system.
    #[must_use]
    pub fn with_lookup(self, lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, ..self }
    }

    /// True if some addresses pass that are not public; a production instance refuses to start then.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }

    /// Judges one address. An IPv6 address that stands for an IPv4 address is judged by that.
    ///
    /// # Errors
    /// [`AddressRefused`] if the address is not public and in no exception.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let Some(range) = special_range(address) else { return Ok(()) };
        let judged = canonical(address);
        if self.exceptions.iter().any(|net| net.contains(&judged)) {
            return Ok(());
        }
        Err(AddressRefused { address, range })
    }

    /// Resolves `host` (a DNS name, or an address, IPv6 with or without brackets) and judges every
    /// address that it has. The caller connects to the result and does not look the name up again.
    ///
    /// At least one address comes back, at most 16. Dropping the future is safe.
    ///
    /// # Errors
    /// [`GuardError::Refused`] if any of the addresses is refused: a name that mixes public and
    /// private addresses is an attack or a mistake. [`GuardError::OddAddress`] and
    /// [`GuardError::NotAName`] before anything is asked of a name server; the rest if the name has no
    /// address.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, GuardError> {
        self.resolve_with(host, port, None).await
    }

    /// The same, and drops `hold` when nothing looks the name up any more: the system's resolver goes on with a
    /// name whose servers are silent when whoever asked has given up.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub async fn resolve_holding(
        &self,
        host: &str,
        port: u16,
        hold: Hold,
    ) -> Result<Vec<SocketAddr>, GuardError> {
        self.resolve_with(host, port, Some(hold)).await
    }

    async fn resolve_with(
        &self,
        host: &str,
        port: u16,
        hold: Option<Hold>,
    ) -> Result<Vec<SocketAddr>, GuardError> {
        let addresses = match parse_host(host)? {
            Host::Address(address) => vec![address],
            Host::Name => self.look_up(host, hold).await?,
        };
        for address in &addresses {
            self.check(*address).map_err(|source| GuardError::Refused { host: host.to_owned(), source })?;
        }
        Ok(addresses.into_iter().take(ADDRESSES_MAX).map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn look_up(&self, host: &str, hold: Option<Hold>) -> Result<Vec<IpAddr>, GuardError> {
        let looking = match hold {
            Some(hold) => self.lookup.lookup_holding(host, hold),
            None => self.lookup.lookup(host),
        };
        let answer = tokio::time::timeout(LOOKUP_DEADLINE, looking).await;
        let found = match answer {
            Err(_elapsed) => return Err(GuardError::TimedOut { host: host.to_owned() }),
            Ok(Err(source)) => return Err(GuardError::NotResolved { host: host.to_owned(), source }),
            Ok(Ok(found)) => found,
        };
        if found.is_empty() {
            let source = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
            return Err(GuardError::NotResolved { host: host.to_owned(), source });
        }
        Ok(found)
    }
}

enum Host {
    Address(IpAddr),
    Name,
}

/// Tells addresses from names. Only the one spelling of an address that everybody reads alike is one;
/// whatever some resolver would take for a number is refused.
fn parse_host(host: &str) -> Result<Host, GuardError> {
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().map_err(|_| not_a_name(host))?;
        return Ok(Host::Address(address.into()));
    }
    if let Ok(address) = host.parse() {
        return Ok(Host::Address(address));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    if name.len() > NAME_CHARS_MAX || !name.split('.').all(is_label) {
        return Err(not_a_name(host));
    }
    // The rule of the WHATWG URL standard ("ends in a number"): no top-level domain is a number.
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err(GuardError::OddAddress { host: host.to_owned() });
    }
    Ok(Host::Name)
}

/// Letters, digits, hyphens, and the underscore that some real host names have.
fn is_label(label: &str) -> bool {
    let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    plain && (1..=LABEL_CHARS_MAX).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

/// Decimal, octal or hexadecimal, as `inet_aton` reads them.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    hex.map_or_else(
        || label.bytes().all(|b| b.is_ascii_digit()),
        |digits| digits.bytes().all(|b| b.is_ascii_hexdigit()),
    )
}

fn not_a_name(host: &str) -> GuardError {
    GuardError::NotAName { host: host.chars().take(NAME_CHARS_MAX).flat_map(char::escape_default).collect() }
}

#[cfg(test)]
mod tests;
