//! Registries that lie about layers.

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use enclaved::image::{Digest, FetchError, ImageLimits, fetch};

use crate::fixture::{Packing, TempDir, TestImage, client, gzip, limits, resolve_at, tar_of};
use crate::server::{Asked, Server, chunked, endless, stalled, typed};

/// Fetches `image` from a registry that answers for its layer as told; gives the failure.
pub(crate) async fn failure(
    image: &TestImage,
    answer: impl Fn() -> Response + Send + Sync + 'static,
) -> FetchError {
    let layer = format!("blobs/{}", Digest::of(&image.layers[0]));
    let server =
        Server::serving(image, move |asked: &Asked| asked.path.ends_with(&layer).then(&answer)).await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let temp = TempDir::new();
    let error = temp.fetch(&client, &pinned).await.unwrap_err();
    assert_eq!(temp.files(), Vec::<std::path::PathBuf>::new());
    error
}

async fn check(image: &TestImage, code: &str, answer: impl Fn() -> Response + Send + Sync + 'static) {
    let error = failure(image, answer).await;
    assert_eq!(error.code(), code, "{error}");
}

/// Fetches an image whose registry is honest.
async fn check_image(image: &TestImage, code: &str) -> FetchError {
    let bytes = image.layers[0].clone();
    let error = failure(image, move || typed("application/octet-stream", bytes.clone())).await;
    assert_eq!(error.code(), code, "{error}");
    error
}

#[tokio::test]
async fn bytes_that_are_not_those_of_the_digest_are_refused() {
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let image = TestImage::new(&[(packing, tar_of(&[("app", &[7; 5_000])]))]);
        let layer = &image.layers[0];
        let mut flipped = layer.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let junk = vec![b'x'; layer.len()];
        let other = packing.pack(&tar_of(&[("app", &[8; 5_000])]));
        let longer = [&layer[..], b"x"].concat();
        let shorter = layer[..layer.len() - 1].to_vec();
        for lie in [flipped, junk, other, longer, shorter, Vec::new()] {
            let whole = lie.clone();
            check(&image, "digest_mismatch", move || typed("x/y", whole.clone())).await;
            check(&image, "digest_mismatch", move || typed("x/y", chunked(&lie))).await;
        }
        let start = layer.clone();
        check(&image, "digest_mismatch", move || typed("x/y", endless(&start))).await;
    }
}

#[tokio::test]
async fn statuses_have_codes() {
    let image = TestImage::small();
    for (status, code) in [
        (StatusCode::NOT_FOUND, "image_not_found"),
        (StatusCode::FORBIDDEN, "image_unauthorized"),
        (StatusCode::BAD_GATEWAY, "registry_unreachable"),
    ] {
        check(&image, code, move || status.into_response()).await;
    }
    // The connection breaks before the promised length is there.
    let (start, length) = (image.layers[0][..20].to_vec(), image.layers[0].len());
    check(&image, "registry_unreachable", move || {
        let mut response = typed("x/y", chunked(&start));
        response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        response
    })
    .await;
}

#[tokio::test]
async fn layers_that_are_not_what_they_claim_are_refused() {
    let tar = tar_of(&[("app", b"x")]);
    let diff_id = Digest::of(&tar);
    for (packing, packed, diff_id, code) in [
        (Packing::Gzip, gzip(&tar), Digest::of(b"other"), "digest_mismatch"),
        (Packing::Gzip, tar.clone(), diff_id, "image_malformed"),
        (Packing::Plain, gzip(&tar), Digest::of(&gzip(&tar)), "image_malformed"),
        (Packing::Zstd, gzip(&tar), diff_id, "image_malformed"),
        (Packing::Gzip, [&gzip(&tar)[..], b"junk"].concat(), diff_id, "image_malformed"),
        (Packing::Gzip, gzip(&tar)[..60].to_vec(), diff_id, "image_malformed"),
        (Packing::Plain, b"no tar".to_vec(), Digest::of(b"no tar"), "image_malformed"),
        (Packing::Plain, tar[..600].to_vec(), Digest::of(&tar[..600]), "image_malformed"),
    ] {
        let image = TestImage::of_packed(&[(packing, packed, diff_id)]);
        let error = check_image(&image, code).await;
        assert!(error.to_string().starts_with("layer 1 of the image"), "{error}");
    }
}

#[tokio::test]
async fn second_layer_is_named_when_it_fails() {
    let tar = tar_of(&[("app", b"x")]);
    let good = (Packing::Gzip, gzip(&tar), Digest::of(&tar));
    let image = TestImage::of_packed(&[good, (Packing::Gzip, gzip(b"x"), Digest::of(b"x"))]);
    let error = check_image(&image, "image_malformed").await;
    assert!(error.to_string().starts_with("layer 2 of the image"), "{error}");
}

#[tokio::test]
async fn limits_of_the_fetch_count_not_those_of_the_quote() {
    let image = TestImage::small();
    let server = Server::serving(&image, |_| None).await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let before = server.asked().len();
    let temp = tempfile::tempdir().unwrap();
    for (limits, code) in [
        (ImageLimits { compressed_bytes: 10, ..limits() }, "image_too_large"),
        (ImageLimits { unpacked_bytes: 1_000, ..limits() }, "image_unpacks_too_large"),
        (ImageLimits { entries: 0, ..limits() }, "image_unpacks_too_large"),
    ] {
        let error = fetch(&client, &pinned, &limits, temp.path()).await.unwrap_err();
        assert_eq!(error.code(), code, "{limits:?}");
    }
    assert_eq!(server.asked().len(), before + 2, "what is declared too large is not asked for");
}

#[tokio::test]
async fn directory_that_is_missing_is_the_servers_fault() {
    let image = TestImage::small();
    let server = Server::serving(&image, |_| None).await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let error = fetch(&client, &pinned, &limits(), std::path::Path::new("/nonexistent")).await.unwrap_err();
    assert_eq!(error.code(), "internal");
    assert!(!error.to_string().contains("nonexistent"), "{error}");
}

#[tokio::test]
async fn dropped_fetch_leaves_nothing() {
    let image = TestImage::new(&[(Packing::Plain, tar_of(&[("app", &[7; 5_000])]))]);
    let start = image.layers[0][..2_000].to_vec();
    let layer = format!("blobs/{}", Digest::of(&image.layers[0]));
    let server = Server::serving(&image, move |asked: &Asked| {
        asked.path.ends_with(&layer).then(|| typed("x/y", stalled(&start)))
    });
    let server = server.await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let temp = TempDir::new();
    {
        let fetching = temp.fetch(&client, &pinned);
        tokio::pin!(fetching);
        let written = until(|| temp.files().len() == 1 && server.asked().len() > 2);
        tokio::select! {
            outcome = &mut fetching => panic!("a stalled fetch ended: {outcome:?}"),
            () = written => {}
        }
    }
    until(|| temp.files().is_empty()).await;
}

/// Waits for something that happens on another thread.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it did not happen in time");
}
