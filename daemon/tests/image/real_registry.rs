//! Debian's `docker-registry`, filled by `skopeo`: formats and answers that are not our own idea.

use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use enclaved::image::{Digest, RegistryClient, RegistrySettings};
use guard::AddressGuard;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};

use crate::fixture::{OCI_INDEX, Packing, TempDir, TestImage, client, resolve_at, tar_of};
use crate::honest::contents;

const REGISTRY: &str = "/usr/bin/docker-registry";
const SKOPEO: &str = "/usr/bin/skopeo";
const NOBODY: u32 = 65_534;

/// What these tests need is there: `scripts/install` brings it, and a machine without it fails here.
fn check_tools() {
    for program in [REGISTRY, SKOPEO] {
        assert!(Path::new(program).exists(), "{program} is missing: run scripts/install");
    }
}

/// A registry process; it ends with this value.
struct Registry {
    process: Child,
    authority: String,
    dir: tempfile::TempDir,
}

impl Registry {
    async fn start(tls: Option<&rcgen::CertifiedKey<rcgen::KeyPair>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The port is free now; should somebody else take it first, the process ends and we try again.
        for _ in 0..5 {
            let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let mut http = json!({"addr": free.to_string()});
            if let Some(identity) = tls {
                let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
                fs::write(&certificate, identity.cert.pem()).unwrap();
                fs::write(&key, identity.signing_key.serialize_pem()).unwrap();
                http["tls"] = json!({"certificate": certificate, "key": key});
            }
            // YAML takes JSON.
            let config = json!({
                "version": "0.1", "http": http, "log": {"level": "error", "accesslog": {"disabled": true}},
                "storage": {"filesystem": {"rootdirectory": dir.path().join("storage")}},
            });
            let config_path = dir.path().join("config.yml");
            fs::write(&config_path, config.to_string()).unwrap();
            let mut command = Command::new(REGISTRY);
            command.arg("serve").arg(&config_path).env("OTEL_TRACES_EXPORTER", "none");
            let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            if listens(&free.to_string(), &mut process).await {
                return Self { process, authority: free.to_string(), dir };
            }
            let _ = process.kill();
            process.wait().unwrap();
        }
        panic!("the registry does not start");
    }

    /// Copies an image into the registry.
    fn push(&self, options: &[&str], source: &str, name: &str) {
        let target = format!("docker://{}/{name}", self.authority);
        self.skopeo(&[&["copy", "--dest-tls-verify=false"], options, &[source, &target]].concat());
    }

    fn skopeo(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(SKOPEO);
        command.arg("--insecure-policy").args(arguments).env("HOME", self.dir.path());
        // As root it would keep a cache in a directory of the system.
        if chown(self.dir.path(), Some(NOBODY), Some(NOBODY)).is_ok() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn raw_manifest(&self, name: &str) -> Vec<u8> {
        self.skopeo(&[
            "inspect",
            "--tls-verify=false",
            "--raw",
            &format!("docker://{}/{name}", self.authority),
        ])
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn listens(address: &str, process: &mut Child) -> bool {
    let connecting = async {
        while tokio::net::TcpStream::connect(address).await.is_err() {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        true
    };
    tokio::time::timeout(Duration::from_secs(20), connecting).await.unwrap_or(false)
}

/// The image as `docker save` writes it.
fn docker_archive(dir: &Path, config: &[u8], tars: &[Vec<u8>]) -> String {
    let names: Vec<_> = (0..tars.len()).map(|number| format!("{number}.tar")).collect();
    let manifest = json!([{"Config": "config.json", "RepoTags": null, "Layers": names}]).to_string();
    let mut files = vec![("manifest.json", manifest.as_bytes()), ("config.json", config)];
    files.extend(names.iter().zip(tars).map(|(name, tar)| (name.as_str(), &tar[..])));
    let path = dir.join("image.tar");
    fs::write(&path, tar_of(&files)).unwrap();
    format!("docker-archive:{}", path.display())
}

/// The image as a directory of blobs, behind an index with another platform beside it.
fn oci_layout(dir: &Path, image: &TestImage, other: &TestImage) -> String {
    let blobs = dir.join("layout/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let store = |bytes: &[u8]| fs::write(blobs.join(Digest::of(bytes).hex()), bytes).unwrap();
    let mut entries = Vec::new();
    for (image, architecture) in [(other, "arm64"), (image, "amd64")] {
        image.layers.iter().chain([&image.config, &image.manifest]).for_each(|bytes| store(bytes));
        let index: Value = serde_json::from_slice(&image.index_for(architecture)).unwrap();
        entries.push(index["manifests"][0].clone());
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).to_string();
    store(index.as_bytes());
    let mut entry = crate::fixture::descriptor(OCI_INDEX, index.as_bytes());
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": "1"});
    let layout = dir.join("layout");
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    format!("oci:{}:1", layout.display())
}

fn tars() -> Vec<Vec<u8>> {
    let program: Vec<u8> = (0..100_000_u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
    vec![tar_of(&[("app", &program), ("etc/name", b"app\n")]), tar_of(&[("data/empty", b"")])]
}

/// Resolves and fetches; the layers must be those of `tars`, in an archive that skopeo reads too.
async fn check_pull(client: &RegistryClient, registry: &Registry, name: &str, expected: Digest) {
    let pinned = resolve_at(client, &format!("{}/{name}", registry.authority)).await.unwrap();
    assert_eq!(pinned.manifest_digest(), expected, "{name}");
    let temp = TempDir::new();
    let archive = temp.fetch(client, &pinned).await.unwrap();
    let config_digest = archive.config_digest();
    let files = contents(archive);
    for (number, tar) in tars().iter().enumerate() {
        assert!(files[&format!("layer-{}.tar", number + 1)] == *tar, "{name}, layer {number}");
    }
    // The same bytes as a file for another reader of the format.
    let archive = temp.fetch(client, &pinned).await.unwrap();
    let path = save(archive, registry.dir.path());
    let source = format!("docker-archive:{}", path.display());
    let config = registry.skopeo(&["inspect", "--raw", "--config", &source]);
    assert_eq!(Digest::of(&config), config_digest, "{name}");
    registry.skopeo(&["copy", &source, &format!("dir:{}", registry.dir.path().join("copied").display())]);
    fs::remove_file(path).unwrap();
}

fn save(mut archive: enclaved::image::ImageArchive, dir: &Path) -> PathBuf {
    let path = dir.join("fetched.tar");
    let mut file = fs::File::create(&path).unwrap();
    std::io::copy(&mut archive, &mut file).unwrap();
    file.flush().unwrap();
    path
}

#[tokio::test]
async fn images_of_all_formats_are_pulled() {
    check_tools();
    let registry = Registry::start(None).await;
    let client = client(&[&registry.authority]);
    let layers: Vec<_> = tars().into_iter().map(|tar| (Packing::Gzip, tar)).collect();
    let image = TestImage::new(&layers);
    let other = TestImage::new(&[(Packing::Plain, tar_of(&[("arm", b"x")]))]);
    let dir = registry.dir.path();

    let source = docker_archive(dir, &image.config, &tars());
    registry.push(&["--format", "v2s2"], &source, "team/docker:1");
    registry.push(&["--format", "oci"], &source, "team/oci:1");
    for name in ["team/docker:1", "team/oci:1"] {
        check_pull(&client, &registry, name, Digest::of(&registry.raw_manifest(name))).await;
    }
    let docker = resolve_at(&client, &format!("{}/team/docker:1", registry.authority)).await.unwrap();
    assert_eq!(docker.config_digest(), Digest::of(&image.config));

    for (packing, name) in [(Packing::Zstd, "team/zstd:1"), (Packing::Gzip, "team/index:1")] {
        let layers: Vec<_> = tars().into_iter().map(|tar| (packing, tar)).collect();
        let image = TestImage::new(&layers);
        let source = oci_layout(dir, &image, &other);
        registry.push(&["--all", "--preserve-digests"], &source, name);
        assert!(String::from_utf8_lossy(&registry.raw_manifest(name)).contains("arm64"));
        check_pull(&client, &registry, name, image.digest()).await;
    }

    for (name, code) in [
        ("team/none:1", "image_not_found"),
        ("team/docker:2", "image_not_found"),
        (&format!("team/docker@{}", Digest::of(b"x")), "image_not_found"),
    ] {
        let error = resolve_at(&client, &format!("{}/{name}", registry.authority)).await.expect_err(name);
        assert_eq!(error.code(), code, "{name}: {error}");
    }
}

#[tokio::test]
async fn certificate_of_the_registry_must_be_vouched_for() {
    check_tools();
    let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let registry = Registry::start(Some(&identity)).await;
    let layers: Vec<_> = tars().into_iter().map(|tar| (Packing::Gzip, tar)).collect();
    let image = TestImage::new(&layers);
    registry.push(
        &["--format", "oci"],
        &docker_archive(registry.dir.path(), &image.config, &tars()),
        "app:1",
    );
    let expected = Digest::of(&registry.raw_manifest("app:1"));

    let error = resolve_at(&client(&[]), &format!("{}/app:1", registry.authority)).await.unwrap_err();
    assert_eq!(error.code(), "registry_unreachable");

    let guard = AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.cert.der().to_vec())).unwrap();
    let trusting = RegistryClient::new(RegistrySettings { roots, ..RegistrySettings::new(guard) }).unwrap();
    check_pull(&trusting, &registry, "app:1", expected).await;
}
