//! The guest API: for a container by its own gateway, with its own token.

use anyhow::{Context, Result};
use bollard::query_parameters::InspectContainerOptions;
use devnet::world::World;

use super::Guest;
use crate::netns::{engine_name, exec};

/// The first line of what the guest API of `gateway` answers, asked from inside `guest`.
async fn answer(
    world: &World,
    guest: &Guest,
    gateway: std::net::Ipv4Addr,
    path: &str,
    token: &str,
) -> Result<String> {
    let request = format!(
        "GET {path} HTTP/1.1\\r\\nHost: {gateway}\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\
         Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n{token}\\r\\n"
    );
    let script = format!("printf \"{request}\" | nc -w 1 {gateway} 2080 | head -n 1");
    let ran = exec(world, &guest.pubkey, &script).await?;
    Ok(ran.text.trim().to_owned())
}

async fn token(world: &World, guest: &Guest) -> Result<String> {
    let docker = world.engine().client();
    let name = engine_name(&guest.pubkey);
    let found = docker.inspect_container(&name, None::<InspectContainerOptions>).await?;
    let env = found.config.and_then(|config| config.env).unwrap_or_default();
    let token = env.iter().find_map(|line| line.strip_prefix("ENCLAVED_TOKEN="));
    Ok(token.context("no token")?.to_owned())
}

pub(super) async fn check(world: &World, alice: &Guest, bob: &Guest) -> Result<()> {
    let (alices, bobs) = (token(world, alice).await?, token(world, bob).await?);
    assert_ne!(alices, bobs);
    let refused = "HTTP/1.1 401 Unauthorized";
    let cases = [
        ("/", "token: $ENCLAVED_TOKEN\\r\\n".to_owned(), "HTTP/1.1 101 Switching Protocols"),
        ("/", format!("token: {alices}\\r\\n"), "HTTP/1.1 101 Switching Protocols"),
        ("/", String::new(), refused),
        ("/", "token: \\r\\n".to_owned(), refused),
        ("/", format!("token: {bobs}\\r\\n"), refused),
        ("/", format!("token: {}\\r\\n", &alices[1..]), refused),
        ("/", format!("token: {alices}0\\r\\n"), refused),
        // The built-ins' relay is not for guests.
        ("/relay", format!("token: {alices}\\r\\n"), "HTTP/1.1 404 Not Found"),
    ];
    for (path, header, expected) in &cases {
        assert_eq!(answer(world, alice, alice.gateway, path, header).await?, *expected, "{path} {header}");
    }
    // By another's gateway not even the right token helps.
    for token in [alices, bobs] {
        let header = format!("token: {token}\\r\\n");
        assert_eq!(answer(world, alice, bob.gateway, "/", &header).await?, "nc: timed out");
    }
    Ok(())
}
