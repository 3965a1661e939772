//! Releases of container images: what signers sign and one of them publishes is what servers take.

use std::collections::BTreeMap;

use nostr::filter::Filter;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, tag_value, tags_named};
use protocol::kinds::{IMAGE_RELEASE, IMAGE_RELEASE_SIGNATURE};
use protocol::nec::Env;
use protocol::nec::image_release::{ImageLabels, verify};
use serde_json::Value;

use crate::relays::World;
use crate::support::Run;

const REPO: &str = "https://example.com/app";

fn image(seed: &str) -> String {
    format!("registry.example/app@sha256:{}", seed.repeat(32))
}

/// Two signers with their keys in files, in a world with a relay.
struct Signers {
    world: World,
    keys: [Keys; 2],
}

impl Signers {
    async fn meet() -> Self {
        let (world, keys) = (World::start().await, [Keys::generate(), Keys::generate()]);
        for (name, keys) in ["alice", "bob"].iter().zip(&keys) {
            world.stage.home.write(name, keys.secret_key().to_secret_hex());
        }
        Self { world, keys }
    }

    /// The labels of the image that runs.
    fn running(&self, version: &str) -> ImageLabels {
        let signers = self.keys.each_ref().map(|keys| keys.public_key().to_hex()).join(",");
        let labels = [
            ("repo", REPO.to_owned()),
            ("version", version.to_owned()),
            ("signers", signers),
            ("signer_relays", self.world.url.clone()),
        ];
        let labels: BTreeMap<_, _> =
            labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        ImageLabels::read(&labels).unwrap()
    }

    async fn sign(&self, image: &str, options: &[&str]) -> Run {
        let line = ["image", "sign-release", image, "--ref", REPO, "--version", "1.4.0"];
        self.world.run_bare(&[&line[..], options].concat()).await
    }

    async fn publish(&self, image: &str, files: &[&str], options: &[&str]) -> Run {
        let line = ["image", "publish-release", image];
        let terms = ["--ref", REPO, "--version", "1.4.0"];
        self.world.run_bare(&[&line[..], files, &terms, options].concat()).await
    }

    /// Both sign, into `alice.json` and `bob.json`.
    async fn both_sign(&self, env: &str) {
        for name in ["alice", "bob"] {
            let (key, out) = (format!("file:{name}"), format!("{name}.json"));
            self.sign(&image("ab"), &["--key", &key, "--out", &out, "--env", env]).await.done();
        }
    }

    fn event(&self, file: &str) -> CheckedEvent {
        CheckedEvent::parse(std::fs::read_to_string(self.world.stage.home.path(file)).unwrap().trim())
            .unwrap()
    }

    async fn published(&self) -> Vec<CheckedEvent> {
        self.world.fetch(Filter::new().kind(IMAGE_RELEASE)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn release_that_all_sign_and_one_publishes_is_taken() {
    let signers = Signers::meet().await;
    signers.both_sign("prod").await;
    let signed = signers.event("alice.json");
    assert_eq!((signed.kind, signed.pubkey), (IMAGE_RELEASE_SIGNATURE, signers.keys[0].public_key()));
    for (name, value) in [("r", REPO), ("v", "1.4.0"), ("t", "prod"), ("x", &image("ab")[21..])] {
        assert_eq!(tag_value(&signed, name), Some(value), "{name}");
    }
    let prev = image("cd")[21..].to_owned();
    let options = ["--env", "prod", "--key", "file:bob", "--prev", &prev, "--out", "release.json"];
    let run = signers.publish(&image("ab"), &["alice.json", "bob.json"], &options).await;
    let printed: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((run.code, printed["published"]["accepted"].as_array().unwrap().len()), (0, 1), "{run:?}");
    let stored = signers.published().await;
    assert_eq!(stored, [signers.event("release.json")]);
    let release = verify(&stored[0], &signers.running("1.3.9"), Some(Env::Prod)).unwrap();
    assert_eq!((release.image(), release.version().to_string().as_str()), (image("ab").as_str(), "1.4.0"));
    assert_eq!(
        (tags_named(&stored[0], "release").count(), tag_value(&stored[0], "prev")),
        (2, Some(prev.as_str()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_servers_would_not_take_is_not_published() {
    let signers = Signers::meet().await;
    signers.both_sign("dev").await;
    let home = &signers.world.stage.home;
    home.write("stranger", Keys::generate().secret_key().to_secret_hex());
    let both = ["alice.json", "bob.json"];
    let refused = async |image: &str, files: &[&str], options: &[&str], code: &str, exit| {
        signers.publish(image, files, options).await.refused(code, exit);
    };
    let alice = ["--key", "file:alice"];
    refused(&image("cd"), &both, &alice, "release_invalid", 1).await;
    refused(&image("ab"), &both, &["--key", "file:alice", "--env", "prod"], "release_invalid", 1).await;
    refused(&image("ab"), &["alice.json", "alice.json"], &alice, "release_invalid", 1).await;
    refused(&image("ab"), &["alice.json", "alice"], &alice, "release_invalid", 1).await;
    refused(&image("ab"), &["none.json"], &alice, "file_unreadable", 1).await;
    refused(&image("ab"), &["bob.json"], &alice, "release_invalid", 1).await;
    refused(&image("ab"), &both, &["--key", "file:stranger"], "release_invalid", 1).await;
    refused(&image("ab"), &both, &["--key", "file:alice", "--env", "debug"], "usage", 64).await;
    refused(&image("ab"), &both, &["--key", "file:alice", "--prev", "1.3.9"], "usage", 64).await;
    refused("registry.example/app:1.4.0", &both, &alice, "usage", 64).await;
    assert_eq!(signers.published().await, []);
    for bad in [
        "registry.example/app:1.4.0",
        "registry.example/app",
        &format!("app@{}", "ab".repeat(32)),
        &image("AB"),
    ] {
        signers.sign(bad, &["--key", "file:alice", "--out", "x.json"]).await.refused("usage", 64);
    }
    // Nothing is overwritten.
    signers
        .sign(&image("ab"), &["--key", "file:alice", "--out", "alice.json"])
        .await
        .refused("file_exists", 1);
    assert!(!home.path("x.json").exists());
}
