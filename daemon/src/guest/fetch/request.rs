//! What a container wants fetched, checked before anything is asked of anybody.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request};
use protocol::guest::AttestedFetch;
use url::Url;

use super::{RESPONSE_BYTES_MAX, SECS_MAX};
use crate::guest::refusal::{Refusal, RefusalCode};

/// Longest URL, in bytes: longer ones are refused by most servers.
const URL_BYTES_MAX: usize = 4 * 1024;
/// Most headers.
const HEADERS_MAX: usize = 32;
/// What every request says, unless the container says otherwise.
const AGENT: &str = concat!("enclaved/", env!("CARGO_PKG_VERSION"));
/// Headers that belong to the connection, which is ours.
const CONNECTION_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Methods that ask for an answer; `CONNECT` and `TRACE` are about the way.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// A request that may be sent. `Debug` shows the host alone.
pub(super) struct Checked {
    pub(super) method: Method,
    /// As it is stated.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    target: String,
    authority: String,
    /// Names in small letters.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) response_bytes_max: u64,
    pub(super) wait: Duration,
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Checked {
    pub(super) fn new(request: AttestedFetch) -> Result<Self, Refusal> {
        let method = METHODS.iter().find(|method| method.as_str() == request.method).cloned();
        let method = method.ok_or_else(|| {
            invalid("method: one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned())
        })?;
        let url = url(&request.url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let target =
            url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let bytes_max = request.response_bytes_max.unwrap_or(RESPONSE_BYTES_MAX);
        let secs = request.timeout_secs.unwrap_or(SECS_MAX);
        if bytes_max > RESPONSE_BYTES_MAX {
            return Err(invalid(format!("response_bytes_max: at most {RESPONSE_BYTES_MAX}")));
        }
        if secs == 0 || secs > SECS_MAX {
            return Err(invalid(format!("timeout_secs: 1 to {SECS_MAX}")));
        }
        Ok(Self {
            method,
            url: url.to_string(),
            host,
            port,
            target,
            authority,
            headers: headers(request.headers)?,
            body: request.body.map(|body| body.0).unwrap_or_default(),
            response_bytes_max: bytes_max,
            wait: Duration::from_secs(secs),
        })
    }

    /// What is sent.
    pub(super) fn http(&self) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut builder =
            Request::builder().method(self.method.clone()).uri(&self.target).header(HOST, &self.authority);
        if !self.headers.iter().any(|(name, _)| name == USER_AGENT.as_str()) {
            builder = builder.header(USER_AGENT, AGENT);
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder
            .body(Full::new(Bytes::from(self.body.clone())))
            .map_err(|_| invalid("the request cannot be written as HTTP".to_owned()))
    }
}

fn url(text: &str) -> Result<Url, Refusal> {
    if text.len() > URL_BYTES_MAX {
        return Err(invalid(format!("url: at most {URL_BYTES_MAX} bytes")));
    }
    let url = Url::parse(text).map_err(|e| invalid(format!("url: {e}")))?;
    if url.scheme() != "https" {
        return Err(invalid(
            "url: must begin with https://; what is not secured cannot be stated".to_owned(),
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("url: must hold no user name or password; use a header".to_owned()));
    }
    if url.fragment().is_some() {
        return Err(invalid("url: must have no #fragment; servers do not see it".to_owned()));
    }
    Ok(url)
}

fn headers(given: Vec<(String, String)>) -> Result<Vec<(String, String)>, Refusal> {
    if given.len() > HEADERS_MAX {
        return Err(invalid(format!("headers: at most {HEADERS_MAX}")));
    }
    let check = |(name, value): (String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid("headers: a name is not one".to_owned()))?;
        if CONNECTION_HEADERS.contains(&name.as_str()) {
            return Err(invalid(format!("headers: {name} is the server's to set")));
        }
        // Never repeats a value: it may be a key.
        HeaderValue::from_str(&value).map_err(|_| {
            invalid(format!("headers: {name} has a value with characters that are not allowed"))
        })?;
        Ok((name.as_str().to_owned(), value))
    };
    given.into_iter().map(check).collect()
}

fn invalid(why: String) -> Refusal {
    Refusal::new(RefusalCode::ParamsInvalid, why)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn checked(value: Value) -> Result<Checked, Refusal> {
        Checked::new(serde_json::from_value(value).unwrap())
    }

    #[test]
    fn request_is_sent_as_it_is_stated() {
        let request = checked(json!({
            "method": "POST",
            "url": "https://Example.com:8443/a%20b/?q=1&r",
            "headers": [["X-Key", "hunter2"]],
            "body": "aGVsbG8=",
        }))
        .unwrap();
        assert_eq!(request.url, "https://example.com:8443/a%20b/?q=1&r");
        assert_eq!((request.host.as_str(), request.port), ("example.com", 8_443));
        let http = request.http().unwrap();
        assert_eq!((http.method().as_str(), http.uri().to_string()), ("POST", "/a%20b/?q=1&r".to_owned()));
        assert_eq!(
            (&http.headers()["host"], &http.headers()["x-key"]),
            (&"example.com:8443".parse().unwrap(), &"hunter2".parse().unwrap())
        );
        assert!(!format!("{request:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_stated_is_refused() {
        let get = |url: &str| json!({"url": url});
        let cases = [
            (get("http://example.com/"), "https"),
            (get("ftp://example.com/"), "https"),
            (get("example.com"), "url"),
            (get("https://user:hunter2@example.com/"), "user name"),
            (get("https://example.com/#a"), "fragment"),
            (get(&format!("https://example.com/{}", "a".repeat(5_000))), "at most"),
            (json!({"url": "https://a.example/", "method": "CONNECT"}), "method"),
            (json!({"url": "https://a.example/", "method": "get"}), "method"),
            (json!({"url": "https://a.example/", "headers": [["Host", "hunter2"]]}), "host is the server's"),
            (
                json!({"url": "https://a.example/", "headers": [["Transfer-Encoding", "x"]]}),
                "transfer-encoding",
            ),
            (json!({"url": "https://a.example/", "headers": [["a b", "x"]]}), "name"),
            (json!({"url": "https://a.example/", "headers": [["a", "hunter2\r\nb: c"]]}), "characters"),
            (json!({"url": "https://a.example/", "headers": vec![["a", "b"]; 33]}), "at most 32"),
            (json!({"url": "https://a.example/", "timeout_secs": 31}), "timeout_secs"),
            (json!({"url": "https://a.example/", "timeout_secs": 0}), "timeout_secs"),
            (json!({"url": "https://a.example/", "response_bytes_max": 2_000_000}), "response_bytes_max"),
        ];
        for (value, why) in cases {
            let refusal = checked(value.clone()).unwrap_err();
            assert_eq!(refusal.code, RefusalCode::ParamsInvalid, "{value}");
            assert!(refusal.message.contains(why) && !refusal.message.contains("hunter2"), "{refusal}");
        }
    }
}
