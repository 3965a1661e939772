use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use backup::{Progress, RestoreError, SnapshotError, SnapshotStats, Source};
use proptest::prelude::*;
use protocol::parent::backup::Head;

use crate::store::MemoryStore;
use crate::{MIB, NOW, ROOM, back_up, contents, engine, noise};

#[tokio::test]
async fn snapshot_is_restored_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let mut expected = noise(1, 3 * MIB + 17);
    expected.resize(10 * MIB, 0);
    expected.extend(noise(2, MIB));
    std::fs::write(&image, &expected).unwrap();
    let mut store = MemoryStore::default();
    let mut first = engine(1);
    let sources = vec![
        Source::file("volumes/c1/data", &image).unwrap(),
        Source::bytes("notes", b"small".to_vec()).unwrap(),
        Source::bytes("empty", Vec::new()).unwrap(),
    ];
    let head = back_up(&mut first, &mut store, sources).await;
    assert_eq!((head.generation, first.head(), store.confirmed.clone()), (1, Some(head), vec![head]));
    let into = dir.path().join("restored");
    let mut seen: Vec<Progress> = Vec::new();
    let mut second = engine(1);
    let restored = second.restore(&mut store, head, &into, ROOM, |p| seen.push(p)).await.unwrap();
    let all = vec![
        ("empty".to_owned(), Vec::new()),
        ("notes".to_owned(), b"small".to_vec()),
        ("volumes/c1/data".to_owned(), expected),
    ];
    assert_eq!(contents(&into), all);
    assert_eq!((restored.created, restored.bytes, restored.sources.len()), (NOW, 11 * MIB as u64 + 5, 3));
    assert_eq!(second.head(), Some(head));
    let last = seen.last().unwrap();
    assert_eq!((last.objects, last.bytes), (last.objects_total, last.bytes_total));
    assert_eq!(last.objects, 6);
    let metadata = std::fs::metadata(into.join("volumes/c1/data")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert!(metadata.blocks() * 512 < 7 * MIB as u64, "zeros became holes");
    assert_eq!(std::fs::metadata(&into).unwrap().permissions().mode() & 0o777, 0o700);
    // Nothing aside is left.
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn unchanged_chunks_and_holes_are_not_sent() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let file = File::create(&image).unwrap();
    file.set_len(64 * MIB as u64).unwrap();
    file.write_all_at(&noise(1, 8 * MIB), 0).unwrap();
    // Twice the same, and zeros that are no hole.
    file.write_all_at(&noise(1, MIB), 20 * MIB as u64).unwrap();
    file.write_all_at(&[0; 2 * MIB], 30 * MIB as u64).unwrap();
    let sources = || vec![Source::file("v", &image).unwrap()];
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let first = engine.snapshot(&mut store, sources(), NOW).await.unwrap();
    let SnapshotStats { plain_bytes, chunks, sent_objects, .. } = first.stats();
    // Two threads may meet the twins at the same moment, and then both are sent.
    assert!((9..=10).contains(&sent_objects), "{sent_objects}");
    assert_eq!((plain_bytes, chunks), (64 * MIB as u64, 9));
    engine.acknowledge(&mut store, first).await.unwrap();
    let same = engine.snapshot(&mut store, sources(), NOW).await.unwrap();
    assert_eq!((same.stats().sent_objects, same.head().generation), (1, 2));
    engine.acknowledge(&mut store, same).await.unwrap();
    // A run of 1 MiB across a border.
    file.write_all_at(&noise(9, MIB), MIB as u64 + 4096).unwrap();
    let changed = engine.snapshot(&mut store, sources(), NOW).await.unwrap();
    assert_eq!(changed.stats().sent_objects, 3);
    let head = changed.head();
    engine.acknowledge(&mut store, changed).await.unwrap();
    let into = dir.path().join("r");
    engine.restore(&mut store, head, &into, ROOM, |_| {}).await.unwrap();
    assert!(std::fs::read(&image).unwrap() == std::fs::read(into.join("v")).unwrap());
}

/// Whoever may write into one volume learns nothing of another: a guess that is right is sent like any other.
#[tokio::test]
async fn equal_chunks_of_two_sources_are_two_objects() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let secret = || Source::bytes("volumes/victim", noise(1, MIB)).unwrap();
    let guess = |name: &str, seed| Source::bytes(name, noise(seed, MIB)).unwrap();
    let first = engine.snapshot(&mut store, vec![secret()], NOW).await.unwrap();
    engine.acknowledge(&mut store, first).await.unwrap();
    for (name, seed) in [("volumes/wrong", 2), ("volumes/right", 1)] {
        let sources = vec![secret(), guess(name, seed)];
        let next = engine.snapshot(&mut store, sources, NOW).await.unwrap();
        // The guess and the manifest; what did not change is not sent again.
        assert_eq!((next.stats().sent_objects, next.stats().chunks), (2, 2), "{name}");
    }
    // At once, too: the sources of one snapshot share nothing.
    let both = vec![secret(), guess("volumes/right", 1)];
    let head = back_up(&mut crate::engine(1), &mut store, both).await;
    let (_, objects) = store.committed.last().unwrap();
    assert_eq!(objects.len(), 3);
    let dir = tempfile::tempdir().unwrap();
    crate::engine(1).restore(&mut store, head, &dir.path().join("r"), ROOM, |_| {}).await.unwrap();
    assert!(contents(&dir.path().join("r")).iter().all(|(_, content)| *content == noise(1, MIB)));
}

#[tokio::test]
async fn snapshot_that_no_restore_would_take_is_refused() {
    let (mut store, dir) = (MemoryStore::default(), tempfile::tempdir().unwrap());
    let image = dir.path().join("image");
    File::create(&image).unwrap().set_len(8 * MIB as u64).unwrap();
    let sources = || vec![Source::file("v", &image).unwrap(), Source::bytes("a", vec![1]).unwrap()];
    let bytes = 8 * MIB as u64 + 1;
    // Holes count: a restore makes files of their size.
    let error = engine(1).limited(bytes - 1).snapshot(&mut store, sources(), NOW).await.unwrap_err();
    assert!(matches!(error, SnapshotError::AboveBound { bytes: b, max } if (b, max) == (bytes, bytes - 1)));
    assert_eq!((error.code(), store.objects.len(), store.committed.len()), ("snapshot_too_large", 0, 0));
    let mut engine = engine(1).limited(bytes);
    let head = back_up(&mut engine, &mut store, sources()).await;
    engine.restore(&mut store, head, &dir.path().join("r"), bytes, |_| {}).await.unwrap();
}

#[tokio::test]
async fn snapshot_that_nobody_acknowledged_is_not_built_upon() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let sources = || vec![Source::bytes("a", noise(1, MIB)).unwrap()];
    let lost = engine.snapshot(&mut store, sources(), NOW).await.unwrap();
    let again = engine.snapshot(&mut store, sources(), NOW).await.unwrap();
    assert_eq!((lost.head().generation, again.head().generation), (1, 1));
    assert_ne!(lost.head().manifest, again.head().manifest);
    assert_eq!(again.stats().sent_objects, 2);
    engine.acknowledge(&mut store, again).await.unwrap();
}

#[tokio::test]
async fn daemon_that_restarts_over_its_disk_sends_only_what_changed() {
    let mut store = MemoryStore::default();
    let sources = || vec![Source::bytes("a", noise(1, 5 * MIB)).unwrap()];
    let head = back_up(&mut engine(1), &mut store, sources()).await;
    let mut restarted = engine(1);
    restarted.adopt(&mut store, head).await.unwrap();
    assert_eq!(restarted.head(), Some(head));
    let next = restarted.snapshot(&mut store, sources(), NOW).await.unwrap();
    assert_eq!((next.head().generation, next.stats().sent_objects), (2, 1));
}

#[tokio::test]
async fn objects_that_the_parent_lost_are_sent_again() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let sources = || vec![Source::bytes("a", noise(1, 3 * MIB)).unwrap()];
    back_up(&mut engine, &mut store, sources()).await;
    store.objects.clear();
    let head = back_up(&mut engine, &mut store, sources()).await;
    let dir = tempfile::tempdir().unwrap();
    engine.restore(&mut store, head, &dir.path().join("r"), ROOM, |_| {}).await.unwrap();
}

#[tokio::test]
async fn refusal_of_the_store_ends_the_snapshot_and_the_last_one_stays() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let old = noise(1, 2 * MIB);
    let head = back_up(&mut engine, &mut store, vec![Source::bytes("a", old.clone()).unwrap()]).await;
    store.full_after = Some(3);
    let new = vec![Source::bytes("a", noise(2, 20 * MIB)).unwrap()];
    let error = engine.snapshot(&mut store, new, NOW).await.unwrap_err();
    assert_eq!((error.code(), store.committed.len(), engine.head()), ("no_space", 1, Some(head)));
    let dir = tempfile::tempdir().unwrap();
    engine.restore(&mut store, head, &dir.path().join("r"), ROOM, |_| {}).await.unwrap();
    assert_eq!(contents(&dir.path().join("r")), vec![("a".to_owned(), old)]);
}

#[tokio::test]
async fn sources_that_cannot_be_read_end_the_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = MemoryStore::default();
    for path in [dir.path().join("none"), dir.path().to_owned()] {
        let sources = vec![Source::file("a", path).unwrap()];
        let error = engine(1).snapshot(&mut store, sources, NOW).await.unwrap_err();
        assert!(matches!(error, SnapshotError::Read(..)), "{error}");
    }
    let twice = vec![Source::bytes("a", vec![1]).unwrap(), Source::bytes("a", vec![2]).unwrap()];
    let error = engine(1).snapshot(&mut store, twice, NOW).await.unwrap_err();
    assert_eq!((error.code(), store.objects.len()), ("snapshot_names", 0));
}

#[tokio::test]
async fn nothing_is_overwritten_and_no_more_is_restored_than_fits() {
    let (mut engine, mut store) = (engine(1), MemoryStore::default());
    let head: Head = back_up(&mut engine, &mut store, vec![Source::bytes("a", vec![1; 100]).unwrap()]).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "mine").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    for there in ["file", "folder", "link"] {
        let done = engine.restore(&mut store, head, &dir.path().join(there), ROOM, |_| {}).await;
        assert!(matches!(done, Err(RestoreError::TargetExists(_))), "{there}");
    }
    let done = engine.restore(&mut store, head, &dir.path().join("r"), 99, |_| {}).await;
    assert!(matches!(done, Err(RestoreError::TooLarge { bytes: 100, max: 99 })));
    let done = engine.restore(&mut store, head, &dir.path().join("no/such/r"), 100, |_| {}).await;
    assert_eq!(done.unwrap_err().code(), "restore_write_failed");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"mine");
}

fn any_content() -> impl Strategy<Value = Vec<u8>> {
    let piece = (0u64..6, 0usize..MIB + 5).prop_map(|(seed, bytes)| match seed {
        0 => vec![0; bytes * 2],
        1 => vec![7; bytes],
        seed => noise(seed, bytes),
    });
    proptest::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_backed_up_comes_back(generations in proptest::collection::vec(proptest::collection::vec(any_content(), 1..4), 1..4)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(async {
            let (mut engine, mut store) = (engine(1), MemoryStore::default());
            let dir = tempfile::tempdir().unwrap();
            let mut heads = Vec::new();
            for files in &generations {
                let sources = files.iter().enumerate();
                let sources = sources.map(|(i, content)| Source::bytes(format!("f/{i}"), content.clone()).unwrap());
                heads.push(back_up(&mut engine, &mut store, sources.collect()).await);
            }
            for (head, files) in heads.iter().zip(&generations) {
                let into = dir.path().join(head.generation.to_string());
                crate::engine(1).restore(&mut store, *head, &into, ROOM, |_| {}).await.unwrap();
                let expected: Vec<_> = files.iter().enumerate().map(|(i, c)| (format!("f/{i}"), c.clone())).collect();
                assert!(contents(&into) == expected);
            }
        });
    }
}

#[tokio::test]
async fn snapshot_after_one_that_the_store_lost_is_the_next_and_whole() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    std::fs::write(&image, noise(1, 3 * MIB)).unwrap();
    let sources = || vec![Source::file("v", &image).unwrap()];
    let (mut first, mut lost) = (engine(1), MemoryStore::default());
    let head = back_up(&mut first, &mut lost, sources()).await;
    let (mut second, mut store) = (engine(1), MemoryStore::default());
    assert!(second.adopt(&mut store, head).await.is_err());
    second.follow(head);
    assert_eq!(second.head(), Some(head));
    let next = second.snapshot(&mut store, sources(), NOW).await.unwrap();
    assert_eq!((next.head().generation, next.stats().sent_objects), (head.generation + 1, 4));
    let head = next.head();
    second.acknowledge(&mut store, next).await.unwrap();
    let into = dir.path().join("r");
    engine(1).restore(&mut store, head, &into, ROOM, |_| {}).await.unwrap();
    assert!(std::fs::read(&image).unwrap() == std::fs::read(into.join("v")).unwrap());
}
