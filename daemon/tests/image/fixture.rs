//! Images made here, byte by byte, and a client that may speak to this machine.

use protocol::secrets::RegistryLogin;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use enclaved::image::{
    Digest, FetchError, ImageArchive, ImageLimits, PinnedImage, Platform, Reference, RegistryClient,
    RegistrySettings, ResolveError, fetch, resolve,
};
use flate2::write::GzEncoder;
use guard::AddressGuard;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::{Value, json};
use tar::{Builder, Header};

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The unpacked size that tests allow.
pub(crate) const ROOM: u64 = 10_000_000;

/// How a layer travels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

impl Packing {
    pub(crate) fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Plain => bytes.to_vec(),
            Self::Gzip => gzip(bytes),
            Self::Zstd => compress_to_vec(bytes, CompressionLevel::Fastest),
        }
    }

    fn media_type(self) -> String {
        match self {
            Self::Plain => OCI_LAYER.to_owned(),
            Self::Gzip => format!("{OCI_LAYER}+gzip"),
            Self::Zstd => format!("{OCI_LAYER}+zstd"),
        }
    }
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A tar stream of regular files.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// An image in pieces, each of which a test may replace.
#[derive(Clone, Debug)]
pub(crate) struct TestImage {
    pub(crate) config: Vec<u8>,
    pub(crate) manifest: Vec<u8>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl TestImage {
    /// An image of the given tar streams.
    pub(crate) fn new(layers: &[(Packing, Vec<u8>)]) -> Self {
        let packed = layers.iter().map(|(packing, tar)| (*packing, packing.pack(tar), Digest::of(tar)));
        Self::of_packed(&packed.collect::<Vec<_>>())
    }

    /// An image of layers that travel as given and claim to unpack to the given digest.
    pub(crate) fn of_packed(layers: &[(Packing, Vec<u8>, Digest)]) -> Self {
        let diff_ids: Vec<_> = layers.iter().map(|(_, _, diff_id)| diff_id.to_string()).collect();
        let config = json!({
            "os": "linux", "architecture": "amd64",
            "config": {"Entrypoint": ["/app"], "Labels": {"test": "yes"}},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = config.to_string().into_bytes();
        let descriptors: Vec<_> =
            layers.iter().map(|(packing, bytes, _)| descriptor(&packing.media_type(), bytes)).collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": descriptor(OCI_CONFIG, &config), "layers": descriptors,
        });
        let layers = layers.iter().map(|(_, bytes, _)| bytes.clone()).collect();
        Self { config, manifest: manifest.to_string().into_bytes(), layers }
    }

    /// One small layer.
    pub(crate) fn small() -> Self {
        Self::new(&[(Packing::Gzip, tar_of(&[("app", b"#!/bin/true\n")]))])
    }

    /// An index that names this image for `architecture`.
    pub(crate) fn index_for(&self, architecture: &str) -> Vec<u8> {
        let mut entry = descriptor(OCI_MANIFEST, &self.manifest);
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
        json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).to_string().into_bytes()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// What an honest registry answers: path below `/v2/app/` to type and bytes.
    pub(crate) fn pages(&self) -> BTreeMap<String, (&'static str, Vec<u8>)> {
        let blob = |bytes: &Vec<u8>| {
            (format!("blobs/{}", Digest::of(bytes)), ("application/octet-stream", bytes.clone()))
        };
        let manifest = (OCI_MANIFEST, self.manifest.clone());
        let mut pages: BTreeMap<_, _> = self.layers.iter().map(blob).collect();
        pages.extend([blob(&self.config)]);
        pages.insert("manifests/1".to_owned(), manifest.clone());
        pages.insert(format!("manifests/{}", self.digest()), manifest);
        pages
    }
}

/// A client that may speak to 127.0.0.0/8, without TLS to the given hosts.
pub(crate) fn client(plain_http: &[&str]) -> RegistryClient {
    client_with_guard(AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap()]), plain_http)
}

pub(crate) fn client_with_guard(guard: AddressGuard, plain_http: &[&str]) -> RegistryClient {
    let plain_http = plain_http.iter().map(|host| (*host).to_owned()).collect();
    RegistryClient::new(RegistrySettings { plain_http, ..RegistrySettings::new(guard) }).unwrap()
}

pub(crate) fn limits() -> ImageLimits {
    ImageLimits::for_unpacked_bytes(ROOM)
}

pub(crate) async fn resolve_at(
    client: &RegistryClient,
    reference: &str,
) -> Result<PinnedImage, ResolveError> {
    let reference: Reference = reference.parse().unwrap();
    resolve(client, &reference, &Platform::default(), &limits()).await
}

/// The same with an account at the registry.
pub(crate) async fn resolve_as(
    client: &RegistryClient,
    reference: &str,
    login: RegistryLogin,
) -> Result<PinnedImage, ResolveError> {
    let reference = reference.parse::<Reference>().unwrap().with_login(Some(login));
    resolve(client, &reference, &Platform::default(), &limits()).await
}

/// A directory for archives, and the means to see that nothing is left in it.
#[derive(Debug)]
pub(crate) struct TempDir(tempfile::TempDir);

impl TempDir {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn fetch(
        &self,
        client: &RegistryClient,
        image: &PinnedImage,
    ) -> Result<ImageArchive, FetchError> {
        fetch(client, image, &limits(), self.0.path()).await
    }

    /// Files in the directory, with a name or without, that this process holds or that lie there.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let dir = self.0.path();
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let open = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        let mut files: Vec<_> = open.filter(|path| path.starts_with(dir) && path != dir).collect();
        files.extend(std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
        files
    }
}
