//! How a registry asks for a token, and the token it hands out.
//!
//! `WWW-Authenticate` (RFC 9110, 11.6.1) with the scheme `Bearer` of the distribution project's token
//! authentication. Tokens are anonymous, or for the account of an owner, whose password is told to the
//! registry itself or to the realm that the owner named.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::secrets::RegistryLogin;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

/// Longest challenge that is read; real ones have under 300 characters.
const CHALLENGE_CHARS_MAX: usize = 4_096;

/// Where a token is handed out, and for what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Challenge {
    realm: Url,
    service: Option<String>,
    scope: Option<String>,
}

impl Challenge {
    /// The first `Bearer` challenge in the header's values that has a realm.
    pub(super) fn find<'a>(values: impl Iterator<Item = &'a HeaderValue>) -> Option<Self> {
        values.filter_map(|value| value.to_str().ok()).find_map(Self::parse)
    }

    fn parse(value: &str) -> Option<Self> {
        if value.len() > CHALLENGE_CHARS_MAX {
            return None;
        }
        let mut bearer = false;
        let (mut realm, mut service, mut scope) = (None, None, None);
        for word in Words(value) {
            match word {
                Word::Scheme(scheme) if realm.is_none() => bearer = scheme.eq_ignore_ascii_case("bearer"),
                Word::Scheme(_) => break,
                Word::Parameter(name, text) if bearer => match name.to_ascii_lowercase().as_str() {
                    "realm" => realm = Url::parse(&text).ok(),
                    "service" => service = Some(text),
                    "scope" => scope = Some(text),
                    _ => {}
                },
                Word::Parameter(..) => {}
            }
        }
        Some(Self { realm: realm?, service, scope })
    }

    /// The URL that hands out the token. A challenge without a scope means pulling from `repository`.
    pub(super) fn token_url(&self, repository: &str) -> Url {
        let mut url = self.realm.clone();
        let pull = format!("repository:{repository}:pull");
        let mut query = url.query_pairs_mut();
        if let Some(service) = &self.service {
            query.append_pair("service", service);
        }
        query.append_pair("scope", self.scope.as_ref().unwrap_or(&pull));
        drop(query);
        url
    }

    /// The host that hands out the token, with its port if that is not the usual one.
    pub(super) fn realm_host(&self) -> String {
        authority(&self.realm)
    }
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// The `Authorization` header of an account (RFC 7617).
pub(super) fn basic(login: &RegistryLogin) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("{}:{}", login.username, login.password));
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(text.as_bytes()))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Whether a password for `registry` may be told to `realm`: the registry itself, or the one host that the owner
/// named beside it. A name that looks related is no reason.
pub(super) fn may_know(login: &RegistryLogin, registry: &str, realm: &str) -> bool {
    let is_registry = realm.eq_ignore_ascii_case(registry);
    is_registry || login.realm.as_ref().is_some_and(|named| named.eq_ignore_ascii_case(realm))
}

/// What a realm answers; the same thing has two names (distribution: `token`, OAuth 2: `access_token`).
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

/// The `Authorization` header that a realm's answer grants; nothing if it grants none.
pub(super) fn authorization(answer: &[u8]) -> Option<HeaderValue> {
    let answer: TokenAnswer = serde_json::from_slice(answer).ok()?;
    let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

enum Word<'a> {
    Scheme(&'a str),
    Parameter(&'a str, String),
}

/// Splits a header value into schemes and parameters; stops at the first thing that is neither.
struct Words<'a>(&'a str);

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let rest = self.0.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        if name.is_empty() {
            return None;
        }
        let Some(value) = rest.trim_start().strip_prefix('=') else {
            self.0 = rest;
            return Some(Word::Scheme(name));
        };
        let (text, rest) = split_value(value.trim_start())?;
        self.0 = rest;
        Some(Word::Parameter(name, text))
    }
}

/// A token or a quoted string (RFC 9110, 5.6.4), and what follows it.
fn split_value(value: &str) -> Option<(String, &str)> {
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find([' ', '\t', ',']).unwrap_or(value.len());
        return Some((value[..end].to_owned(), &value[end..]));
    };
    let mut text = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((text, &quoted[at + 1..])),
            _ => text.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_told_to_the_registry_and_its_own_only() {
        let login = |realm: Option<&str>| RegistryLogin {
            host: "r.example".into(),
            username: "me".into(),
            password: "hunter2".into(),
            realm: realm.map(str::to_owned),
        };
        for (registry, realm, named, expected) in [
            ("ghcr.io", "ghcr.io", None, true),
            ("registry-1.docker.io", "auth.docker.io", None, false),
            ("registry-1.docker.io", "auth.docker.io", Some("auth.docker.io"), true),
            ("registry.gitlab.com", "gitlab.com", None, false),
            ("r.example:5000", "r.example:5000", None, true),
            ("r.example:5000", "r.example", None, false),
            ("a.github.io", "evil.github.io", None, false),
            ("ghcr.io", "evil.io", None, false),
            ("192.0.2.1:5000", "192.0.2.1:5001", None, false),
            ("r.example", "auth.elsewhere.example", Some("auth.elsewhere.example"), true),
            ("r.example", "r.example", Some("auth.elsewhere.example"), true),
            ("r.example", "evil.example", Some("auth.elsewhere.example"), false),
        ] {
            assert_eq!(may_know(&login(named), registry, realm), expected, "{registry} {realm} {named:?}");
        }
        let header = basic(&login(None)).unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header.to_str().unwrap(), "Basic bWU6aHVudGVyMg==");
    }

    fn parsed(value: &str) -> Option<(String, Option<String>, Option<String>)> {
        Challenge::parse(value).map(|found| (found.realm.to_string(), found.service, found.scope))
    }

    #[test]
    fn challenges_are_read() {
        let full = Some((
            "https://auth.example/token".to_owned(),
            Some("registry.example".to_owned()),
            Some("repository:a/b:pull,push".to_owned()),
        ));
        for value in [
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
            r#"bearer  Scope="repository:a/b:pull,push" , SERVICE=registry.example, realm = "https://auth.example/token""#,
            r#"Basic realm="x", Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push""#,
            r#"Bearer realm="https://auth.example/token",service="registry\.example",scope="repository:a/b:pull,push", Basic realm="x""#,
        ] {
            assert_eq!(parsed(value), full, "{value}");
        }
        assert_eq!(parsed(r#"Bearer realm="https://a/""#), Some(("https://a/".to_owned(), None, None)));
    }

    #[test]
    fn other_values_are_no_challenge() {
        let long = format!("Bearer realm=\"https://a/{}\"", "a".repeat(CHALLENGE_CHARS_MAX));
        for value in [
            "",
            "Bearer",
            "Bearer realm",
            "Bearer realm=",
            "Bearer realm=\"",
            "Bearer realm=\"https://a",
            "=",
            ",,,",
            "Bearer =x",
            "Bearer realm=\"not a url\"",
            "Basic realm=\"https://a/\"",
            "Bearer service=\"x\"",
            "\"",
            &long,
        ] {
            assert_eq!(parsed(value), None, "{value}");
        }
    }

    #[test]
    fn token_url_names_service_and_scope() {
        let challenge = Challenge::parse(r#"Bearer realm="https://a/t?x=1",service="s & t""#).unwrap();
        let url = challenge.token_url("team/app");
        assert_eq!(url.as_str(), "https://a/t?x=1&service=s+%26+t&scope=repository%3Ateam%2Fapp%3Apull");
    }

    #[test]
    fn tokens_are_taken_under_either_name_and_do_not_print() {
        let check =
            |answer: &str| authorization(answer.as_bytes()).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(check(r#"{"token":"t","expires_in":60}"#).as_deref(), Some("Bearer t"));
        assert_eq!(check(r#"{"access_token":"a"}"#).as_deref(), Some("Bearer a"));
        for answer in ["", "[]", "{}", r#"{"token":""}"#, r#"{"token":1}"#, "{\"token\":\"a\\nb\"}", "<html>"]
        {
            assert_eq!(check(answer), None, "{answer}");
        }
        assert_eq!(format!("{:?}", authorization(br#"{"token":"secret"}"#)), "Some(Sensitive)");
    }
}
