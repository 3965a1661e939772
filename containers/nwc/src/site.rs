//! Where Lightning addresses are served: the part after the `@`, and the URLs behind it.

use std::fmt;
use std::str::FromStr;

use nostr::types::Url;

/// The public address of the wallet's HTTP server, such as `http://198.18.0.1:5000`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Site {
    scheme: String,
    authority: String,
}

/// A text is no address of a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be http:// or https:// with a host, perhaps a port, and nothing else")]
pub struct NotASite;

impl Site {
    /// Host and port: what stands after the `@` of an address.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// An URL of this server.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

impl FromStr for Site {
    type Err = NotASite;

    fn from_str(text: &str) -> Result<Self, NotASite> {
        let url = Url::parse(text).map_err(|_| NotASite)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let open = url.username().is_empty() && url.password().is_none();
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotASite)?;
        if !bare || !open || !matches!(url.scheme(), "http" | "https") {
            return Err(NotASite);
        }
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Ok(Self { scheme: url.scheme().to_owned(), authority })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn site_is_a_scheme_a_host_and_a_port() {
        for (text, shown, authority) in [
            ("http://198.18.0.1:5000", "http://198.18.0.1:5000", "198.18.0.1:5000"),
            ("https://Wallet.example/", "https://wallet.example", "wallet.example"),
            ("https://wallet.example:443", "https://wallet.example", "wallet.example"),
            ("http://[::1]:80/", "http://[::1]", "[::1]"),
        ] {
            let site: Site = text.parse().unwrap();
            assert_eq!((site.to_string().as_str(), site.authority()), (shown, authority));
            assert_eq!(site.url("/a"), format!("{shown}/a"));
        }
        for text in [
            "",
            "wallet.example",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a#b",
            "http://u@a",
        ] {
            assert_eq!(text.parse::<Site>(), Err(NotASite), "{text}");
        }
    }
}
