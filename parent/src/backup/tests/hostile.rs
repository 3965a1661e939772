//! What an enclave may try, and what a bad disk does.

use ::backup::Source;
use protocol::parent::backup::{
    BackupStore, FRAME_BYTES_MAX, Head, InstanceId, ObjectId, RefusalCode, Reply, Request, StoreError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use transport::{BackupClient, Stream, connect, read_frame, write_frame};

use super::{NOW, Store, engine, until};

fn code(error: StoreError) -> &'static str {
    error.code()
}

async fn ask(stream: &mut Stream, request: &Request, payload: &[u8]) -> Reply {
    write_frame(stream, request, FRAME_BYTES_MAX).await.unwrap();
    stream.write_all(payload).await.unwrap();
    read_frame(stream, FRAME_BYTES_MAX).await.unwrap()
}

fn refusal(reply: Reply) -> RefusalCode {
    let Reply::Refused { code, .. } = reply else { panic!("no refusal: {reply:?}") };
    code
}

#[tokio::test]
async fn stream_that_does_not_begin_with_open_is_refused() {
    let store = Store::start(|_| {}).await;
    let later = Request::Open { version: 2, instance: InstanceId([1; 16]) };
    for request in [Request::List {}, later] {
        let mut stream = connect(store.address()).await.unwrap();
        assert_eq!(refusal(ask(&mut stream, &request, &[]).await), RefusalCode::BadRequest);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    let mut stream = connect(store.address()).await.unwrap();
    stream.write_all(&[0xff; 100]).await.unwrap();
    let reply = read_frame(&mut stream, FRAME_BYTES_MAX).await.unwrap();
    assert_eq!(refusal(reply), RefusalCode::BadRequest);
}

#[tokio::test]
async fn lengths_above_their_bounds_are_refused_before_anything_is_read() {
    let store = Store::start(|_| {}).await;
    let open = Request::Open { version: 1, instance: InstanceId([1; 16]) };
    let object = ObjectId([0; 32]);
    let head = Head { generation: 1, manifest: object };
    for request in [
        Request::Put { object, bytes: u32::MAX },
        Request::Lacking { objects: u32::MAX },
        Request::Commit { head, objects: 65_538 },
    ] {
        let mut stream = connect(store.address()).await.unwrap();
        assert_eq!(ask(&mut stream, &open, &[]).await, Reply::Opened {});
        assert_eq!(refusal(ask(&mut stream, &request, &[]).await), RefusalCode::TooLarge);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    }
    let mut stream = connect(store.address()).await.unwrap();
    assert_eq!(ask(&mut stream, &open, &[]).await, Reply::Opened {});
    assert_eq!(refusal(ask(&mut stream, &open, &[]).await), RefusalCode::BadRequest);
    // That was no fault of the framing: the stream goes on.
    assert_eq!(ask(&mut stream, &Request::List {}, &[]).await, Reply::Generations { generations: vec![] });
}

#[tokio::test]
async fn bytes_that_are_not_what_their_id_says_are_not_kept() {
    let store = Store::start(|_| {}).await;
    let engine = engine(1);
    let mut client = store.client(&engine).await;
    let head = Head { generation: 1, manifest: ObjectId::of(b"one") };
    client.put(head.manifest, b"another").await.unwrap();
    assert_eq!(code(client.commit(head, &[head.manifest]).await.unwrap_err()), "digest_mismatch");
    // The stream goes on, and nothing was made of it.
    assert_eq!(code(client.commit(head, &[head.manifest]).await.unwrap_err()), "object_missing");
    client.put(head.manifest, b"one").await.unwrap();
    assert_eq!(code(client.commit(head, &[]).await.unwrap_err()), "object_missing");
    client.commit(head, &[head.manifest]).await.unwrap();
    // Twice is once.
    client.commit(head, &[head.manifest]).await.unwrap();
    assert_eq!(client.list().await.unwrap().len(), 1);
    let other = Head { generation: 2, ..head };
    assert_eq!(code(client.confirm(other).await.unwrap_err()), "no_such_generation");
    client.confirm(head).await.unwrap();
}

#[tokio::test]
async fn puts_are_answered_ahead_and_gets_in_order() {
    let store = Store::start(|_| {}).await;
    let engine = engine(1);
    let mut client = store.client(&engine).await;
    let contents: Vec<Vec<u8>> = (0..40u8).map(|i| vec![i; usize::from(i) * 9_000]).collect();
    for content in &contents {
        client.put(ObjectId::of(content), content).await.unwrap();
    }
    let ids: Vec<_> = contents.iter().map(|content| ObjectId::of(content)).collect();
    assert_eq!(client.lacking(&ids).await.unwrap(), []);
    let unknown = ObjectId([3; 32]);
    assert_eq!(client.lacking(&[ids[0], unknown]).await.unwrap(), [unknown]);
    for pair in contents.chunks(2) {
        for content in pair {
            client.ask(ObjectId::of(content)).await.unwrap();
        }
        for content in pair {
            assert_eq!(&client.take(u32::MAX).await.unwrap(), content);
        }
    }
    client.ask(unknown).await.unwrap();
    client.ask(ids[1]).await.unwrap();
    assert_eq!(code(client.take(u32::MAX).await.unwrap_err()), "no_such_object");
    assert_eq!(client.take(9_000).await.unwrap(), contents[1]);
    client.ask(ids[2]).await.unwrap();
    assert_eq!(code(client.take(17_999).await.unwrap_err()), "backup_too_long");
}

#[tokio::test]
async fn strangers_who_leave_nothing_lock_nobody_out() {
    let store = Store::start(|_| {}).await;
    for number in 0..80 {
        let mut client = BackupClient::connect(store.address(), InstanceId([number; 16])).await.unwrap();
        assert_eq!(client.list().await.unwrap(), []);
        // Whoever puts and does not commit leaves an empty folder.
        client.put(ObjectId::of(&[number]), &[number]).await.unwrap();
        client.lacking(&[]).await.unwrap();
        let hint = store.backups.as_ref().unwrap().hint(InstanceId([number; 16])).await.unwrap();
        assert!(!hint.has_backup);
        drop(client);
        let objects = store.dir.path().join(format!("kept/{}/objects", InstanceId([number; 16])));
        until(|| super::names(&objects).is_empty()).await;
    }
    let mut engine = engine(9);
    let head = store.back_up(&mut engine, b"mine").await;
    assert_eq!(store.restored(9, head).await, Ok(b"mine".to_vec()));
}

#[tokio::test]
async fn more_instances_than_a_host_has_are_refused() {
    let store = Store::start(|_| {}).await;
    for number in 0..64 {
        let mut client = BackupClient::connect(store.address(), InstanceId([number; 16])).await.unwrap();
        let head = Head { generation: 1, manifest: ObjectId::of(b"one") };
        client.put(head.manifest, b"one").await.unwrap();
        client.commit(head, &[head.manifest]).await.unwrap();
    }
    let error = BackupClient::connect(store.address(), InstanceId([64; 16])).await.unwrap_err();
    assert_eq!(error.code(), "too_many");
    BackupClient::connect(store.address(), InstanceId([7; 16])).await.unwrap();
}

#[tokio::test]
async fn generation_that_names_an_object_twice_is_refused() {
    let store = Store::start(|_| {}).await;
    let engine = engine(1);
    let mut client = store.client(&engine).await;
    let head = Head { generation: 1, manifest: ObjectId::of(b"one") };
    client.put(head.manifest, b"one").await.unwrap();
    let error = client.commit(head, &vec![head.manifest; 60_000]).await.unwrap_err();
    assert_eq!(code(error), "bad_request");
    assert_eq!(store.generations(&engine), [""; 0]);
    client.commit(head, &[head.manifest]).await.unwrap();
}

#[tokio::test]
async fn damaged_record_stops_the_index_and_not_the_restore() {
    let mut store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let head = store.back_up(&mut engine, b"content").await;
    store.stop().await;
    let record = store.folder(&engine).join("generations").join(&store.generations(&engine)[0]);
    let mut bytes = std::fs::read(&record).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&record, bytes).unwrap();
    store.resume().await;
    let refuses = async |store: &Store| {
        let mut client = store.client(&engine).await;
        assert_eq!(code(client.list().await.unwrap_err()), "store_failed");
        let sources = vec![Source::bytes("a", b"new".to_vec()).unwrap()];
        assert_eq!(engine.snapshot(&mut client, sources, NOW).await.unwrap_err().code(), "store_failed");
        assert_eq!(store.restored(1, head).await, Ok(b"content".to_vec()));
        assert_eq!(store.objects(&engine).len(), 2, "nothing is taken for a leftover");
    };
    refuses(&store).await;
    store.stop().await;
    std::fs::remove_file(&record).unwrap();
    std::fs::write(store.folder(&engine).join("confirmed"), "{}").unwrap();
    store.resume().await;
    refuses(&store).await;
}

#[tokio::test]
async fn lost_objects_are_told_and_sent_again() {
    let mut store = Store::start(|_| {}).await;
    let mut engine = engine(1);
    let content = vec![5; 2_500_000];
    store.back_up(&mut engine, &content).await;
    store.stop().await;
    for object in store.objects(&engine) {
        std::fs::remove_file(store.folder(&engine).join("objects").join(object)).unwrap();
    }
    store.resume().await;
    let head = store.back_up(&mut engine, &content).await;
    assert_eq!((head.generation, store.restored(1, head).await), (2, Ok(content)));
}
