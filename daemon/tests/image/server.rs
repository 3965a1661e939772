//! A registry on this machine that answers as a test tells it to, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use crate::fixture::TestImage;

/// A request, as far as tests care.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    /// Path and query.
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
}

/// Stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Answers by `answer`, or 404.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        let router = Router::new().fallback(move |request: Request| {
            let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
            async move {
                let authorization = request.headers().get(header::AUTHORIZATION);
                let asked = Asked {
                    path: request.uri().to_string(),
                    authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
                };
                log.lock().unwrap().push(asked.clone());
                answer(&asked).unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, asked, task }
    }

    /// Serves `image` as `app`, except where `lie` answers.
    pub(crate) async fn serving(
        image: &TestImage,
        lie: impl Fn(&Asked) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        let pages = image.pages();
        Self::start(move |asked| {
            let page = pages.get(asked.path.strip_prefix("/v2/app/")?);
            lie(asked).or_else(|| page.map(|(media_type, bytes)| typed(media_type, bytes.clone())))
        })
        .await
    }

    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn typed(media_type: &str, bytes: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, media_type)], bytes.into()).into_response()
}

pub(crate) fn with_header(name: HeaderName, value: &str, bytes: impl Into<Body>) -> Response {
    ([(name, value)], bytes.into()).into_response()
}

pub(crate) fn redirect(to: &str) -> Response {
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response()
}

/// A challenge to get a token at `realm`.
pub(crate) fn challenge(realm: &str) -> Response {
    let value = format!(r#"Bearer realm="{realm}",service="test",scope="repository:app:pull""#);
    (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, value)]).into_response()
}

/// A body that does not say how long it is.
pub(crate) fn chunked(bytes: &[u8]) -> Body {
    let chunks: Vec<_> =
        bytes.chunks(16 << 10).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    Body::from_stream(stream::iter(chunks))
}

/// A body that never ends: `start`, then zeros.
pub(crate) fn endless(start: &[u8]) -> Body {
    let zeros = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 16 << 10])));
    let start = stream::iter([Ok(Bytes::copy_from_slice(start))]);
    Body::from_stream(futures_util::StreamExt::chain(start, zeros))
}

/// A body that stops coming after `start` without ending.
pub(crate) fn stalled(start: &[u8]) -> Body {
    let start = stream::iter([Ok::<_, std::io::Error>(Bytes::copy_from_slice(start))]);
    Body::from_stream(futures_util::StreamExt::chain(start, stream::pending()))
}
