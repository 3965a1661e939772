//! What happens in the demonstration, line by line.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nostr::event::EventId;
use nostr::filter::Filter;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use units::Stopwatch;

use super::encli::{Encli, text};
use super::say;
use crate::world::World;

/// What a zap is like.
const ZAP_SATS: &str = "21";
const NOTE: &str = "written before the money ran out";
const WAIT: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn tell(world: &World, encli: &Encli) -> Result<()> {
    let image = world.push_echo().await?;

    say("a stranger looks for servers whose code two maintainers signed:");
    let servers = encli.run(&["instance", "ls"]).await?;
    let server = servers.pointer("/instances/0").context("no server was found")?;
    say(&format!(
        "  found {}, {} of its units are free",
        text(server, "/npub")?,
        server["announced"]["units_free"]
    ));

    say(
        "the key to what that server keeps is not on its machine, but with key stores in enclaves of their own:",
    );
    let machine = world.operator().instance_id();
    let stores = encli.run(&["keycrux", "has", "--machine", machine]).await?;
    let stores = stores["key_stores"].as_array().context("no key stores")?;
    let holding = stores.iter().filter(|store| store["result"]["count"] == 1).count();
    ensure!(holding >= world.key_stores()?.writes(), "too few key stores have the record: {stores:?}");
    say(&format!("  {holding} of {} hold it", stores.len()));

    say("it launches a container, pays the invoice through its wallet, and waits:");
    let wallet = encli.wallet();
    let deployed = encli
        .run(&[
            "deploy", &image, "--port", "8080", "--volume", "/data", "--egress", "none", "--pay", &wallet,
            "--wait",
        ])
        .await?;
    let pubkey = text(&deployed, "/pubkey")?.to_owned();
    say(&format!(
        "  {} msat an hour, manifest {}",
        deployed["price_msat_per_hour"],
        text(&deployed, "/manifest_sha256")?
    ));
    say(&format!("  container {pubkey} is {}", text(&deployed, "/state")?));
    let status = encli.run(&["container", "status", &pubkey]).await?;
    let endpoint = status.pointer("/endpoints/0").context("no endpoint")?;
    let address = format!("{}:{}", text(endpoint, "/host")?, endpoint["port"]);

    say("the app signs a nonce with the key that its certificate names:");
    let answer = http(&address, "GET", "/sign?nonce=demo", "").await?;
    let file = world.dir().join("person/answer.json");
    std::fs::write(&file, &answer)?;
    let file = file.display().to_string();
    let verified =
        encli.run(&["container", "verify-answer", &file, "--nonce", "demo", "--container", &pubkey]).await?;
    ensure!(verified["ok"] == true, "the answer does not verify: {verified}");
    say("the whole chain, from the root of the attestation to the digest of the image:");
    let verified = encli.run(&["container", "verify", &pubkey]).await?;
    ensure!(text(&verified, "/image")? == image, "another image runs: {verified}");
    say(&format!("  {}", text(&verified, "/image")?));
    http(&address, "PUT", "/note", NOTE).await?;

    say("nobody pays for a second period; the container is starved:");
    wait_for_state(encli, &pubkey, "paused").await?;
    // The state says so a moment before the process ends.
    let took = Stopwatch::start();
    while TcpStream::connect(&address).await.is_ok() {
        ensure!(took.elapsed() < WAIT, "it serves although it is paused");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    say("  its port is closed, its data is kept");

    say("somebody zaps its profile, which pays for its next periods:");
    let npub = PublicKey::parse(&pubkey)?.to_bech32()?;
    let zap =
        ["wallet", "pay", &npub, "--sats", ZAP_SATS, "--zap", "--comment", "live on", "--wallet", &wallet];
    let zapped = encli.run(&zap).await?;
    let receipt = world.newest(Filter::new().id(EventId::from_hex(text(&zapped, "/zap/receipt")?)?)).await?;
    ensure!(receipt.pubkey == world.wallet_tag().await?.service, "the receipt is not the wallet's");
    say(&format!("  the receipt {} is on the relay, signed by the wallet", receipt.id));
    wait_for_state(encli, &pubkey, "deployed").await?;
    let note = http(&address, "GET", "/note", "").await?;
    ensure!(note == NOTE, "its volume has changed: {note:?}");
    say("  it runs again, with its volume as it was");

    say("its owner ends it:");
    let ended = encli.run(&["container", "terminate", &pubkey]).await?;
    say(&format!("  {}", text(&ended, "/state")?));
    Ok(())
}

async fn wait_for_state(encli: &Encli, pubkey: &str, wanted: &str) -> Result<()> {
    let took = Stopwatch::start();
    let mut status = encli.run(&["container", "status", pubkey]).await?;
    loop {
        if text(&status, "/state")? == wanted {
            say(&format!("  {wanted} after {:.1} s", took.elapsed().as_secs_f64()));
            return Ok(());
        }
        ensure!(took.elapsed() < WAIT, "not {wanted} within {WAIT:?}: {status}");
        tokio::time::sleep(LOOK_EVERY).await;
        status = encli.ask(&["container", "status", pubkey]).await?;
    }
}

/// One HTTP/1.0 exchange, tried until the app listens.
async fn http(address: &str, method: &str, path: &str, body: &str) -> Result<String> {
    let took = Stopwatch::start();
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    loop {
        if let Some(answer) = exchange(address, &request).await {
            let (head, body) = answer.split_once("\r\n\r\n").context("not an HTTP answer")?;
            ensure!(head.contains(" 200 "), "{method} {path}: {head} {body}");
            return Ok(body.to_owned());
        }
        ensure!(took.elapsed() < WAIT, "nothing answers at {address}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn exchange(address: &str, request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    (!answer.is_empty()).then_some(answer)
}
