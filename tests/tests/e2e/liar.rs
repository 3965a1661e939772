//! A registry that answers as a test tells it to, beside the world's honest one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use devnet::world::World;
use enclaved::image::Digest;
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

type Answer = Arc<dyn Fn(&str) -> Option<Response> + Send + Sync>;

/// Stops when it is dropped.
pub(crate) struct Liar {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    /// Listens on the host's end of the box's wire, and knows nothing yet.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind((world.enclave().host_address(), 0)).await?;
        let address = listener.local_addr()?;
        let nothing: Answer = Arc::new(|_| None);
        let answer = Arc::new(Mutex::new(nothing));
        let shared = Arc::clone(&answer);
        let router = Router::new().fallback(move |request: Request| {
            let answer = Arc::clone(&shared.lock().unwrap());
            async move {
                answer(&request.uri().to_string()).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Ok(Self { address, answer, task })
    }

    /// `host:port`, as references and configurations name it.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Answers every path so from now on; `None` is 404.
    pub(crate) fn tell(&self, answer: impl Fn(&str) -> Option<Response> + Send + Sync + 'static) {
        *self.answer.lock().unwrap() = Arc::new(answer);
    }

    /// Serves an image whose one layer is `layer`, and is said to have `declared_bytes`. Returns its
    /// reference.
    pub(crate) fn serve(&self, layer: Vec<u8>, declared_bytes: u64) -> String {
        let digest = Digest::of(&layer);
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {"Entrypoint": ["/x"]},
            "rootfs": {"type": "layers", "diff_ids": [digest.to_string()]},
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": described(CONFIG, &config),
            "layers": [{"mediaType": LAYER, "digest": digest.to_string(), "size": declared_bytes}],
        });
        let manifest = manifest.to_string().into_bytes();
        let pages = [
            ("/v2/x/manifests/1".to_owned(), MANIFEST, manifest.clone()),
            (format!("/v2/x/manifests/{}", Digest::of(&manifest)), MANIFEST, manifest),
            (format!("/v2/x/blobs/{}", Digest::of(&config)), "application/octet-stream", config),
            (format!("/v2/x/blobs/{digest}"), "application/octet-stream", layer),
        ];
        self.tell(move |path| {
            let (_, kind, bytes) = pages.iter().find(|(known, _, _)| known == path)?;
            // Of unknown length, as far as HTTP tells.
            let chunks = bytes.chunks(64 << 10).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
            let body = Body::from_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
            Some(([(header::CONTENT_TYPE, *kind)], body).into_response())
        });
        format!("{}/x:1", self.authority())
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn described(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::of(bytes).to_string(), "size": bytes.len()})
}

/// An answer that sends elsewhere: the status and the header that does so.
pub(crate) fn elsewhere(status: StatusCode, name: HeaderName, value: &str) -> Response {
    (status, [(name, value)]).into_response()
}
