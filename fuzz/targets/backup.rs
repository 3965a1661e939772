//! The backup channel: frames in both directions, and what a parent gives as the newest backup.
#![no_main]

use std::future::Future;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::{Context, Poll, Waker};

use backup::{DiskSecret, Engine};
use libfuzzer_sys::fuzz_target;
use protocol::parent::backup::{
    BackupStore, FRAME_BYTES_MAX, Head, OBJECT_BYTES_MAX, OBJECTS_MAX, ObjectId, Reply, Request, StoreError,
};
use tokio::runtime::Runtime;
use transport::read_frame;
use zeroize::Zeroizing;

/// What opens objects waits on a thread of its own.
static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().build().expect("a runtime"));

/// Beginnings by which libFuzzer gets beyond age's first line.
const AGE: &[u8] = b"age-encryption.org/v1\n";

fuzz_target!(|input: &[u8]| {
    frames::<Request>(input, |request| {
        if let Ok(bytes) = request.payload_bytes() {
            assert!(bytes <= OBJECT_BYTES_MAX.max(OBJECTS_MAX * 32));
        }
    });
    frames::<Reply>(input, |_| {});
    // A head of the key stores names this very object: nothing but its sealing is left to refuse it.
    refuse(input);
    refuse(&[AGE, input].concat());
});

/// Reads frames until one is wrong or none is left: all bytes are there, so that nothing ever waits.
fn frames<T: serde::de::DeserializeOwned>(mut stream: &[u8], check: impl Fn(&T)) {
    loop {
        let mut context = Context::from_waker(Waker::noop());
        let read = pin!(read_frame::<T>(&mut stream, FRAME_BYTES_MAX)).poll(&mut context);
        match read {
            Poll::Ready(Ok(frame)) => check(&frame),
            Poll::Ready(Err(_)) => return,
            Poll::Pending => panic!("it waits for what is there"),
        }
    }
}

/// Nobody without the secret makes an object that is opened.
fn refuse(object: &[u8]) {
    let head = Head { generation: 1, manifest: ObjectId::of(object) };
    let secret = DiskSecret::new(Zeroizing::new([7; 32]));
    let mut engine = Engine::new(&secret).expect("keys are derived");
    let mut store = Liar { object: object.to_vec() };
    let into = std::env::temp_dir().join("enclaved-fuzz-backup-is-never-restored");
    let restored = RUNTIME.block_on(engine.restore(&mut store, head, &into, u64::MAX, |_| {}));
    assert!(restored.is_err() && !into.exists());
}

/// A parent that has one object, whatever it is asked for.
struct Liar {
    object: Vec<u8>,
}

impl BackupStore for Liar {
    async fn lacking(&mut self, _objects: &[ObjectId]) -> Result<Vec<ObjectId>, StoreError> {
        Ok(Vec::new())
    }

    async fn put(&mut self, _object: ObjectId, _sealed: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn commit(&mut self, _head: Head, _objects: &[ObjectId]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn confirm(&mut self, _head: Head) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ask(&mut self, _object: ObjectId) -> Result<(), StoreError> {
        Ok(())
    }

    async fn take(&mut self, _bytes_max: u32) -> Result<Vec<u8>, StoreError> {
        Ok(self.object.clone())
    }
}
