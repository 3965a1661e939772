//! What is sealed here is opened by the program of the format's author, and by `zstd` after it: nobody who has
//! the secret needs us to read a backup.

use std::io::Write;
use std::process::{Command, Stdio};

use aws_lc_rs::hkdf;
use backup::Source;
use bech32::{Bech32, Hrp};

use crate::store::MemoryStore;
use crate::{back_up, engine, noise};

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The identity of the engine that `engine(seed)` makes, derived as the documentation says and not by our code.
fn identity(seed: u8) -> String {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"enclaved/disk-secret/v1").extract(&[seed; 32]);
    let mut bytes = [0; 32];
    prk.expand(&[b"age-identity"], Length(32)).unwrap().fill(&mut bytes).unwrap();
    bech32::encode_upper::<Bech32>(Hrp::parse("age-secret-key-").unwrap(), &bytes).unwrap()
}

/// Runs a program over bytes. It is there: `scripts/install` brings it, and a machine without it fails here.
fn through(program: &str, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{program} does not start ({e}): run scripts/install"))
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || drop(stdin.write_all(input)));
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    })
}

#[tokio::test]
async fn objects_are_opened_by_age_and_zstd() {
    let dir = tempfile::tempdir().unwrap();
    let content = [noise(1, 300_000), vec![7; 200_000]].concat();
    let mut store = MemoryStore::default();
    let mut engine = engine(1);
    let sources = vec![Source::bytes("notes", content.clone()).unwrap()];
    let head = back_up(&mut engine, &mut store, sources).await;
    let keys = |seed: u8| {
        let path = dir.path().join(format!("identity-{seed}"));
        std::fs::write(&path, identity(seed)).unwrap();
        path.display().to_string()
    };
    let (ours, anothers) = (keys(1), keys(2));
    assert_eq!(store.objects.len(), 2, "a chunk and the manifest");
    for (object, sealed) in &store.objects {
        let packed = through("age", &["--decrypt", "--identity", &ours], sealed).unwrap();
        let plain = zstd::decode_all(packed.as_slice()).unwrap();
        if *object == head.manifest {
            // 32 bytes of MAC, then canonical JSON.
            let manifest: serde_json::Value = serde_json::from_slice(&plain[32..]).unwrap();
            assert_eq!((&manifest["generation"], &manifest["format"]), (&1.into(), &1.into()));
        } else {
            assert_eq!(plain, content);
        }
        let refused = through("age", &["--decrypt", "--identity", &anothers], sealed).unwrap_err();
        assert!(refused.contains("no identity matched"), "{refused}");
    }
}
