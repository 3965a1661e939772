//! A world that outlives the demonstration: it belongs to a process in the background, which is ended
//! like any other.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use nostr::nips::nip19::ToBech32;

use super::encli::Encli;
use super::{OK_LINE, say};
use crate::world::{REPO, World};

/// Marks the end of what the keeper has to say.
const END_LINE: &str = "to end it:";

/// Starts the process that plays the demonstration and keeps its world, passes its lines on, and leaves
/// it alone once it is done.
pub(super) fn start_keeper() -> Result<ExitCode> {
    let program = std::env::current_exe()?;
    let mut keeper = Command::new(program)
        .args(["demo", "--keep", "--keeper"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // Its own group: a Ctrl-C at this terminal is not meant for it once we are gone.
        .process_group(0)
        .spawn()
        .context("the keeper does not start")?;
    let lines = BufReader::new(keeper.stdout.take().context("no output")?).lines();
    let mut ok = false;
    for line in lines {
        let line = line?;
        say(&line);
        ok |= line == OK_LINE;
        if line.starts_with(END_LINE) {
            break;
        }
    }
    if ok {
        return Ok(ExitCode::SUCCESS);
    }
    bail!("the demonstration failed: {}", keeper.wait()?)
}

/// How a kept world is reached.
pub(super) async fn describe(world: &World, encli: &Encli) -> Result<String> {
    let faucet = world.dir().join("person/faucet");
    std::fs::write(&faucet, world.faucet().await?.reveal().as_bytes())?;
    let maintainers = world.operator().maintainers().iter().map(|keys| keys.public_key().to_bech32());
    let maintainers = maintainers.collect::<Result<Vec<_>, _>>()?.join(" ");
    Ok([
        "the world goes on:".to_owned(),
        format!("  relay              {}", world.relay_url()),
        format!("  server             {}", world.service()?.to_bech32()?),
        format!("  trust root         {}", world.trust_root().display()),
        format!("  repository         {REPO}"),
        format!("  maintainers        {maintainers} (both signed)"),
        format!("  key stores         {} (logs in keycrux-*)", world.key_stores()?.launchers().len()),
        format!("  registry           {} (plain HTTP)", world.registry().address()),
        format!("  engine             unix://{}", world.engine().socket().display()),
        format!("  wallet with money  file:{}", faucet.display()),
        format!("  Lightning address  npub1…@{}", world.lightning_host()),
        format!("  logs               {}", world.dir().display()),
        format!("  encli --config {} instance ls", encli.config().display()),
        format!("{END_LINE} kill {}", std::process::id()),
    ]
    .join("\n"))
}

/// Keeps the world until this process is asked to end.
pub(super) async fn hold(world: World) -> Result<()> {
    let mut termination = service::Termination::listen()?;
    termination.wait().await;
    world.stop().await
}
