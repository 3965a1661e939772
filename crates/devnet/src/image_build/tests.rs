use std::fs;
use std::io::Read;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;

fn spec() -> ImageSpec {
    ImageSpec {
        env: vec!["A=1".to_owned()],
        labels: BTreeMap::from([("k".to_owned(), "v".to_owned())]),
        user: "1000:1000".to_owned(),
        exposed_ports: vec!["80/tcp".to_owned()],
        workdir: "/srv".to_owned(),
        ..ImageSpec::default()
    }
    .file("/srv/b", Content::Bytes(b"b".to_vec()), 0o640)
    .file("/srv/a/x", Content::Bytes(b"x".to_vec()), 0o755)
    .file("/link", Content::Symlink("srv/b".into()), 0o777)
    .entrypoint(&["/srv/a/x"])
    .cmd(&["go"])
}

fn blob(layout: &OciLayout, digest: &Value) -> Vec<u8> {
    let digest = digest.as_str().unwrap();
    let bytes = fs::read(layout.blob(digest)).unwrap();
    assert_eq!(format!("sha256:{}", hex::encode(Sha256::digest(&bytes))), digest);
    bytes
}

fn json_blob(layout: &OciLayout, digest: &Value) -> Value {
    serde_json::from_slice(&blob(layout, digest)).unwrap()
}

fn unpacked_layer(layout: &OciLayout, manifest: &Value) -> Vec<u8> {
    let layer = &manifest["layers"][0];
    let packed = blob(layout, &layer["digest"]);
    assert_eq!(layer["size"], packed.len());
    let mut archive = Vec::new();
    GzDecoder::new(packed.as_slice()).read_to_end(&mut archive).unwrap();
    archive
}

#[test]
fn image_has_sorted_entries_and_config() {
    let dir = TempDir::new().unwrap();
    let layout = spec().write_layout(dir.path()).unwrap();
    let manifest = json_blob(&layout, &json!(layout.digest()));
    let archive = unpacked_layer(&layout, &manifest);
    let config = json_blob(&layout, &manifest["config"]["digest"]);

    let mut entries = tar::Archive::new(archive.as_slice());
    let entries = entries.entries().unwrap().map(Result::unwrap).map(|entry| {
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        assert_eq!(owner, (0, 0, 0));
        (entry.path().unwrap().display().to_string(), header.mode().unwrap())
    });
    let expected =
        [("link", 0o777), ("srv/", 0o755), ("srv/a/", 0o755), ("srv/a/x", 0o755), ("srv/b", 0o640)];
    assert_eq!(entries.collect::<Vec<_>>(), expected.map(|(path, mode)| (path.to_owned(), mode)));

    let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(&archive)));
    assert_eq!(config["rootfs"]["diff_ids"], json!([diff_id]));
    assert_eq!(
        config["config"],
        json!({
            "Entrypoint": ["/srv/a/x"], "Cmd": ["go"], "Env": ["A=1"], "Labels": {"k": "v"},
            "User": "1000:1000", "ExposedPorts": {"80/tcp": {}}, "WorkingDir": "/srv",
        })
    );
}

#[test]
fn image_is_the_same_each_time_whatever_the_order() {
    let (one, two) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let mut reversed = spec();
    reversed.files.reverse();
    let first = spec().write_layout(one.path()).unwrap();
    let second = reversed.write_layout(two.path()).unwrap();
    assert_eq!(first.digest(), second.digest());
}

#[test]
fn image_that_unpacks_to_a_hundred_times_its_size() {
    let dir = TempDir::new().unwrap();
    let bomb = ImageSpec::default().file("/zeros", Content::Zeros { bytes: 50_000_000 }, 0o644);
    let layout = bomb.write_layout(dir.path()).unwrap();
    let manifest = json_blob(&layout, &json!(layout.digest()));
    let packed = manifest["layers"][0]["size"].as_u64().unwrap();
    let unpacked = unpacked_layer(&layout, &manifest).len() as u64;
    assert!(unpacked > 50_000_000 && unpacked / packed >= 100, "{unpacked} / {packed}");
}

#[test]
fn image_of_noise_does_not_pack() {
    let dir = TempDir::new().unwrap();
    let huge = ImageSpec::default().file("/noise", Content::Noise { bytes: 3_000_000 }, 0o644);
    let layout = huge.write_layout(dir.path()).unwrap();
    let manifest = json_blob(&layout, &json!(layout.digest()));
    assert!(manifest["layers"][0]["size"].as_u64().unwrap() >= 3_000_000);
}

#[test]
fn index_names_an_image_for_each_platform() {
    let dir = TempDir::new().unwrap();
    let images = [spec(), spec().platform(Platform::linux("arm64"))];
    let layout = write_index_layout(&images, dir.path()).unwrap();
    let index = json_blob(&layout, &json!(layout.digest()));
    let architectures: Vec<Value> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|descriptor| {
            let manifest = json_blob(&layout, &descriptor["digest"]);
            let config = json_blob(&layout, &manifest["config"]["digest"]);
            assert_eq!(descriptor["platform"]["architecture"], config["architecture"]);
            config["architecture"].clone()
        })
        .collect();
    assert_eq!(architectures, [json!("amd64"), json!("arm64")]);
}

#[test]
fn image_path_that_leads_out_is_refused() {
    for path in ["", "/", "../x", "/a/../../x", "/a/./../x"] {
        let dir = TempDir::new().unwrap();
        let result =
            ImageSpec::default().file(path, Content::Bytes(Vec::new()), 0o644).write_layout(dir.path());
        assert!(result.is_err(), "{path:?}");
    }
}
