use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::secret::DiskSecret;

fn keys(byte: u8) -> Keys {
    Keys::derive(&DiskSecret::new(Zeroizing::new([byte; 32]))).unwrap()
}

fn name(text: &str) -> SourceName {
    SourceName::try_from(text.to_owned()).unwrap()
}

fn chunk(byte: u8) -> Chunk {
    Chunk { name: ChunkName([byte; 32]), object: ObjectId([byte; 32]), sealed_bytes: 100 }
}

fn manifest() -> Manifest {
    Manifest {
        owner: InstanceId([0xab; 16]),
        generation: 7,
        previous: Some(ObjectId([0xcd; 32])),
        created: UnixSecs(1_700_000_000),
        sources: vec![
            SourceEntry { name: name("db.sqlite"), bytes: 5, runs: vec![Run::Chunk(chunk(1))] },
            SourceEntry {
                name: name("volumes/a"),
                bytes: 4 * chunk_bytes() + 1,
                runs: vec![Run::Zeros(3), Run::Chunk(chunk(2)), Run::Zeros(1)],
            },
        ],
    }
}

/// Signs any JSON as the instance would.
fn signed(keys: &Keys, json: &str) -> Vec<u8> {
    let mut bytes = hmac::sign(keys.mac(), json.as_bytes()).as_ref().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes
}

#[test]
fn manifest_is_pinned() {
    let (one, two) = ("01".repeat(32), "02".repeat(32));
    let sources = format!(
        r#"[{{"bytes":5,"name":"db.sqlite","runs":[["{one}","{one}",100]]}},{{"bytes":4194305,"name":"volumes/a","runs":[3,["{two}","{two}",100],1]}}]"#
    );
    let expected = format!(
        r#"{{"chunk_bytes":1048576,"created":1700000000,"format":1,"generation":7,"owner":"{}","previous":"{}","sources":{sources}}}"#,
        "ab".repeat(16),
        "cd".repeat(32)
    );
    let bytes = manifest().encode(&keys(7)).unwrap();
    assert_eq!(String::from_utf8(bytes[MAC_BYTES..].to_vec()).unwrap(), expected);
    assert_eq!(Manifest::decode(&keys(7), &bytes).unwrap(), manifest());
    assert_eq!(manifest().bytes(), 4 * chunk_bytes() + 6);
}

#[test]
fn another_mac_is_refused_before_anything_is_parsed() {
    let bytes = manifest().encode(&keys(7)).unwrap();
    assert!(matches!(Manifest::decode(&keys(8), &bytes), Err(ManifestError::Mac)));
    for at in [0, 31, 32, bytes.len() - 1] {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(matches!(Manifest::decode(&keys(7), &flipped), Err(ManifestError::Mac)), "{at}");
        assert!(matches!(Manifest::decode(&keys(7), &bytes[..at]), Err(ManifestError::Mac)), "{at}");
    }
}

#[test]
fn signed_nonsense_is_refused() {
    #[track_caller]
    fn check(from: &str, to: &str, expected: fn(&ManifestError) -> bool) {
        let json = String::from_utf8(manifest().encode(&keys(7)).unwrap()[MAC_BYTES..].to_vec()).unwrap();
        assert!(json.contains(from), "{from}");
        let error = Manifest::decode(&keys(7), &signed(&keys(7), &json.replacen(from, to, 1))).unwrap_err();
        assert!(expected(&error), "{from} → {to}: {error:?}");
    }
    check("{", "", |e| matches!(e, ManifestError::Json(_)));
    check("\"format\":1", "\"format\":2,\"new\":1", |e| matches!(e, ManifestError::Format(2)));
    check("\"format\":1", "\"format\":1,\"new\":1", |e| matches!(e, ManifestError::Json(_)));
    check("1048576", "4096", |e| matches!(e, ManifestError::ChunkBytes(4096)));
    check("volumes/a", "../../etc/passwd", |e| matches!(e, ManifestError::Json(_)));
    check("volumes/a", "db.sqlite", |e| matches!(e, ManifestError::Names(NameError::Clash(..))));
    check("volumes/a", "db.sqlite/x", |e| matches!(e, ManifestError::Names(NameError::Clash(..))));
    check("[3,", "[2,", |e| matches!(e, ManifestError::Runs(_)));
    check("[3,", "[2,1,", |e| matches!(e, ManifestError::Runs(_)));
    check("[3,", "[3,0,", |e| matches!(e, ManifestError::Runs(_)));
    check("[3,", "[4294967295,", |e| matches!(e, ManifestError::Runs(_)));
    check("[3,", "[-3,", |e| matches!(e, ManifestError::Json(_)));
    check("\"bytes\":5", "\"bytes\":0", |e| matches!(e, ManifestError::Runs(_)));
    check("\"bytes\":5", "\"bytes\":1099511627777", |e| matches!(e, ManifestError::TooLarge { .. }));
    check(",100]", ",1064961]", |e| matches!(e, ManifestError::TooLarge { .. }));
    check(",100]", ",100,1]", |e| matches!(e, ManifestError::Json(_)));
    check("\"generation\":7", "\"generation\":7.5", |e| matches!(e, ManifestError::Json(_)));
}

#[test]
fn manifest_with_too_many_chunks_is_not_written() {
    let count = CHUNKS_MAX + 1;
    let bytes = u64::try_from(count).unwrap() * chunk_bytes();
    let runs = vec![Run::Chunk(chunk(1)); count];
    let sources = vec![SourceEntry { name: name("a"), bytes, runs }];
    let too_many = Manifest { sources, ..manifest() };
    assert!(matches!(too_many.encode(&keys(7)), Err(ManifestError::TooLarge { what: "chunks" })));
}

/// The largest manifest fits the bounds that the channel and the parent have.
#[test]
fn largest_manifest_fits_every_bound() {
    let mut counter: u32 = 0;
    let mut unlike = || {
        counter += 1;
        let digest = ObjectId::of(&counter.to_be_bytes());
        Run::Chunk(Chunk { name: ChunkName(digest.0), object: digest, sealed_bytes: CHUNK_SEALED_BYTES_MAX })
    };
    let runs: Vec<_> = (0..CHUNKS_MAX).map(|_| unlike()).collect();
    let bytes = u64::try_from(CHUNKS_MAX).unwrap() * chunk_bytes();
    let largest = Manifest { sources: vec![SourceEntry { name: name("a"), bytes, runs }], ..manifest() };
    let keys = keys(7);
    let plain = largest.encode(&keys).unwrap();
    let sealed =
        crate::seal::Sealer::new(&keys).unwrap().seal(&plain, crate::source::Packing::Compressed).unwrap();
    assert!(u32::try_from(sealed.len()).unwrap() <= protocol::parent::backup::OBJECT_BYTES_MAX);
    assert!(u32::try_from(CHUNKS_MAX).unwrap() < protocol::parent::backup::OBJECTS_MAX);
    assert_eq!(Manifest::decode(&keys, &plain).unwrap(), largest);
}

fn any_runs() -> impl Strategy<Value = (u64, Vec<Run>)> {
    let run = prop_oneof![
        (1u32..1000).prop_map(Run::Zeros),
        (any::<[u8; 32]>(), any::<[u8; 32]>(), 0..=CHUNK_SEALED_BYTES_MAX).prop_map(
            |(name, object, sealed_bytes)| {
                Run::Chunk(Chunk { name: ChunkName(name), object: ObjectId(object), sealed_bytes })
            }
        ),
    ];
    (proptest::collection::vec(run, 1..20), 0..chunk_bytes()).prop_map(|(mut runs, short)| {
        runs.dedup_by(|a, b| matches!((a, b), (Run::Zeros(_), Run::Zeros(_))));
        let chunks: u64 =
            runs.iter().map(|run| if let Run::Zeros(count) = run { u64::from(*count) } else { 1 }).sum();
        (chunks * chunk_bytes() - short, runs)
    })
}

proptest! {
    #[test]
    fn manifests_round_trip(
        files in proptest::collection::vec(any_runs(), 0..6),
        owner: [u8; 16], generation in 0..=protocol::canonical::INTEGER_MAX, previous: Option<[u8; 32]>,
    ) {
        let sources = (0..).zip(files).map(|(i, (bytes, runs))| SourceEntry { name: name(&format!("v/{i}")), bytes, runs });
        let manifest = Manifest {
            owner: InstanceId(owner),
            generation,
            previous: previous.map(ObjectId),
            created: UnixSecs(5),
            sources: sources.collect(),
        };
        let bytes = manifest.encode(&keys(1)).unwrap();
        prop_assert_eq!(Manifest::decode(&keys(1), &bytes).unwrap(), manifest);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,200}") {
        prop_assert!(Manifest::decode(&keys(1), &bytes).is_err());
        prop_assert!(Manifest::decode(&keys(1), &signed(&keys(1), &text)).is_err());
    }
}
