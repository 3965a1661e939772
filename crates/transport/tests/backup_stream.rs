//! What one backup stream may make the parent hold.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use protocol::parent::backup::{
    FRAME_BYTES_MAX, GETS_AHEAD_MAX, Generation, Head, InstanceId, OBJECT_BYTES_MAX, ObjectId, Reply,
    Request, VERSION,
};
use tokio::io::AsyncReadExt;
use transport::{
    BackupHost, BackupVault, Listener, Refusal, StreamAddress, connect, read_frame, serve_backups,
    write_frame,
};

/// Gives large objects, and counts them.
#[derive(Default)]
struct Large(AtomicUsize);

struct Host(Arc<Large>);

impl BackupHost for Host {
    type Vault = Large;

    async fn open(&self, _: InstanceId) -> Result<Arc<Large>, Refusal> {
        Ok(Arc::clone(&self.0))
    }
}

impl BackupVault for Large {
    async fn lacking(&self, objects: Vec<ObjectId>) -> Result<Vec<ObjectId>, Refusal> {
        Ok(objects)
    }

    async fn put(&self, _: ObjectId, _: Vec<u8>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn commit(&self, _: Head, _: Vec<ObjectId>) -> Result<(), Refusal> {
        Ok(())
    }

    async fn confirm(&self, _: Head) -> Result<u32, Refusal> {
        Ok(0)
    }

    async fn get(&self, _: ObjectId) -> Result<Vec<u8>, Refusal> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(vec![7; usize::try_from(OBJECT_BYTES_MAX).unwrap()])
    }

    async fn list(&self) -> Result<Vec<Generation>, Refusal> {
        Ok(Vec::new())
    }

    async fn abandon(&self, _: Vec<ObjectId>) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_not_read_ahead_of_whoever_takes_them() {
    let dir = tempfile::tempdir().unwrap();
    let address = StreamAddress::Unix(dir.path().join("backup.sock"));
    let listener = Listener::bind(&address).await.unwrap();
    let vault = Arc::new(Large::default());
    tokio::spawn(serve_backups(listener, Arc::new(Host(Arc::clone(&vault)))));
    let mut stream = connect(&address).await.unwrap();
    let open = Request::Open { version: VERSION, instance: InstanceId([1; 16]) };
    write_frame(&mut stream, &open, FRAME_BYTES_MAX).await.unwrap();
    for _ in 0..20 {
        write_frame(&mut stream, &Request::Get { object: ObjectId([1; 32]) }, FRAME_BYTES_MAX).await.unwrap();
    }
    let read = || vault.0.load(Ordering::SeqCst);
    // Nothing was taken so far, and so no more is held than may be unanswered.
    let more = tokio::time::timeout(Duration::from_millis(500), async {
        while read() <= GETS_AHEAD_MAX {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(more.await.is_err(), "{} objects are held", read());
    assert_eq!(read_frame::<Reply>(&mut stream, FRAME_BYTES_MAX).await.unwrap(), Reply::Opened {});
    let mut content = vec![0; usize::try_from(OBJECT_BYTES_MAX).unwrap()];
    for _ in 0..20 {
        let reply: Reply = read_frame(&mut stream, FRAME_BYTES_MAX).await.unwrap();
        assert_eq!(reply, Reply::Object { bytes: OBJECT_BYTES_MAX });
        stream.read_exact(&mut content).await.unwrap();
    }
    assert_eq!(read(), 20);
}
