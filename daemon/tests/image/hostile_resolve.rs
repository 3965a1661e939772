//! Registries that lie about manifests and configurations.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use enclaved::image::Digest;
use guard::{AddressGuard, Lookup, LookupFuture};
use serde_json::{Value, json};

use crate::fixture::{OCI_INDEX, OCI_MANIFEST, TestImage, client, client_with_guard, descriptor, resolve_at};
use crate::server::{Asked, Server, chunked, endless, redirect, typed, with_header};

/// Resolves `app:1` at a registry that serves `image` except where it lies; it must fail.
async fn check(
    image: &TestImage,
    code: &str,
    lie: impl Fn(&Asked) -> Option<Response> + Send + Sync + 'static,
) -> Vec<Asked> {
    let server = Server::serving(image, lie).await;
    let client = client(&[&server.authority()]);
    let error = resolve_at(&client, &format!("{}/app:1", server.authority())).await.expect_err(code);
    assert_eq!(error.code(), code, "{error}");
    server.asked()
}

/// Answers the manifest of the tag.
fn manifest_page(answer: impl Fn() -> Response) -> impl Fn(&Asked) -> Option<Response> {
    move |asked| asked.path.ends_with("/manifests/1").then(&answer)
}

fn blob_page(answer: impl Fn() -> Response) -> impl Fn(&Asked) -> Option<Response> {
    move |asked| asked.path.contains("/blobs/").then(&answer)
}

#[tokio::test]
async fn statuses_have_codes() {
    let image = TestImage::small();
    for (status, code) in [
        (404, "image_not_found"),
        (401, "image_unauthorized"),
        (403, "image_unauthorized"),
        (400, "registry_unreachable"),
        (429, "registry_unreachable"),
        (500, "registry_unreachable"),
        (204, "registry_unreachable"),
        (206, "registry_unreachable"),
        (304, "registry_unreachable"),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        check(&image, code, manifest_page(move || status.into_response())).await;
        check(&image, code, blob_page(move || status.into_response())).await;
    }
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_refused() {
    let image = TestImage::small();
    let name = HeaderName::from_static("docker-content-digest");
    for (stated, code) in
        [(Digest::of(b"other").to_string(), "digest_mismatch"), ("junk".to_owned(), "registry_unreachable")]
    {
        let (name, bytes) = (name.clone(), image.manifest.clone());
        check(&image, code, manifest_page(move || with_header(name.clone(), &stated, bytes.clone()))).await;
    }
    let mut other = image.config.clone();
    other[0] = b' ';
    for bytes in [other, image.config[1..].to_vec(), [&image.config[..], b" "].concat()] {
        let whole = bytes.clone();
        check(&image, "digest_mismatch", blob_page(move || typed("x/y", whole.clone()))).await;
        check(&image, "digest_mismatch", blob_page(move || typed("x/y", chunked(&bytes)))).await;
    }
    check(&image, "digest_mismatch", blob_page(|| typed("x/y", endless(b"{")))).await;

    // A digest in the reference, and one in an index.
    let other = TestImage::new(&[]).manifest;
    let (digest, lie) = (image.digest(), other.clone());
    let server = Server::serving(&image, move |asked| {
        asked.path.ends_with(&digest.to_string()).then(|| typed(OCI_MANIFEST, lie.clone()))
    });
    let server = server.await;
    let client = client(&[&server.authority()]);
    let error = resolve_at(&client, &format!("{}/app@{digest}", server.authority())).await.unwrap_err();
    assert_eq!(error.code(), "digest_mismatch");
    let index = image.index_for("amd64");
    check(&image, "digest_mismatch", move |asked| {
        if asked.path.ends_with("/1") {
            return Some(typed(OCI_INDEX, index.clone()));
        }
        asked.path.contains("/manifests/").then(|| typed(OCI_MANIFEST, other.clone()))
    })
    .await;
}

#[tokio::test]
async fn manifests_are_bounded() {
    let image = TestImage::small();
    let large = vec![b' '; 10_000_000];
    let (whole, parts) = (large.clone(), large);
    check(&image, "image_too_large", manifest_page(move || typed(OCI_MANIFEST, whole.clone()))).await;
    check(&image, "image_too_large", manifest_page(move || typed(OCI_MANIFEST, chunked(&parts)))).await;
    check(&image, "image_too_large", manifest_page(|| typed(OCI_MANIFEST, endless(b"{")))).await;
}

#[tokio::test]
async fn documents_that_make_no_sense_are_refused() {
    let image = TestImage::small();
    let mut wrong_size: Value = serde_json::from_slice(&image.index_for("amd64")).unwrap();
    wrong_size["manifests"][0]["size"] = 7.into();
    let mut huge = wrong_size.clone();
    huge["manifests"][0]["size"] = (5 << 20).into();
    let mut nested = wrong_size.clone();
    nested["manifests"][0] = descriptor(OCI_INDEX, &image.index_for("amd64"));
    nested["manifests"][0]["platform"] = json!({"os": "linux", "architecture": "amd64"});
    for (media_type, page, code) in [
        (OCI_MANIFEST, b"<html>".to_vec(), "image_malformed"),
        (OCI_MANIFEST, b"{}".to_vec(), "image_malformed"),
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            b"{\"schemaVersion\":1}".to_vec(),
            "image_unsupported",
        ),
        (OCI_INDEX, image.manifest.clone(), "image_malformed"),
        (OCI_INDEX, image.index_for("arm64"), "image_platform"),
        (OCI_INDEX, wrong_size.to_string().into_bytes(), "image_malformed"),
        (OCI_INDEX, huge.to_string().into_bytes(), "image_too_large"),
    ] {
        check(&image, code, manifest_page(move || typed(media_type, page.clone()))).await;
    }
    let inner = image.index_for("amd64");
    check(&image, "image_unsupported", move |asked| {
        let page = if asked.path.ends_with("/1") { nested.to_string().into_bytes() } else { inner.clone() };
        asked.path.contains("/manifests/").then(|| typed(OCI_INDEX, page))
    })
    .await;
    // A configuration that is intact, but of another machine.
    let mut foreign = TestImage::small();
    foreign.config = String::from_utf8(foreign.config).unwrap().replace("amd64", "arm64").into_bytes();
    let mut manifest: Value = serde_json::from_slice(&foreign.manifest).unwrap();
    manifest["config"]["digest"] = Digest::of(&foreign.config).to_string().into();
    foreign.manifest = manifest.to_string().into_bytes();
    check(&foreign, "image_platform", |_| None).await;
}

#[tokio::test]
async fn redirects_pass_the_guard() {
    let image = TestImage::small();
    let other = Server::serving(&image, |_| None).await;
    for (target, code) in [
        ("http://169.254.169.254/latest/meta-data", "address_refused"),
        ("https://169.254.169.254/", "address_refused"),
        ("https://10.0.0.1/", "address_refused"),
        ("https://192.168.1.1:5000/", "address_refused"),
        ("https://[::1]/", "address_refused"),
        ("https://[fd00:ec2::254]/", "address_refused"),
        ("https://[::ffff:10.0.0.1]/", "address_refused"),
        ("https://[64:ff9b::10.0.0.1]/", "address_refused"),
        ("https://0xa9fea9fe/", "address_refused"),
        ("https://2852039166/", "address_refused"),
        ("https://0251.0376.0251.0376/", "address_refused"),
        ("//10.0.0.1/", "address_refused"),
        ("file:///etc/passwd", "registry_unreachable"),
        ("ftp://127.0.0.1/", "registry_unreachable"),
        ("https://", "registry_unreachable"),
        ("", "registry_unreachable"),
        (&format!("http://{}/v2/app/manifests/1", other.authority()), "registry_unreachable"),
    ] {
        let target = target.to_owned();
        check(&image, code, manifest_page(move || redirect(&target))).await;
    }
    assert_eq!(other.asked(), [], "a host that may not be spoken to without TLS");
}

#[tokio::test]
async fn redirects_end() {
    let image = TestImage::small();
    let asked = check(&image, "registry_unreachable", |asked| Some(redirect(&asked.path))).await;
    assert_eq!(asked.len(), 6);
    let steps = AtomicUsize::new(0);
    let asked = check(&image, "registry_unreachable", move |_| {
        Some(redirect(&format!("/v2/app/manifests/{}", steps.fetch_add(1, Ordering::SeqCst) + 2)))
    });
    assert_eq!(asked.await.len(), 6);
}

#[tokio::test]
async fn registries_that_cannot_be_spoken_to_are_unreachable() {
    let server = Server::start(|_| None).await;
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    // Without TLS, where TLS is expected.
    let strict = client(&[]);
    let error = resolve_at(&strict, &format!("{}/app:1", server.authority())).await.unwrap_err();
    assert_eq!(error.code(), "registry_unreachable");
    assert_eq!(server.asked(), []);
    let error = resolve_at(&client(&[&closed]), &format!("{closed}/app:1")).await.unwrap_err();
    assert_eq!(error.code(), "registry_unreachable");
}

#[tokio::test]
async fn registry_at_a_private_address_is_refused() {
    let server = Server::start(|_| None).await;
    let public = client_with_guard(AddressGuard::public_only(), &[&server.authority()]);
    for registry in [
        &server.authority(),
        "10.0.0.1",
        "[::1]:5000",
        "169.254.169.254:80",
        "127.1:80",
        "0x7f.1",
        "2130706433:5000",
    ] {
        let error = resolve_at(&public, &format!("{registry}/app:1")).await.expect_err(registry);
        assert_eq!(error.code(), "address_refused", "{registry}: {error}");
    }
    assert_eq!(server.asked(), []);
}

/// Knows every name, by one address.
#[derive(Debug)]
struct Everybody(Result<IpAddr, ()>, Arc<AtomicUsize>);

impl Lookup for Everybody {
    fn lookup(&self, _name: &str) -> LookupFuture {
        self.1.fetch_add(1, Ordering::SeqCst);
        let answer = self.0.map(|address| vec![address]);
        Box::pin(async move { answer.map_err(|()| io::Error::new(io::ErrorKind::NotFound, "no such name")) })
    }
}

#[tokio::test]
async fn names_are_judged_by_what_they_resolve_to() {
    let image = TestImage::small();
    let server = Server::serving(&image, |_| None).await;
    let registry = format!("registry.example:{}", server.authority().rsplit(':').next().unwrap());
    for (answer, code) in [
        (Ok("127.0.0.1"), None),
        (Ok("10.0.0.1"), Some("address_refused")),
        (Ok("::ffff:169.254.169.254"), Some("address_refused")),
        (Err(()), Some("registry_unreachable")),
    ] {
        let lookups = Arc::new(AtomicUsize::new(0));
        let everybody = Everybody(answer.map(|it| it.parse().unwrap()), Arc::clone(&lookups));
        let guard = AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]);
        let client = client_with_guard(guard.with_lookup(Arc::new(everybody)), &[&registry]);
        let outcome = resolve_at(&client, &format!("{registry}/app:1")).await;
        assert_eq!(outcome.as_ref().err().map(|error| error.code()), code, "{answer:?}");
        assert_eq!(lookups.load(Ordering::SeqCst), 1, "{answer:?}");
        if let Err(error) = outcome {
            assert!(error.to_string().contains("registry.example"), "{error}");
        }
    }
}
