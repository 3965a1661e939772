//! Floods that are slowed or cut rather than refused.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bollard::query_parameters::LogsOptionsBuilder;
use devnet::world::World;
use futures_util::TryStreamExt;
use nostr::key::PublicKey;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::plain::Plain;
use crate::netns::{Netns, engine_name, exec};

/// A unit's rate, as the default configuration has it.
const BYTES_PER_SEC: u64 = 250_000;
/// How long it is counted what arrives.
const COUNTED_SECS: u64 = 3;
/// Two files of half a megabyte each, with the engine's own text around each line.
const LOG_BYTES_MAX: u64 = 1_200_000;
/// Lines of 100 bytes, five megabytes of them.
const LOG_FLOOD: &str = "busybox yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -c 5000000";

/// What a container sends arrives no faster than its units let it; without the table it does.
pub(super) async fn network_is_slowed(world: &World, hostile: &PublicKey) -> Result<()> {
    let slowed = received(world, hostile).await?;
    assert!(slowed <= BYTES_PER_SEC * (COUNTED_SECS + 2), "{slowed} bytes in {COUNTED_SECS} s");
    assert!(slowed > BYTES_PER_SEC / 2, "only {slowed} bytes in {COUNTED_SECS} s: nothing passes");
    let machine = Netns::of_box(world)?;
    machine
        .run("nft list table inet enclaved > /dev/null && nft flush chain inet enclaved from_container")?;
    let free = received(world, hostile).await?;
    assert!(free > slowed * 4, "{free} bytes without the guard, {slowed} with it");
    Ok(())
}

/// How much of a flood arrives outside within a few seconds.
async fn received(world: &World, hostile: &PublicKey) -> Result<u64> {
    let listener = TcpListener::bind((world.enclave().host_address(), 0)).await?;
    let SocketAddr::V4(address) = listener.local_addr()? else { panic!("an IPv4 address") };
    let flood = format!(
        "dd if=/dev/zero bs=64k count=640 2>/dev/null | busybox timeout 5 nc {} {}",
        address.ip(),
        address.port()
    );
    let counting = async {
        let (mut stream, _) = listener.accept().await?;
        let mut counted = 0;
        let mut buffer = vec![0; 64 * 1024];
        let until = tokio::time::sleep(Duration::from_secs(COUNTED_SECS));
        tokio::pin!(until);
        loop {
            tokio::select! {
                () = &mut until => return anyhow::Ok(counted),
                read = stream.read(&mut buffer) => match read? {
                    0 => return Ok(counted),
                    length => counted += length as u64,
                },
            }
        }
    };
    tokio::select! {
        counted = counting => counted,
        ran = exec(world, hostile, &flood) => anyhow::bail!("the flood ended by itself: {:?}", ran?),
    }
}

/// A container's log has an end; one of the engine's own has none.
pub(super) async fn log_is_cut(world: &World, hostile: &PublicKey, plain: &Plain) -> Result<()> {
    exec(world, hostile, &format!("{LOG_FLOOD} > /proc/1/fd/1")).await?;
    let options = LogsOptionsBuilder::default().stdout(true).build();
    let docker = world.engine().client();
    let said: Vec<_> = docker.logs(&engine_name(hostile), Some(options)).try_collect().await?;
    let kept: u64 = said.iter().map(|part| part.to_string().len() as u64).sum();
    assert!(kept <= LOG_BYTES_MAX, "{kept} bytes of log");
    assert!(plain.log_bytes_after(LOG_FLOOD).await? > 2 * LOG_BYTES_MAX);
    Ok(())
}
