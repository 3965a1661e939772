//! The token dance, and who may see a token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use protocol::secrets::RegistryLogin;

use crate::fixture::{TempDir, TestImage, client, resolve_as, resolve_at};
use crate::server::{Asked, Server, challenge, redirect, typed};

const TOKEN: &str = "Bearer secret-token";

fn token_page() -> Response {
    typed("application/json", r#"{"token":"secret-token","expires_in":300}"#)
}

/// Wants a token from `realm` for everything.
fn guarded(realm: String) -> impl Fn(&Asked) -> Option<Response> {
    move |asked| (asked.authorization.as_deref() != Some(TOKEN)).then(|| challenge(&realm))
}

#[tokio::test]
async fn anonymous_token_opens_a_public_repository() {
    let image = TestImage::small();
    let realm = Server::start(|_| Some(token_page())).await;
    let server = Server::serving(&image, guarded(format!("http://{}/token?x=1", realm.authority()))).await;
    let client = client(&[&server.authority(), &realm.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let temp = TempDir::new();
    assert!(temp.fetch(&client, &pinned).await.is_ok());

    let token_requests = realm.asked();
    assert_eq!(token_requests.len(), 2, "one for resolving, one for fetching");
    for asked in token_requests {
        assert_eq!(asked.path, "/token?x=1&service=test&scope=repository%3Aapp%3Apull");
        assert_eq!(asked.authorization, None);
    }
    let refused = server.asked().iter().filter(|asked| asked.authorization.is_none()).count();
    assert_eq!(refused, 2, "the token is used for every further request");
}

#[tokio::test]
async fn token_that_runs_out_is_renewed() {
    let image = TestImage::small();
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let realm = Server::start(move |_| {
        let number = counter.fetch_add(1, Ordering::SeqCst) + 1;
        Some(typed("application/json", format!(r#"{{"access_token":"t{number}"}}"#)))
    });
    let realm = realm.await;
    let realm_url = format!("http://{}/", realm.authority());
    // Manifests take the first token, blobs only the second.
    let server = Server::serving(&image, move |asked| {
        let good = if asked.path.contains("/blobs/") { "Bearer t2" } else { "Bearer t1" };
        (asked.authorization.as_deref() != Some(good)).then(|| challenge(&realm_url))
    });
    let server = server.await;
    let client = client(&[&server.authority(), &realm.authority()]);
    assert!(resolve_at(&client, &format!("{}/app:1", server.authority())).await.is_ok());
    assert_eq!(issued.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn token_does_not_follow_a_redirect_to_another_host() {
    let image = TestImage::small();
    let realm = Server::start(|_| Some(token_page())).await;
    let store = Server::serving(&image, |_| None).await;
    let elsewhere = store.authority();
    let wants_token = guarded(format!("http://{}/", realm.authority()));
    let server = Server::serving(&image, move |asked| {
        wants_token(asked).or_else(|| {
            let manifest = asked.path.ends_with("/manifests/1");
            // First a redirect within the registry, then one to the store.
            if manifest {
                return Some(redirect("/v2/app/manifests/moved"));
            }
            Some(redirect(&format!("http://{elsewhere}{}", asked.path.replace("moved", "1"))))
        })
    });
    let server = server.await;
    let client = client(&[&server.authority(), &realm.authority(), &store.authority()]);
    resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let within = server.asked().into_iter().find(|asked| asked.path.ends_with("/moved")).unwrap();
    assert_eq!(within.authorization.as_deref(), Some(TOKEN));
    assert_eq!(store.asked().len(), 2);
    assert!(store.asked().iter().all(|asked| asked.authorization.is_none()), "{:?}", store.asked());
}

#[tokio::test]
async fn store_cannot_ask_for_a_token() {
    let image = TestImage::small();
    let realm = Server::start(|_| Some(token_page())).await;
    let store = Server::serving(&image, guarded(format!("http://{}/", realm.authority()))).await;
    let elsewhere = format!("http://{}/v2/app/manifests/1", store.authority());
    let server = Server::serving(&image, move |_| Some(redirect(&elsewhere))).await;
    let client = client(&[&server.authority(), &realm.authority(), &store.authority()]);
    let error = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap_err();
    assert_eq!(error.code(), "image_unauthorized");
    assert_eq!(realm.asked(), []);
}

#[tokio::test]
async fn refusals_and_bad_realms_have_codes() {
    let image = TestImage::small();
    let realm = Server::start(|asked| match asked.path.split('?').next() {
        Some("/ok") => Some(token_page()),
        Some("/forbidden") => Some(StatusCode::FORBIDDEN.into_response()),
        Some("/broken") => Some(StatusCode::BAD_GATEWAY.into_response()),
        Some("/html") => Some(typed("text/html", "<html>")),
        Some("/empty") => Some(typed("application/json", r#"{"token":""}"#)),
        Some("/endless") => Some(typed("application/json", crate::server::endless(b"{"))),
        Some("/inward") => Some(redirect("http://10.0.0.1/token")),
        _ => None,
    });
    let realm = realm.await;
    let unlisted = Server::start(|_| Some(token_page())).await;
    let at = |path: &str| format!("http://{}/{path}", realm.authority());
    for (realm_url, code) in [
        (at("ok"), "image_unauthorized"), // The registry below refuses that token too.
        (at("forbidden"), "image_unauthorized"),
        (at("broken"), "registry_unreachable"),
        (at("missing"), "registry_unreachable"),
        (at("html"), "registry_unreachable"),
        (at("empty"), "registry_unreachable"),
        (at("endless"), "registry_unreachable"),
        (at("inward"), "address_refused"),
        ("http://10.0.0.1/token".to_owned(), "address_refused"),
        ("https://10.0.0.1/token".to_owned(), "address_refused"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "address_refused"),
        ("https://[::ffff:169.254.169.254]/".to_owned(), "address_refused"),
        ("https://0x0a.1/".to_owned(), "address_refused"),
        (format!("http://{}/", unlisted.authority()), "registry_unreachable"),
        (format!("ftp://{}/", realm.authority()), "registry_unreachable"),
        (format!("http://user:pass@{}/ok", realm.authority()), "registry_unreachable"),
        ("not a url".to_owned(), "image_unauthorized"),
    ] {
        let url = realm_url.clone();
        let server = Server::serving(&image, move |_| Some(challenge(&url))).await;
        let client = client(&[&server.authority(), &realm.authority()]);
        let error =
            resolve_at(&client, &format!("{}/app:1", server.authority())).await.expect_err(&realm_url);
        assert_eq!(error.code(), code, "{realm_url}: {error}");
        assert!(server.asked().len() <= 2, "{realm_url}");
    }
    assert_eq!(unlisted.asked(), []);
}

/// The account in the clear text that `Authorization: Basic` stands for.
const ACCOUNT: &str = "Basic bWU6aHVudGVyMg==";

fn login(host: String, realm: Option<String>) -> RegistryLogin {
    RegistryLogin { host, username: "me".into(), password: "hunter2".into(), realm }
}

#[tokio::test]
async fn account_opens_a_private_repository() {
    let image = TestImage::small();
    let server = Server::serving(&image, |asked| {
        (asked.authorization.as_deref() != Some(ACCOUNT)).then(|| {
            let mut refused = StatusCode::UNAUTHORIZED.into_response();
            refused.headers_mut().insert("www-authenticate", "Basic realm=\"private\"".parse().unwrap());
            refused
        })
    });
    let server = server.await;
    let client = client(&[&server.authority()]);
    let name = format!("{}/app:1", server.authority());
    let refused = resolve_at(&client, &name).await.map(drop).unwrap_err();
    assert_eq!(refused.code(), "image_unauthorized");
    let pinned = resolve_as(&client, &name, login(server.authority(), None)).await.unwrap();
    let temp = TempDir::new();
    assert!(temp.fetch(&client, &pinned).await.is_ok(), "the layers are asked for with the account, too");
    assert!(!format!("{pinned:?}").contains("hunter2"));
}

#[tokio::test]
async fn account_is_told_to_a_realm_that_was_named_and_to_no_other() {
    let image = TestImage::small();
    for (is_named, expected) in [(true, Some(ACCOUNT)), (false, None)] {
        let realm = Server::start(|_| Some(token_page())).await;
        let server = Server::serving(&image, guarded(format!("http://{}/token", realm.authority()))).await;
        let client = client(&[&server.authority(), &realm.authority()]);
        let named = is_named.then(|| realm.authority());
        let name = format!("{}/app:1", server.authority());
        resolve_as(&client, &name, login(server.authority(), named)).await.unwrap();
        let told: Vec<_> = realm.asked().into_iter().map(|asked| asked.authorization).collect();
        assert_eq!(told, [expected.map(ToOwned::to_owned)], "named: {is_named}");
        assert!(server.asked().iter().all(|asked| asked.authorization.as_deref() != Some(ACCOUNT)));
    }
}

/// Wants an account for everything.
fn private(asked: &Asked) -> Option<Response> {
    (asked.authorization.as_deref() != Some(ACCOUNT)).then(|| {
        let mut refused = StatusCode::UNAUTHORIZED.into_response();
        refused.headers_mut().insert("www-authenticate", "Basic realm=\"private\"".parse().unwrap());
        refused
    })
}

#[tokio::test]
async fn account_at_one_registry_is_shown_to_no_other() {
    let image = TestImage::small();
    let (home, evil) = (Server::serving(&image, private).await, Server::serving(&image, private).await);
    let client = client(&[&home.authority(), &evil.authority()]);
    let mine = || login(home.authority(), None);
    resolve_as(&client, &format!("{}/app:1", home.authority()), mine()).await.unwrap();
    let refused = resolve_as(&client, &format!("{}/app:1", evil.authority()), mine()).await;
    assert_eq!(refused.map(drop).unwrap_err().code(), "image_unauthorized");
    assert!(evil.asked().iter().all(|asked| asked.authorization.is_none()), "{:?}", evil.asked());
    // Nor where the registry itself sends us.
    let to = format!("http://{}", evil.authority());
    let sends =
        Server::start(move |asked| private(asked).or_else(|| Some(redirect(&format!("{to}{}", asked.path)))));
    let sends = sends.await;
    let both = crate::fixture::client(&[&sends.authority(), &evil.authority()]);
    let moved =
        resolve_as(&both, &format!("{}/app:1", sends.authority()), login(sends.authority(), None)).await;
    assert_eq!(moved.map(drop).unwrap_err().code(), "image_unauthorized");
    assert!(sends.asked().iter().any(|asked| asked.authorization.as_deref() == Some(ACCOUNT)));
    assert!(evil.asked().iter().all(|asked| asked.authorization.is_none()), "{:?}", evil.asked());
}
