use serde_json::{Value, json};

use super::*;

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn digest(of: &str) -> String {
    Digest::of(of.as_bytes()).to_string()
}

fn descriptor(media_type: &str, of: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest(of), "size": size})
}

fn manifest() -> Value {
    json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "annotations": {"a": "b"},
        "config": descriptor(OCI_CONFIG, "config", 300),
        "layers": [descriptor(GZIP, "one", 1_000), descriptor(GZIP, "two", 500)],
    })
}

fn index(platforms: &[Value]) -> Value {
    let manifests: Vec<_> = platforms
        .iter()
        .enumerate()
        .map(|(number, platform)| {
            let mut entry = descriptor(OCI_MANIFEST, &number.to_string(), 400);
            entry["platform"] = platform.clone();
            entry
        })
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
}

fn limits() -> ImageLimits {
    ImageLimits::for_unpacked_bytes(1_500)
}

fn parse(
    document: &Value,
    content_type: Option<&str>,
    described_as: Option<&str>,
) -> Result<Document, ResolveError> {
    Document::parse(document.to_string().as_bytes(), content_type, described_as, &limits())
}

/// Parses the valid manifest with one change.
fn code_after(change: impl FnOnce(&mut Value)) -> Result<(), &'static str> {
    let mut document = manifest();
    change(&mut document);
    parse(&document, None, None).map(|_| ()).map_err(|error| error.code())
}

#[test]
fn manifest_is_read() {
    let Document::Manifest(found) = parse(&manifest(), None, None).unwrap() else { panic!("an index") };
    assert_eq!(found.config, Blob { digest: Digest::of(b"config"), size_bytes: 300 });
    assert_eq!(found.compressed_bytes, 1_500);
    let blob = Blob { digest: Digest::of(b"two"), size_bytes: 500 };
    assert_eq!(found.layers[1], Layer { blob, compression: Compression::Gzip });
}

#[test]
fn type_may_come_from_three_places_that_agree() {
    let untyped = |mut document: Value| {
        document.as_object_mut().unwrap().remove("mediaType");
        document
    };
    let json = Some("application/json");
    for (document, content_type, described_as, expected) in [
        (manifest(), None, None, Ok(())),
        (manifest(), Some(OCI_MANIFEST), Some(OCI_MANIFEST), Ok(())),
        (manifest(), json, None, Ok(())),
        (untyped(manifest()), Some(OCI_MANIFEST), None, Ok(())),
        (untyped(manifest()), None, Some(OCI_MANIFEST), Ok(())),
        (untyped(manifest()), Some(DOCKER_MANIFEST), None, Ok(())),
        (untyped(manifest()), None, None, Err("image_malformed")),
        (untyped(manifest()), json, None, Err("image_malformed")),
        (manifest(), Some(DOCKER_MANIFEST), None, Err("image_malformed")),
        (manifest(), Some(OCI_INDEX), None, Err("image_malformed")),
        (manifest(), None, Some(OCI_INDEX), Err("image_malformed")),
        (manifest(), None, Some("application/x"), Err("image_unsupported")),
        (index(&[]), Some(OCI_MANIFEST), None, Err("image_malformed")),
    ] {
        let outcome = parse(&document, content_type, described_as).map(|_| ()).map_err(|error| error.code());
        assert_eq!(outcome, expected, "{content_type:?} {described_as:?} {document}");
    }
}

#[test]
fn document_is_either_index_or_manifest() {
    assert_eq!(code_after(|it| it["manifests"] = json!([])), Err("image_malformed"));
    for field in ["layers", "config"] {
        let mut both = index(&[]);
        both[field] = manifest()[field].clone();
        assert_eq!(parse(&both, None, None).unwrap_err().code(), "image_malformed");
        assert_eq!(code_after(|it| it[field] = Value::Null), Err("image_malformed"));
    }
    assert_eq!(code_after(|it| it["mediaType"] = OCI_INDEX.into()), Err("image_malformed"));
}

#[test]
fn schema_1_and_other_things_are_unsupported() {
    let schema_1 = json!({"schemaVersion": 1, "name": "a", "fsLayers": [], "history": [], "signatures": []});
    assert_eq!(parse(&schema_1, None, None).unwrap_err().code(), "image_unsupported");
    assert_eq!(code_after(|it| it["schemaVersion"] = 1.into()), Err("image_unsupported"));
    assert_eq!(code_after(|it| it["schemaVersion"] = 3.into()), Err("image_malformed"));
    assert_eq!(code_after(|it| it["mediaType"] = "application/x".into()), Err("image_unsupported"));
    let helm = "application/vnd.cncf.helm.config.v1+json";
    assert_eq!(code_after(|it| it["config"]["mediaType"] = helm.into()), Err("image_unsupported"));
    let broken = Document::parse(
        b"{",
        Some("application/vnd.docker.distribution.manifest.v1+prettyjws"),
        None,
        &limits(),
    );
    assert_eq!(broken.unwrap_err().code(), "image_unsupported");
}

#[test]
fn layer_types_are_those_the_engine_can_load() {
    for (media_type, expected) in [
        ("application/vnd.oci.image.layer.v1.tar", Ok(Compression::None)),
        (GZIP, Ok(Compression::Gzip)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", Ok(Compression::Zstd)),
        ("application/vnd.docker.image.rootfs.diff.tar", Ok(Compression::None)),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", Ok(Compression::Gzip)),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", Ok(Compression::Zstd)),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Err("image_unsupported")),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", Err("image_unsupported")),
        ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", Err("image_unsupported")),
        ("application/vnd.oci.image.layer.v1.tar+xz", Err("image_unsupported")),
        ("", Err("image_unsupported")),
    ] {
        assert_eq!(compression(media_type).map_err(|error| error.code()), expected, "{media_type}");
    }
}

#[test]
fn declared_sizes_are_limited() {
    assert_eq!(code_after(|it| it["layers"][1]["size"] = 501.into()), Err("image_too_large"));
    assert_eq!(code_after(|it| it["layers"][1]["size"] = u64::MAX.into()), Err("image_too_large"));
    assert_eq!(code_after(|it| it["config"]["size"] = (1 << 20).into()), Ok(()));
    assert_eq!(code_after(|it| it["config"]["size"] = ((1 << 20) + 1).into()), Err("image_too_large"));
    let layers = |count| json!(vec![descriptor(GZIP, "one", 1); count]);
    assert_eq!(code_after(|it| it["layers"] = layers(125)), Ok(()));
    assert_eq!(code_after(|it| it["layers"] = layers(126)), Err("image_too_large"));
    assert_eq!(code_after(|it| it["layers"] = layers(0)), Err("image_malformed"));
}

#[test]
fn wrong_descriptors_are_refused() {
    for size in [json!(-1), json!("1"), json!(1.5), Value::Null] {
        assert_eq!(code_after(|it| it["layers"][0]["size"] = size), Err("image_malformed"));
    }
    assert_eq!(code_after(|it| it["layers"][0]["digest"] = "sha256:00".into()), Err("image_malformed"));
    let sha512 = format!("sha512:{}", "0".repeat(128));
    assert_eq!(code_after(|it| it["layers"][0]["digest"] = sha512.into()), Err("image_unsupported"));
    let twice = manifest().to_string().replace("\"layers\":", "\"layers\":[],\"layers\":");
    let error = Document::parse(twice.as_bytes(), None, None, &limits()).unwrap_err();
    assert_eq!(error.code(), "image_malformed");
}

#[test]
fn platform_is_chosen() {
    let platform = |architecture: &str, variant: Option<&str>| json!({"os": "linux", "architecture": architecture, "variant": variant});
    let wanted = Platform::default();
    let v3 = Platform { variant: Some("v3".to_owned()), ..Platform::default() };
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    for (platforms, wanted, expected) in [
        (&[platform("arm64", Some("v8")), platform("amd64", None)][..], &wanted, Some(1)),
        (&[platform("amd64", Some("v3")), platform("amd64", Some(""))], &wanted, Some(1)),
        (&[platform("amd64", Some("v3")), platform("amd64", Some("v1"))], &wanted, Some(1)),
        (&[platform("amd64", None), platform("amd64", Some("v3"))], &v3, Some(1)),
        (&[platform("amd64", None), platform("amd64", None)], &wanted, Some(0)),
        (&[Value::Null, platform("arm64", None), unknown], &wanted, None),
        (&[platform("amd64", Some("v3"))], &wanted, None),
        (&[json!({"os": "windows", "architecture": "amd64"})], &wanted, None),
        (&[], &wanted, None),
    ] {
        let Document::Index(index) = parse(&index(platforms), None, None).unwrap() else {
            panic!("a manifest")
        };
        let chosen = index.choose(wanted).ok().map(|entry| entry.blob.digest);
        assert_eq!(
            chosen,
            expected.map(|number: usize| Digest::of(number.to_string().as_bytes())),
            "{platforms:?}"
        );
    }
}

#[test]
fn platforms_that_exist_are_listed() {
    let many: Vec<_> = (0..50).map(|n| json!({"os": "linux", "architecture": format!("x\n{n}")})).collect();
    let Document::Index(index) = parse(&index(&many), None, None).unwrap() else { panic!("a manifest") };
    let error = index.choose(&Platform::default()).unwrap_err();
    assert_eq!(error.code(), "image_platform");
    let sentence = error.to_string();
    assert!(sentence.contains("linux/x\\n7") && !sentence.contains("\\n8,"), "{sentence}");
    assert!(!sentence.contains('\n'));
}
