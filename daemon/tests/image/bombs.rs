//! Layers that are small on the wire and large on disk.

use std::io::Write;
use std::time::Duration;

use enclaved::image::{Digest, FetchError, ImageLimits, fetch};
use flate2::write::GzEncoder;

use crate::fixture::{Packing, ROOM, TestImage, client, gzip, limits, resolve_at, tar_of};
use crate::hostile_fetch::failure;
use crate::server::{Server, stalled, typed};

async fn check(packing: Packing, packed: Vec<u8>) {
    let image = TestImage::of_packed(&[(packing, packed.clone(), Digest::of(b"whatever"))]);
    let error = failure(&image, move || typed("application/octet-stream", packed.clone())).await;
    assert!(matches!(error, FetchError::UnpacksTooLarge { limit_bytes: ROOM }), "{error:?}");
    assert_eq!(error.code(), "image_unpacks_too_large");
}

/// A tar header for a file of `size` bytes, with none of them.
fn header_of(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("app").unwrap();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// `start` and then so many zeros, packed by gzip a hundred times or more.
fn gzip_of_zeros(start: &[u8], zeros: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(start).unwrap();
    for _ in 0..zeros / 1_000_000 {
        encoder.write_all(&[0; 1_000_000]).unwrap();
    }
    encoder.finish().unwrap()
}

/// A zstd frame of run-length blocks: four bytes for each 128 KiB.
fn zstd_of_zeros(blocks: usize) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    let block_header = (128_u32 << 10) << 3 | 1 << 1;
    for _ in 0..blocks {
        frame.extend_from_slice(&block_header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[tokio::test]
async fn layer_that_unpacks_to_a_hundred_times_its_size_is_refused() {
    let packed = gzip_of_zeros(&header_of(50_000_000), 50_000_000);
    assert!(packed.len() * 100 < 50_000_000);
    check(Packing::Gzip, packed).await;
}

#[tokio::test]
async fn bomb_is_refused_before_the_registry_sent_all_of_it() {
    let packed = gzip_of_zeros(&header_of(50_000_000), 50_000_000);
    let image = TestImage::of_packed(&[(Packing::Gzip, packed.clone(), Digest::of(b"whatever"))]);
    let refusal = failure(&image, move || typed("application/octet-stream", stalled(&packed[..1_000])));
    let refusal = tokio::time::timeout(Duration::from_secs(10), refusal).await;
    assert_eq!(refusal.expect("it waits for a registry that stalls").code(), "image_unpacks_too_large");
}

#[tokio::test]
async fn zeros_after_the_end_of_the_archive_count() {
    check(Packing::Gzip, gzip_of_zeros(&tar_of(&[("app", b"x")]), 50_000_000)).await;
    check(Packing::Zstd, zstd_of_zeros(1_000)).await;
}

#[tokio::test]
async fn many_small_streams_in_one_layer_count_together() {
    let member = gzip_of_zeros(&[], 1_000_000);
    check(Packing::Gzip, member.repeat(60)).await;
    check(Packing::Zstd, Packing::Zstd.pack(&[0; 1_000_000]).repeat(60)).await;
}

#[tokio::test]
async fn layers_count_together() {
    let tar = tar_of(&[("app", &vec![0; 4_000_000])]);
    let layer = (Packing::Gzip, gzip(&tar), Digest::of(&tar));
    let image = TestImage::of_packed(&[layer.clone(), layer.clone(), layer]);
    let bytes = image.layers[0].clone();
    let error = failure(&image, move || typed("application/octet-stream", bytes.clone())).await;
    assert_eq!(error.code(), "image_unpacks_too_large");
}

#[tokio::test]
async fn hole_of_a_sparse_file_counts() {
    let record = b"35 GNU.sparse.realsize=10000000000\n".to_vec();
    let mut extension = header_of(record.len() as u64);
    extension[156] = b'x';
    let mut extension = tar::Header::from_byte_slice(&extension).clone();
    extension.set_cksum();
    let mut padded = record;
    padded.resize(512, 0);
    let tar = [extension.as_bytes().to_vec(), padded, header_of(0), vec![0; 1_024]].concat();
    check(Packing::Plain, tar).await;
}

#[tokio::test]
async fn too_many_files_are_refused() {
    let files = header_of(0).repeat(1_001);
    let image = TestImage::of_packed(&[(Packing::Gzip, gzip(&files), Digest::of(&files))]);
    let server = Server::serving(&image, |_| None).await;
    let client = client(&[&server.authority()]);
    let pinned = resolve_at(&client, &format!("{}/app:1", server.authority())).await.unwrap();
    let temp = tempfile::tempdir().unwrap();
    let fetch_with = async |entries| {
        let limits = ImageLimits { entries, ..limits() };
        fetch(&client, &pinned, &limits, temp.path()).await.map(|_| ())
    };
    let error = fetch_with(1_000).await.unwrap_err();
    assert!(matches!(error, FetchError::TooManyEntries { limit: 1_000 }), "{error:?}");
    assert_eq!(error.code(), "image_unpacks_too_large");
    fetch_with(1_001).await.unwrap();
}
