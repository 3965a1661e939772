//! A registry that does what it should.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use enclaved::image::{Digest, ImageArchive};
use serde_json::{Value, json};

use crate::fixture::{OCI_INDEX, Packing, TempDir, TestImage, client, resolve_at, tar_of};
use crate::server::{Server, redirect, typed};

/// What is in an archive, by name.
pub(crate) fn contents(archive: ImageArchive) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

#[tokio::test]
async fn image_of_all_packings_becomes_a_loadable_archive() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 1_001).to_le_bytes()).collect();
    let tars =
        [tar_of(&[("a", b"one")]), tar_of(&[("b/c", &long), ("d", b"")]), tar_of(&[("e", &long[..777])])];
    let image = TestImage::new(&[
        (Packing::Plain, tars[0].clone()),
        (Packing::Gzip, tars[1].clone()),
        (Packing::Zstd, tars[2].clone()),
    ]);
    let server = Server::serving(&image, |_| None).await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();

    assert_eq!(pinned.reference().to_string(), format!("{}/app@{}", server.authority(), image.digest()));
    assert_eq!(pinned.manifest_digest(), image.digest());
    assert_eq!(pinned.config_digest(), Digest::of(&image.config));
    assert_eq!(pinned.spec().entrypoint, ["/app"]);
    assert_eq!(pinned.spec().labels["test"], "yes");
    assert_eq!(pinned.compressed_bytes(), image.layers.iter().map(|layer| layer.len() as u64).sum::<u64>());

    let temp = TempDir::new();
    let archive = temp.fetch(&client, &pinned).await.unwrap();
    assert_eq!(archive.config_digest(), Digest::of(&image.config));
    let size_bytes = archive.size_bytes();
    assert_eq!(temp.files().len(), 1);
    let files = contents(archive);
    assert_eq!(temp.files().len(), 0, "the archive is gone with its last holder");

    let hex = Digest::of(&image.config).hex();
    assert_eq!(files[&format!("{hex}.json")], image.config);
    let layers = ["layer-1.tar", "layer-2.tar", "layer-3.tar"];
    for (name, tar) in layers.iter().zip(&tars) {
        assert!(files[*name] == *tar, "{name}");
    }
    let manifest: Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
    let expected = json!([{
        "Config": format!("{hex}.json"), "RepoTags": [format!("enclaved/{hex}:loaded")], "Layers": layers,
    }]);
    assert_eq!(manifest, expected);
    let unpacked: usize = tars.iter().map(Vec::len).sum();
    assert!(size_bytes < unpacked as u64 + 8_000, "{size_bytes}");
}

#[tokio::test]
async fn index_leads_to_the_manifest_of_the_platform() {
    let image = TestImage::small();
    let index = image.index_for("amd64");
    let digest = Digest::of(&index);
    let page = index.clone();
    let server = Server::serving(&image, move |asked| {
        let index_page = format!("/v2/app/manifests/{digest}");
        (asked.path == index_page || asked.path.ends_with("/many")).then(|| typed(OCI_INDEX, page.clone()))
    });
    let server = server.await;
    let client = client(&[&server.authority()]);
    for reference in ["app:many".to_owned(), format!("app:other@{digest}"), format!("app@{}", image.digest())]
    {
        let pinned = resolve_at(&client, &format!("{}/{reference}", server.authority())).await.unwrap();
        assert_eq!(pinned.manifest_digest(), image.digest(), "{reference}");
        assert_eq!(pinned.reference().digest(), Some(image.digest()));
    }
}

#[tokio::test]
async fn tag_that_moves_after_the_quote_changes_nothing() {
    let (old, new) = (TestImage::small(), TestImage::new(&[(Packing::Plain, tar_of(&[("other", b"x")]))]));
    let moved = Arc::new(AtomicBool::new(false));
    let (has_moved, new_page) = (Arc::clone(&moved), new.manifest.clone());
    let server = Server::serving(&old, move |asked| {
        let answers = has_moved.load(Ordering::SeqCst) && asked.path.ends_with("/manifests/1");
        answers.then(|| typed(crate::fixture::OCI_MANIFEST, new_page.clone()))
    });
    let server = server.await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    moved.store(true, Ordering::SeqCst);
    let temp = TempDir::new();
    let archive = temp.fetch(&client, &pinned).await.unwrap();
    assert_eq!(archive.config_digest(), Digest::of(&old.config));
    let again = resolve_at(&client, &pinned.reference().to_string()).await.unwrap();
    assert_eq!(again.manifest_digest(), old.digest());
}

#[tokio::test]
async fn blobs_may_lie_in_another_store() {
    let image = TestImage::small();
    let store = Server::serving(&image, |_| None).await;
    let elsewhere = store.authority();
    let server = Server::serving(&image, move |asked| {
        asked.path.contains("/blobs/").then(|| redirect(&format!("http://{elsewhere}{}", asked.path)))
    });
    let server = server.await;
    let client = client(&[&server.authority(), &store.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let temp = TempDir::new();
    assert!(temp.fetch(&client, &pinned).await.is_ok());
    assert_eq!(store.asked().len(), 2);
}
