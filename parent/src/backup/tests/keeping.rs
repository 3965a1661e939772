//! What is kept, for how long, and over restarts.

use std::time::Duration;

use ::backup::Source;
use protocol::parent::BackupHint;
use protocol::parent::backup::{BackupStore, Head, ObjectId};

use super::{NOW, Store, engine, until};

fn content(seed: u8) -> Vec<u8> {
    (0..3_000_000u32).flat_map(|i| [seed, (i >> 12).to_le_bytes()[0]]).take(3_000_000).collect()
}

#[tokio::test]
async fn backup_survives_a_restart_of_the_parent() {
    let mut store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let none = store.backups.as_ref().unwrap().hint(engine.instance()).await.unwrap();
    assert_eq!(none, BackupHint { has_backup: false, generation: None });
    let head = store.back_up(&mut engine, &content(1)).await;
    store.stop().await;
    store.resume().await;
    assert_eq!(store.restored(1, head).await, Ok(content(1)));
    let hint = store.backups.as_ref().unwrap().hint(engine.instance()).await.unwrap();
    assert_eq!(hint, BackupHint { has_backup: true, generation: Some(1) });
    let next = store.back_up(&mut engine, &content(2)).await;
    let listed = store.client(&engine).await.list().await.unwrap();
    let told: Vec<_> = listed.iter().map(|one| (one.head, one.committed_at, one.confirmed)).collect();
    assert_eq!(told, [(head, NOW.0, true), (next, NOW.0, true)]);
}

#[tokio::test]
async fn old_generations_go_by_count_and_age_with_what_only_they_needed() {
    let store = Store::start(|config| {
        config.keep_count = 3;
        config.keep_days = 2;
    })
    .await;
    let mut engine = engine(1);
    let mut heads = Vec::new();
    for seed in 0..8 {
        heads.push(store.back_up(&mut engine, &content(seed + 1)).await);
        store.clock.advance(Duration::from_secs(12 * 3600));
    }
    // Two days are four generations; what is exactly two days old goes.
    assert_eq!(store.generations(&engine).len(), 4);
    // Each has a manifest, two full chunks and a short one.
    assert_eq!(store.objects(&engine).len(), 4 * 4);
    for (index, head) in heads.iter().enumerate() {
        let expected = u8::try_from(index).map(|seed| content(seed + 1)).unwrap();
        let found = store.restored(1, *head).await;
        // A restore confirms: the last is asked for last, and so nothing more goes meanwhile.
        if index < 4 { assert_eq!(found, Err("no_such_object")) } else { assert_eq!(found, Ok(expected)) }
    }
}

#[tokio::test]
async fn chunk_that_a_kept_generation_needs_stays() {
    let store = Store::start(|config| {
        config.keep_count = 2;
        config.keep_days = 0;
    })
    .await;
    let mut engine = engine(1);
    let mut last = None;
    for seed in 0..6 {
        store.clock.advance(Duration::from_secs(60));
        // The first two MiB never change.
        let mut all = content(1);
        all.truncate(2 << 20);
        all.extend([seed; 100]);
        last = Some((store.back_up(&mut engine, &all).await, all));
    }
    assert_eq!((store.generations(&engine).len(), store.objects(&engine).len()), (2, 6));
    let (head, all) = last.unwrap();
    assert_eq!(store.restored(1, head).await, Ok(all));
}

#[tokio::test]
async fn what_the_key_stores_have_not_taken_pushes_out_nothing_that_may_count() {
    let store = Store::start(|config| {
        config.keep_count = 2;
        config.keep_days = 0;
    })
    .await;
    let mut engine = engine(1);
    let head = store.back_up(&mut engine, &content(1)).await;
    let mut client = store.client(&engine).await;
    let sources = |seed| vec![Source::bytes("a", vec![seed; 10]).unwrap()];
    // The key stores have taken this one, and the parent did not hear of it.
    let untold = engine.snapshot(&mut client, sources(200), NOW).await.unwrap().head();
    engine.follow(untold);
    // Then they are not reached for days.
    for seed in 0..100 {
        store.clock.advance(Duration::from_secs(3600));
        drop(engine.snapshot(&mut client, sources(seed), NOW).await.unwrap());
    }
    let listed = client.list().await.unwrap();
    let heads: Vec<_> = listed.iter().map(|one| one.head).collect();
    assert_eq!((heads.len(), heads[0], heads[1]), (65, head, untold));
    // What was pushed out left nothing behind: two chunks and a short one, ten bytes each, and manifests.
    assert_eq!(store.objects(&engine).len(), 4 + 2 * 64);
    assert_eq!(store.restored(1, untold).await, Ok(vec![200; 10]));
    let newest = *heads.last().unwrap();
    assert_eq!(store.restored(1, newest).await, Ok(vec![99; 10]));
    assert_eq!(store.generations(&engine).len(), 2);
}

#[tokio::test]
async fn full_disk_takes_no_record_either() {
    let mut store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let head = store.back_up(&mut engine, &content(1)).await;
    let first = store.client(&engine).await.list().await.unwrap()[0].head;
    store.stop().await;
    store.config.min_free_bytes = u64::MAX;
    store.resume().await;
    let mut client = store.client(&engine).await;
    // Everything that it names is there: only the record would be written.
    for generation in 2..10 {
        let again = Head { generation, manifest: first.manifest };
        let error = client.commit(again, &[first.manifest]).await.unwrap_err();
        assert_eq!(error.code(), "no_space");
    }
    assert_eq!(store.generations(&engine).len(), 1);
    // What makes room is taken.
    client.confirm(head).await.unwrap();
}

#[tokio::test]
async fn enclave_that_confirms_everything_fills_nothing() {
    let store = Store::start(|config| config.keep_days = 365).await;
    let engine = engine(1);
    let mut client = store.client(&engine).await;
    let object = ObjectId::of(b"one");
    client.put(object, b"one").await.unwrap();
    let head = |generation| Head { generation, manifest: object };
    for generation in 1..=1_100 {
        client.commit(head(generation), &[object]).await.unwrap();
        client.confirm(head(generation)).await.unwrap();
    }
    assert_eq!(store.generations(&engine).len(), 1_024);
    let newest = client.list().await.unwrap().last().copied().unwrap();
    assert_eq!((newest.head, newest.confirmed), (head(1_100), true));
}

#[tokio::test]
async fn rotten_object_is_found_and_the_next_backup_heals_it() {
    let store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let first = store.back_up(&mut engine, &content(1)).await;
    let look = async || {
        for vault in store.backups.as_ref().unwrap().open_vaults().await {
            vault.check_some(u64::MAX).await;
        }
    };
    look().await;
    let objects = store.objects(&engine);
    let mut client = store.client(&engine).await;
    let ids: Vec<ObjectId> = objects.iter().map(|name| name.parse().unwrap()).collect();
    assert_eq!(client.lacking(&ids).await.unwrap(), []);
    // Nobody wrote there; the disk forgot.
    let rotten = *ids.iter().find(|id| **id != first.manifest).unwrap();
    let path = store.folder(&engine).join("objects").join(rotten.to_string());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let unhealed = store.back_up(&mut engine, &content(1)).await;
    assert_eq!(store.restored(1, unhealed).await, Err("backup_object_mismatch"));
    look().await;
    assert_eq!(client.lacking(&ids).await.unwrap(), [rotten]);
    let healed = store.back_up(&mut engine, &content(1)).await;
    assert_eq!(store.restored(1, healed).await, Ok(content(1)));
}

#[tokio::test]
async fn object_that_is_put_again_replaces_a_rotten_one() {
    let store = Store::start(|_| {}).await;
    let engine = engine(1);
    let mut client = store.client(&engine).await;
    let head = Head { generation: 1, manifest: ObjectId::of(b"whole") };
    client.put(head.manifest, b"whole").await.unwrap();
    client.commit(head, &[head.manifest]).await.unwrap();
    let path = store.folder(&engine).join("objects").join(head.manifest.to_string());
    std::fs::write(&path, b"rotten").unwrap();
    client.put(head.manifest, b"whole").await.unwrap();
    client.lacking(&[]).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"whole");
}

#[tokio::test]
async fn full_disk_is_told_and_nothing_is_lost() {
    let mut store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let head = store.back_up(&mut engine, &content(1)).await;
    store.stop().await;
    store.config.min_free_bytes = u64::MAX;
    store.resume().await;
    let mut client = store.client(&engine).await;
    let sources = vec![Source::bytes("a", content(2)).unwrap()];
    let error = engine.snapshot(&mut client, sources, NOW).await.unwrap_err();
    assert_eq!(error.code(), "no_space");
    assert_eq!(store.restored(1, head).await, Ok(content(1)));
    assert_eq!(store.generations(&engine).len(), 1);
}

#[tokio::test]
async fn what_was_never_committed_is_removed() {
    let mut store = Store::start(|_| {}).await;
    let mut first = engine(1);
    let head = store.back_up(&mut first, &content(1)).await;
    let before = store.objects(&first);
    // An upload that breaks off.
    let mut client = store.client(&first).await;
    let object = ObjectId::of(b"half");
    client.put(object, b"half").await.unwrap();
    let path = store.folder(&first).join("objects").join(object.to_string());
    until(|| path.exists()).await;
    drop(client);
    until(|| !path.exists()).await;
    assert_eq!(store.objects(&first), before);
    // A parent that was killed in the middle.
    store.stop().await;
    std::fs::write(&path, b"half").unwrap();
    let aside = store.dir.path().join("kept/incoming");
    std::fs::write(aside.join("rest"), b"ha").unwrap();
    store.resume().await;
    assert_eq!(store.restored(1, head).await, Ok(content(1)));
    assert_eq!(store.objects(&first), before);
    assert_eq!(super::names(&aside), [""; 0]);
}

#[tokio::test]
async fn folder_is_used_by_one_parent_at_a_time() {
    let store = Store::start(|_| {}).await;
    let error = super::Backups::open(&store.config, store.clock.clone()).await.unwrap_err();
    assert_eq!(
        std::error::Error::source(&error).unwrap().to_string(),
        "another process uses it; end that one first"
    );
}
