//! What the container engine is told, and what is made of its answers. The engine here is a listener
//! that speaks the few words of its API that matter; a real one is used by the end-to-end tests.

use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bollard::{API_DEFAULT_VERSION, Docker};
use enclaved::image::{Digest, ImageLimits, ImageStore, LoadError, Platform, RegistryClient, Removal, load};
use guard::{AddressGuard, Lookup, LookupFuture};
use serde_json::json;

use crate::fixture::{TempDir, TestImage, client, client_with_guard, limits, resolve_at};
use crate::server::{Server, typed};

/// How the engine behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Engine {
    /// Has nothing until something is loaded.
    Honest,
    /// Reads an archive and complains.
    Complains(&'static str),
    /// Says that all is well, and has nothing.
    Forgets,
    /// Answers for an image with another one.
    Confuses,
    /// Has the image from the beginning, with so many bytes.
    Has(u64),
    /// Answers everything with this status.
    Status(u16),
}

/// A listening engine, and what it was handed.
struct Listening {
    docker: Docker,
    loaded: Arc<Mutex<Vec<Bytes>>>,
    removed: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Listening {
    async fn start(engine: Engine) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let (loaded, removed) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let state = (Arc::clone(&loaded), Arc::clone(&removed));
        let router = Router::new().fallback(move |request: Request| {
            let (loaded, removed) = state.clone();
            async move { answer(engine, request, &loaded, &removed).await }
        });
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let docker = Docker::connect_with_unix(socket.to_str().unwrap(), 30, API_DEFAULT_VERSION).unwrap();
        Self { docker, loaded, removed, task, dir }
    }

    fn store(&self, registry: RegistryClient) -> ImageStore {
        let temp_dir: PathBuf = self.dir.path().to_owned();
        ImageStore::new(registry, self.docker.clone(), Platform::default(), temp_dir)
    }

    fn loads(&self) -> usize {
        self.loaded.lock().unwrap().len()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    engine: Engine,
    request: Request,
    loaded: &Mutex<Vec<Bytes>>,
    removed: &Mutex<Vec<String>>,
) -> Response {
    if let Engine::Status(status) = engine {
        return (StatusCode::from_u16(status).unwrap(), r#"{"message":"secret path"}"#).into_response();
    }
    let path = request.uri().path().to_owned();
    if path.ends_with("/images/load") {
        let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
        loaded.lock().unwrap().push(body);
        let sentence = if let Engine::Complains(problem) = engine {
            json!({"errorDetail": {"message": problem}, "error": problem})
        } else {
            json!({"stream": "Loaded image: x\n"})
        };
        return typed("application/json", sentence.to_string());
    }
    if request.method() == Method::DELETE {
        removed.lock().unwrap().push(path);
        return typed("application/json", "[]");
    }
    let asked = path.rsplit("/images/").next().unwrap().trim_end_matches("/json").to_owned();
    let there = loaded.lock().unwrap().len() == 1;
    let found = match engine {
        Engine::Honest if there => json!({"Id": asked, "Size": 77}),
        Engine::Has(size) => json!({"Id": asked, "Size": size}),
        Engine::Confuses if there => json!({"Id": Digest::of(b"other").to_string(), "Size": 77}),
        Engine::Honest | Engine::Confuses | Engine::Complains(_) | Engine::Forgets | Engine::Status(_) => {
            return (StatusCode::NOT_FOUND, r#"{"message":"No such image"}"#).into_response();
        }
    };
    typed("application/json", found.to_string())
}

/// An honest registry with a small image, and a client for it.
async fn registry() -> (Server, RegistryClient, TestImage, String) {
    let image = TestImage::small();
    let server = Server::serving(&image, |_| None).await;
    let client = client(&[&server.authority()]);
    let reference = format!("{}/app:1", server.authority());
    (server, client, image, reference)
}

#[tokio::test]
async fn image_is_fetched_and_loaded_once() {
    let (server, client, image, reference) = registry().await;
    let engine = Listening::start(Engine::Honest).await;
    let store = engine.store(client.clone());
    let pinned = store.resolve(&reference.parse().unwrap(), &limits()).await.unwrap();
    assert_eq!(store.find_loaded(pinned.config_digest()).await.unwrap(), None);

    let loaded = store.ensure_loaded(&pinned, &limits()).await.unwrap();
    assert_eq!(loaded.id(), Digest::of(&image.config).to_string());
    assert_eq!((loaded.config_digest(), loaded.size_bytes()), (pinned.config_digest(), 77));
    let asked = server.asked().len();
    assert_eq!(store.ensure_loaded(&pinned, &limits()).await.unwrap(), loaded);
    assert_eq!((server.asked().len(), engine.loads()), (asked, 1), "nothing is fetched that is there");

    let mut archive = TempDir::new().fetch(&client, &pinned).await.unwrap();
    let mut bytes = Vec::new();
    archive.read_to_end(&mut bytes).unwrap();
    assert!(engine.loaded.lock().unwrap()[0] == bytes, "the engine is handed the archive, whole");
    assert_eq!(std::fs::read_dir(engine.dir.path()).unwrap().count(), 1, "only the socket is left");
}

#[tokio::test]
async fn answers_of_the_engine_have_codes() {
    let (_server, client, _image, reference) = registry().await;
    for (behaviour, code, loads) in [
        (Engine::Complains("max depth exceeded"), "image_malformed", 1),
        (Engine::Complains("write /x: no space left on device"), "internal", 1),
        (Engine::Forgets, "internal", 1),
        (Engine::Confuses, "internal", 1),
        (Engine::Status(500), "internal", 0),
    ] {
        let engine = Listening::start(behaviour).await;
        let store = engine.store(client.clone());
        let pinned = store.resolve(&reference.parse().unwrap(), &limits()).await.unwrap();
        let error = store.ensure_loaded(&pinned, &limits()).await.unwrap_err();
        assert_eq!((error.code(), engine.loads()), (code, loads), "{behaviour:?}: {error:?}");
        assert!(!error.to_string().contains("secret") && !error.to_string().contains("/x"), "{error}");
    }
}

#[tokio::test]
async fn image_that_was_loaded_under_wider_limits_is_measured_again() {
    let (_server, client, _image, reference) = registry().await;
    let engine = Listening::start(Engine::Has(1_000)).await;
    let store = engine.store(client);
    let pinned = store.resolve(&reference.parse().unwrap(), &limits()).await.unwrap();
    store.ensure_loaded(&pinned, &limits()).await.unwrap();
    let error =
        store.ensure_loaded(&pinned, &ImageLimits { unpacked_bytes: 999, ..limits() }).await.unwrap_err();
    assert_eq!((error.code(), engine.loads()), ("image_unpacks_too_large", 1));
}

/// Somebody who knows the configuration of another's private image has a registry name it, and serves none of
/// its layers.
#[tokio::test]
async fn image_of_anothers_registry_is_not_given_to_who_only_names_it() {
    let (_server, client, image, reference) = registry().await;
    let layer = format!("blobs/{}", Digest::of(&image.layers[0]));
    let theirs = Server::serving(&image, move |asked| {
        asked.path.ends_with(&layer).then(|| StatusCode::NOT_FOUND.into_response())
    })
    .await;
    let client_of_both = crate::fixture::client(&[reference.split('/').next().unwrap(), &theirs.authority()]);
    drop(client);
    let engine = Listening::start(Engine::Honest).await;
    let store = engine.store(client_of_both);
    let resolve =
        async |reference: &str| store.resolve(&reference.parse().unwrap(), &limits()).await.unwrap();
    let (ours, named) = (resolve(&reference).await, resolve(&format!("{}/app:1", theirs.authority())).await);
    assert_eq!(ours.config_digest(), named.config_digest());
    let loaded = store.ensure_loaded(&ours, &limits()).await.unwrap();

    let found = store.find_served(named.reference(), named.config_digest()).await.unwrap();
    assert_eq!(found, None, "it was never fetched from there");
    let error = store.ensure_loaded(&named, &limits()).await.unwrap_err();
    assert_eq!((error.code(), engine.loads()), ("image_not_found", 1), "{error:?}");
    // Who launched it has it still.
    let found = store.find_served(ours.reference(), ours.config_digest()).await.unwrap();
    assert_eq!(found, Some(loaded));
    // After a restart only what a container says that it got is known.
    let store = engine.store(crate::fixture::client(&[&theirs.authority()]));
    assert_eq!(store.find_served(ours.reference(), ours.config_digest()).await.unwrap(), None);
    store.was_served(ours.reference(), ours.config_digest());
    assert_eq!(store.find_served(ours.reference(), ours.config_digest()).await.unwrap(), Some(loaded));
    assert_eq!(store.find_served(named.reference(), named.config_digest()).await.unwrap(), None);
}

#[tokio::test]
async fn engine_that_is_gone_is_the_servers_fault() {
    let (_server, client, _image, reference) = registry().await;
    let engine = Listening::start(Engine::Honest).await;
    let pinned = resolve_at(&client, &reference).await.unwrap();
    let archive = TempDir::new().fetch(&client, &pinned).await.unwrap();
    engine.task.abort();
    std::fs::remove_file(engine.dir.path().join("engine.sock")).unwrap();
    let error = load(&engine.docker, archive).await.unwrap_err();
    assert!(matches!(error, LoadError::Engine(_)), "{error:?}");
    assert_eq!(error.code(), "internal");
}

#[tokio::test]
async fn images_are_removed_by_our_tag_unless_they_are_needed() {
    let digest = Digest::of(b"config");
    for (behaviour, expected) in [
        (Engine::Honest, Some(Removal::Removed)),
        (Engine::Status(409), Some(Removal::InUse)),
        (Engine::Status(404), Some(Removal::NotThere)),
        (Engine::Status(500), None),
    ] {
        let engine = Listening::start(behaviour).await;
        let store = engine.store(client(&[]));
        assert_eq!(store.remove_unused(digest).await.ok(), expected, "{behaviour:?}");
        let removed = engine.removed.lock().unwrap().clone();
        assert!(
            removed.iter().all(|path| path.ends_with(&format!("/images/enclaved/{}:loaded", digest.hex())))
        );
    }
}

/// A resolver of names that never answers.
#[derive(Debug)]
struct Silence;

impl Lookup for Silence {
    fn lookup(&self, _name: &str) -> LookupFuture {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_wait_for_a_turn_only_so_long() {
    let engine = Listening::start(Engine::Honest).await;
    let client = client_with_guard(AddressGuard::public_only().with_lookup(Arc::new(Silence)), &[]);
    let store = Arc::new(engine.store(client));
    let started = tokio::task::JoinSet::from_iter((0..40).map(|number| {
        let store = Arc::clone(&store);
        async move {
            let reference = format!("host{number}.example/app").parse().unwrap();
            store.resolve(&reference, &limits()).await.unwrap_err().code()
        }
    }));
    let mut codes = tokio::time::timeout(Duration::from_secs(60), started.join_all()).await.unwrap();
    codes.sort_unstable();
    assert_eq!(codes, [["registry_unreachable"; 32].as_slice(), &["server_busy"; 8]].concat());
}
