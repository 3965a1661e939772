//! What strangers may cost: nothing of what customers have, by whichever way they come.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::world::{World, WorldOptions};
use nostr::key::Keys;
use protocol::rpc::enclaved::LaunchReply;
use relay::rpc::RpcError;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use units::Stopwatch;

use crate::doors::http::Http;
use crate::doors::letters::Letters;
use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

/// Requests without end: more than an address has at once, by far.
const FLOOD: usize = 600;
/// Strangers who ask for images of a registry that never answers: more than are let ask at once.
const STRANGERS: usize = 16;

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cost_customers_nothing() -> Result<()> {
    let options = WorldOptions { free_quotes_per_key: 10, ..calm()? };
    in_world(options, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "page"), "app").await?;
        let customer = Stranger::with(world, 100).await?;
        let pubkey = customer.settled(&image).await?;
        one_quota_by_all_ways(world).await?;
        registries_that_do_not_answer(world, &customer, &image).await?;
        questions_leave_nothing(world, &customer, &pubkey.to_hex()).await?;
        names_are_signed(world, &customer).await?;
        address_that_floods(world, &customer).await
    })
    .await
}

/// Free quotes are counted together, whichever way they are asked for.
async fn one_quota_by_all_ways(world: &World) -> Result<()> {
    let stranger = Stranger::with(world, 0).await?;
    let none = world.registry().reference("none:1");
    let params = json!({"docker": none, "units": 1});
    let http = Http::new(world, &stranger);
    let mut letters = Letters::open(world, &stranger).await?;
    for _ in 0..3 {
        ensure!(stranger.refused("quote", params.clone()).await == "image_not_found");
        ensure!(stranger.refused("launch", params.clone()).await == "image_not_found");
        let (_, refused) = http.post("/v1/quotes", &params, None).await?;
        ensure!(refused["error"]["code"] == "image_not_found", "{refused}");
    }
    let said = letters.say(&format!("deploy {none}")).await?;
    ensure!(said.ends_with("[image_not_found]"), "the tenth: {said}");
    ensure!(stranger.refused("quote", params.clone()).await == "quota_used");
    ensure!(stranger.refused("launch", params.clone()).await == "quota_used");
    let (status, refused) = http.post("/v1/quotes", &params, None).await?;
    ensure!((status, &refused["error"]["code"]) == (429, &json!("quota_used")), "{refused}");
    let (status, refused) = http.post("/v1/containers", &params, None).await?;
    ensure!((status, &refused["error"]["code"]) == (429, &json!("quota_used")), "{refused}");
    ensure!(letters.say(&format!("deploy {none}")).await?.ends_with("[quota_used]"));
    Ok(())
}

/// Who pays is served while strangers have all their places taken by a registry that says nothing.
async fn registries_that_do_not_answer(world: &World, customer: &Stranger, image: &str) -> Result<()> {
    let silent = TcpListener::bind((world.enclave().host_address(), 0)).await?;
    let docker = format!("{}/app:1", silent.local_addr()?);
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..STRANGERS {
        let rpc = world.rpc(&Keys::generate()).await?;
        let params = json!({"docker": docker, "units": 1});
        asking.spawn(async move { rpc.call::<Value>("quote", &params, SOON).await });
    }
    // Those for whom there is no place are told so at once.
    let first = asking.join_next().await.context("nobody")??;
    let is_busy = matches!(&first, Err(RpcError::Refused(refusal)) if refusal.code == "server_busy");
    ensure!(is_busy, "{first:?}");
    let took = Stopwatch::start();
    let launched: LaunchReply = customer.launch(image, json!({"name": "second"})).await?;
    ensure!(took.elapsed() < Duration::from_secs(8), "a customer waits for strangers: {:?}", took.elapsed());
    let ended = customer.call::<Value>("terminate", json!({"pubkey": launched.pubkey})).await?;
    ensure!(ended["state"] == "expired" || ended["state"] == "terminated", "{ended}");
    ensure!(asking.len() > STRANGERS / 2, "the strangers are gone already");
    Ok(())
}

/// What only asks is answered once for each event, and not written down.
async fn questions_leave_nothing(world: &World, customer: &Stranger, pubkey: &str) -> Result<()> {
    let http = Http::new(world, customer);
    let before = rows(world)?;
    let path = format!("/v1/containers/{pubkey}");
    for _ in 0..20 {
        ensure!(http.get(&path).await?.0 == 200);
        ensure!(http.post(&format!("{path}/topup"), &json!({"amount_msat": 1_000}), None).await?.0 == 200);
    }
    let token = http.token("GET", &path, "")?;
    for expected in [json!(null), json!("auth_used"), json!("auth_used")] {
        let (_, answer) = http.get_with(&path, &token).await?;
        ensure!(answer["error"]["code"] == expected, "{answer}");
    }
    ensure!(rows(world)? == before, "questions are written down");
    ensure!(http.post(&format!("{path}/pin"), &json!({}), None).await?.0 == 200);
    ensure!(rows(world)? == before + 2, "a command is");
    Ok(())
}

/// Events and commands on record.
fn rows(world: &World) -> Result<u64> {
    let file = world.state_dir().join("messages.db");
    let log = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let sql = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM commands)";
    Ok(log.query_row(sql, [], |row| row.get(0))?)
}

/// A name for a command that its event does not have is not believed.
async fn names_are_signed(world: &World, customer: &Stranger) -> Result<()> {
    let http = Http::new(world, customer);
    let launch = json!({"docker": world.registry().reference("none:1"), "units": 1}).to_string();
    for signed in [None, Some("another")] {
        let token = http.token_for("POST", "/v1/containers", &launch, signed)?;
        let (status, refused) = http.post_with("/v1/containers", &launch, &token, "mine").await?;
        ensure!((status, &refused["error"]["code"]) == (401, &json!("auth_invalid")), "{refused}");
        ensure!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("sign the header")));
    }
    Ok(())
}

/// An address that asks without end is refused before its signatures are looked at, in one line of the log.
async fn address_that_floods(world: &World, customer: &Stranger) -> Result<()> {
    let http = Http::new(world, customer);
    let token = http.token("GET", "/v1/containers", "")?;
    let forged = format!("{}A", &token[..token.len() - 1]);
    let lines = world.daemon_log()?.lines().count();
    let (mut refused, mut unbelieved) = (0, 0);
    for _ in 0..FLOOD {
        let (_, answer) = http.get_with("/v1/containers", &forged).await?;
        refused += usize::from(answer["error"]["code"] == "rate_limited");
        unbelieved += usize::from(answer["error"]["code"] == "auth_invalid");
    }
    ensure!(
        refused > FLOOD / 4 && refused + unbelieved == FLOOD,
        "{refused} refused, {unbelieved} looked at"
    );
    let log = world.daemon_log()?;
    let said = log.lines().skip(lines).filter(|line| line.contains("HTTP"));
    ensure!(said.clone().count() == 1, "{:?}", said.collect::<Vec<_>>());
    let took = Stopwatch::start();
    while http.get("/v1/containers").await?.0 != 200 {
        ensure!(took.elapsed() < SOON, "it is refused for ever");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// What was asked before the end is answered, and who follows something is told.
#[tokio::test(flavor = "multi_thread")]
async fn end_of_the_server_answers_what_was_asked() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "page"), "app").await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.run(&image, json!({"exec": true, "ports": [8080]})).await?;
        let http = Http::new(world, &owner);
        let mut streams = Vec::new();
        for what in ["watch", "logs/follow"] {
            streams.push(follow(&http, &format!("/v1/containers/{pubkey}/{what}")).await?);
        }
        let exec = json!({"command": ["/bin/sh", "-c", "touch /begun; sleep 2; echo done"]});
        let mut asked = http.send(&format!("/v1/containers/{pubkey}/exec"), &exec).await?;
        let took = Stopwatch::start();
        while crate::netns::exec(world, &pubkey, "ls /begun").await?.code != 0 {
            ensure!(took.elapsed() < SOON, "the command does not run");
        }
        let took = Stopwatch::start();
        world.stop_daemon().await?;
        println!("ended in {:?}", took.elapsed());
        ensure!(took.elapsed() < Duration::from_secs(25), "{:?}", took.elapsed());
        let mut answer = String::new();
        asked.read_to_string(&mut answer).await?;
        ensure!(answer.starts_with("HTTP/1.1 200") && answer.contains("done"), "{answer}");
        for mut stream in streams {
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            ensure!(text.contains("event: end") && text.ends_with("0\r\n\r\n"), "{text}");
        }
        world.start_daemon().await
    })
    .await
}

/// What follows nothing any more ends, and is not held open for whoever asks again.
#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_their_container() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push(&World::busybox(World::SERVE, "page"), "app").await?;
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&image).await?;
        let http = Http::new(world, &owner);
        let path = |what: &str| format!("/v1/containers/{pubkey}/{what}");
        let (mut states, mut lines) =
            (follow(&http, &path("watch")).await?, follow(&http, &path("logs/follow")).await?);
        owner.call::<serde_json::Value>("terminate", json!({"pubkey": pubkey})).await?;
        let last = until_end(&mut states).await?;
        ensure!(last.contains(r#""state":"terminated""#) && last.contains("event: end"), "{last}");
        let last = until_end(&mut lines).await?;
        ensure!(last.contains("event: end"), "{last}");
        for what in ["watch", "logs/follow"] {
            let all = until_end(&mut follow(&http, &path(what)).await?).await?;
            ensure!(all.contains("event: end") && all.contains("the container is over"), "{what}: {all}");
        }
        Ok(())
    })
    .await
}

/// The rest of a stream. The connection may be used for more.
async fn until_end(stream: &mut TcpStream) -> Result<String> {
    let mut read = Vec::new();
    let all = async {
        while !read.ends_with(b"0\r\n\r\n") {
            read.push(stream.read_u8().await?);
        }
        Ok::<_, anyhow::Error>(())
    };
    // What keeps it alive is written as long as it goes on.
    let outcome = tokio::time::timeout(SOON, all).await;
    outcome.with_context(|| format!("it goes on: {}", String::from_utf8_lossy(&read)))??;
    Ok(String::from_utf8(read)?)
}

/// A stream, once it has begun.
async fn follow(http: &Http, path: &str) -> Result<TcpStream> {
    let (url, token) = (http.url(""), http.token("GET", path, "")?);
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await?;
    let head = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut first = [0; 15];
    stream.read_exact(&mut first).await?;
    ensure!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
    Ok(stream)
}
