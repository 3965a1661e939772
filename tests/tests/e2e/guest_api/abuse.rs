//! Guests that break the rules of the socket, and neighbours that do not notice.

use std::path::Path;

use anyhow::Result;
use devnet::world::World;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{socket, socket_path};
use crate::in_world::{calm, in_world};
use crate::netns::exec;
use crate::stranger::{Stranger, get};

/// Sends these bytes and reads until the other end closes: the status, and the code of the refusal.
async fn raw(path: &Path, request: &[u8]) -> Result<(u16, String)> {
    let mut stream = UnixStream::connect(path).await?;
    // A server that has refused already may have closed.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let value: Value = serde_json::from_str(body).unwrap_or_default();
    Ok((status, value["error"]["code"].as_str().unwrap_or_default().to_owned()))
}

fn post(path: &str, body: &str) -> Vec<u8> {
    let head = "host: x\r\nconnection: close\r\n";
    format!("POST {path} HTTP/1.1\r\n{head}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_that_break_the_rules_hurt_nobody_else() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
        let (alice, bob) = (Stranger::with(world, 100).await?, Stranger::with(world, 100).await?);
        let hostile = alice.run(&image, json!({"ports": [8080], "egress": "none"})).await?;
        let neighbour = bob.settled(&image).await?;
        get(&alice.url(&hostile).await?).await?;
        let path = socket_path(world, &hostile);
        let long = format!("\"{}\"", "x".repeat(70_000));
        let cases: [(Vec<u8>, u16, &str); 14] = [
            (b"GET /v1/info HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec(), 405, "http_method"),
            (post("/", ""), 404, "not_found"),
            (post("/v2/info", ""), 404, "not_found"),
            (post("/v1/../../etc/passwd", ""), 404, "method_unknown"),
            (post("/v1/reboot", "{}"), 404, "method_unknown"),
            (post("/v1/info", "{"), 400, "bad_request"),
            (post("/v1/info", "[]"), 400, "params_invalid"),
            (post("/v1/info", r#"{"pubkey":"ab"}"#), 400, "params_invalid"),
            (post("/v1/attest", r#"{"digest":"ab"}"#), 400, "params_invalid"),
            (post("/v1/derive_key", r#"{"path":""}"#), 400, "params_invalid"),
            (post("/v1/log", &long), 413, "request_too_large"),
            // The launch says that it reaches nothing outside.
            (post("/v1/attested_fetch", r#"{"url":"https://example.com/"}"#), 403, "egress_refused"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), 400, ""),
            ([b"POST /v1/info HTTP/1.1\r\n".to_vec(), vec![b'a'; 20_000]].concat(), 431, ""),
        ];
        for (request, status, code) in cases {
            let answered = raw(&path, &request).await?;
            assert_eq!(
                answered,
                (status, code.to_owned()),
                "{}",
                String::from_utf8_lossy(&request[..60.min(request.len())])
            );
        }
        flood(world, &hostile, &neighbour).await?;
        crowd(world, &hostile, &neighbour).await?;
        // The neighbour uses up its own calls.
        nonsense(world, &neighbour).await?;
        inside(world, &hostile).await
    })
    .await
}

/// Calls beyond the limit are refused, the neighbour's are not, and the log names who it was.
async fn flood(
    world: &World,
    hostile: &nostr::key::PublicKey,
    neighbour: &nostr::key::PublicKey,
) -> Result<()> {
    let path = socket_path(world, hostile);
    let mut refused = 0;
    for _ in 0..300 {
        refused += usize::from(raw(&path, &post("/v1/info", "")).await? == (429, "rate_limited".to_owned()));
    }
    assert!(refused > 200, "only {refused} of 300 calls were refused");
    socket(world, neighbour).info().await?;
    let log = world.daemon_log()?;
    let named = |pubkey: &nostr::key::PublicKey| {
        log.lines().any(|line| line.contains("asks too much") && line.contains(&pubkey.to_hex()))
    };
    assert!(named(hostile) && !named(neighbour), "the log names the wrong one");
    Ok(())
}

/// What cannot be read counts as much as what can: who sends nothing else is refused as well, and named.
async fn nonsense(world: &World, pubkey: &nostr::key::PublicKey) -> Result<()> {
    let mut stream = UnixStream::connect(socket_path(world, pubkey)).await?;
    let bad = b"GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut refused = 0;
    for _ in 0..300 {
        stream.write_all(bad).await?;
        let mut answer = vec![0; 1_024];
        let length = stream.read(&mut answer).await?;
        refused += usize::from(answer[..length].starts_with(b"HTTP/1.1 429"));
    }
    assert!(refused > 150, "only {refused} of 300 bad requests were refused as too many");
    let log = world.daemon_log()?;
    assert!(log.lines().any(|line| line.contains("asks too much") && line.contains(&pubkey.to_hex())));
    Ok(())
}

/// A container that holds all the connections that it may have holds none of its neighbour's.
async fn crowd(
    world: &World,
    hostile: &nostr::key::PublicKey,
    neighbour: &nostr::key::PublicKey,
) -> Result<()> {
    let path = socket_path(world, hostile);
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut stream = UnixStream::connect(&path).await?;
        drop(stream.write_all(b"POST /v1/info HTTP/1.1\r\nhost: x\r\n").await);
        held.push(stream);
    }
    // One too many is closed without an answer.
    assert_eq!(raw(&path, &post("/v1/info", "")).await?.0, 0);
    socket(world, neighbour).info().await?;
    drop(held);
    Ok(())
}

/// A container sees its own socket and nothing else, and can neither change nor replace it.
async fn inside(world: &World, hostile: &nostr::key::PublicKey) -> Result<()> {
    let seen = exec(world, hostile, "ls -a /run/enclaved; ls -a /run/enclaved/..").await?;
    assert_eq!(
        seen.text.split_whitespace().collect::<Vec<_>>(),
        [".", "..", "guest.sock", "secrets", ".", "..", "enclaved"]
    );
    for script in [
        "rm /run/enclaved/guest.sock",
        "touch /run/enclaved/x",
        "touch /run/enclaved/secrets/x",
        "mount -t tmpfs none /run/enclaved",
        "mount -o remount,rw /run/enclaved",
    ] {
        let ran = exec(world, hostile, script).await?;
        assert_ne!(ran.code, 0, "{script}: {ran:?}");
    }
    socket(world, hostile).call::<Value>("info", &json!({})).await.map(drop).or_else(|e| {
        // Its calls of before may still count.
        if e.to_string().contains("rate_limited") { Ok(()) } else { Err(e.into()) }
    })
}
