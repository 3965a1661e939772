//! Labels of metrics, each of which is kept for ever.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use nostr::key::Keys;
use relay::rpc::RpcClient;
use serde_json::{Value, json};
use units::SystemClock;

use crate::rpc::Service;
use crate::world::{SOON, TestRelay, connected};

/// Remembers the methods that metrics are labelled with.
#[derive(Clone, Default)]
struct Methods(Arc<Mutex<BTreeSet<String>>>);

impl Methods {
    fn note(&self, key: &Key) {
        let methods = key.labels().filter(|label| label.key() == "method");
        self.0.lock().unwrap().extend(methods.map(|label| label.value().to_owned()));
    }
}

impl Recorder for Methods {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note(key);
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.note(key);
        Histogram::noop()
    }
}

/// Everything runs on this thread, and so under its recorder.
#[tokio::test]
async fn names_that_callers_make_up_are_no_labels_whatever_they_are_refused_for() {
    let methods = Methods::default();
    let _recording = metrics::set_default_local_recorder(&methods);
    let (relay, dir, keys) = (TestRelay::start().await, tempfile::tempdir().unwrap(), Keys::generate());
    let _service = Service::start(&keys, dir.path(), &relay).await;
    let pool = connected(&[relay.url()]).await;
    let service = keys.public_key();
    let caller =
        RpcClient::new(pool, Keys::generate(), service, protocol::kinds::ENCLAVED_RPC, Arc::new(SystemClock))
            .await
            .unwrap();
    for method in ["odd1", "odd2", "nonsense", "ping", "busy"] {
        drop(caller.call::<Value>(method, &json!({}), SOON).await);
    }
    let seen: Vec<_> = methods.0.lock().unwrap().iter().cloned().collect();
    assert_eq!(seen, ["busy", "ping", "unknown"]);
}
