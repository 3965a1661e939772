//! Clients of the guest API under Node.js: ours in TypeScript, type-checked by `tsc` and run; and `ws` on the
//! reference's WebSocket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bollard::query_parameters::InspectContainerOptions;
use devnet::helper::HelperBinary;
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use protocol::nec::VerifiedStatement;
use protocol::rpc::enclaved::{ContainerStatus, LaunchReply};
use protocol::statement::merkle::Hash;
use protocol::statement::{Claim, StatementProof};
use serde_json::{Value, json};
use tokio::process::Command;
use units::Stopwatch;

use super::doors::client;
use crate::npm;

const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn node_uses_the_guest_api_by_both_doors() -> Result<()> {
    let world = World::start(WorldOptions::new(HelperBinary::find()?), |step| println!("{step}")).await?;
    let outcome = by_both_doors(&world).await;
    if outcome.is_err() {
        println!("{}", world.daemon_log()?);
    }
    outcome.and(world.stop().await)
}

async fn by_both_doors(world: &World) -> Result<()> {
    let image = world.push(&World::busybox(World::SERVE, "guest"), "guest").await?;
    let owner = Keys::generate();
    let params = json!({"docker": image, "units": 1, "ports": [8080]});
    let launched: LaunchReply = client::status_of(world, &owner, "launch", params).await?;
    let pubkey = launched.pubkey;
    world.pay_from_faucet(&launched.invoice.invoice).await?;
    client::wait_for(world, &owner, &pubkey, "deployed").await?;
    let folder = tempfile::tempdir()?;
    let compiled = compile(folder.path()).await?;
    typescript(world, &owner, &pubkey, &compiled).await?;
    websocket(world, &pubkey).await
}

/// Type-checks and compiles the client. A fault of its types fails here.
async fn compile(folder: &Path) -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../containers/echo/clients/guest.ts");
    std::fs::copy(&source, folder.join("guest.ts")).with_context(|| source.display().to_string())?;
    std::fs::write(folder.join("package.json"), r#"{"type": "module"}"#)?;
    let installed = npm::installed()?;
    let output = Command::new("node")
        .arg(installed.join("node_modules/typescript/bin/tsc"))
        .args(["--strict", "--noUnusedLocals", "--noUnusedParameters", "--noImplicitReturns"])
        .args(["--target", "es2022", "--module", "nodenext", "--moduleResolution", "nodenext"])
        .args(["--types", "node", "--typeRoots"])
        .arg(installed.join("node_modules/@types"))
        .arg("guest.ts")
        .current_dir(folder)
        .output()
        .await?;
    ensure!(output.status.success(), "tsc: {}", String::from_utf8_lossy(&output.stdout));
    Ok(folder.join("guest.js"))
}

async fn typescript(world: &World, owner: &Keys, pubkey: &PublicKey, compiled: &Path) -> Result<()> {
    let init = world.enclave().init_pid();
    let socket = format!("/proc/{init}/root/run/enclaved/{}/guest.sock", engine_name(pubkey));
    let app = Keys::generate().public_key();
    let mut node = Command::new("node");
    node.arg(npm::sources().join("guest.mjs")).arg(compiled).args([socket, app.to_hex()]);
    let said = run(node).await?;
    let status: ContainerStatus =
        client::status_of(world, owner, "status", json!({"pubkey": pubkey})).await?;
    ensure!(
        said["info"]["pubkey"] == pubkey.to_hex() && said["info"]["owner"] == owner.public_key().to_hex()
    );
    ensure!(said["manifest"]["manifest_sha256"] == status.info.manifest_sha256, "{said}");
    ensure!(status.info.app_pubkey == Some(app), "{status:?}");
    let proof: StatementProof = serde_json::from_value(said["proof"].clone())?;
    let verified = VerifiedStatement::verify(&proof, &world.policy()?)?;
    ensure!(verified.statement().claim == Claim::Attest { digest: Hash([0x5a; 32]) });
    ensure!(verified.certified().pubkey == *pubkey);
    ensure!(said["certificate"]["certs"].as_array().is_some_and(|certs| !certs.is_empty()), "{said}");
    let keys = said["keys"].as_array().context("keys")?;
    ensure!(keys[0] == keys[1] && keys[0] != keys[2] && keys[0].as_str().map(str::len) == Some(64));
    ensure!(said["wallet"].as_str().is_some_and(|uri| uri.starts_with("nostr+walletconnect://")));
    let refused = |code: &str, status: u16| json!({"known": true, "code": code, "status": status});
    ensure!(said["unknown"] == refused("method_unknown", 404), "{}", said["unknown"]);
    ensure!(said["plain"] == refused("params_invalid", 400), "{}", said["plain"]);
    ensure!(said["wrong"] == refused("params_invalid", 400), "{}", said["wrong"]);
    heard(world, "hello from typescript").await
}

/// From the container's own network, where alone it is answered.
async fn websocket(world: &World, pubkey: &PublicKey) -> Result<()> {
    let docker = world.engine().client();
    let found = docker.inspect_container(&engine_name(pubkey), None::<InspectContainerOptions>).await?;
    let pid = found.state.and_then(|state| state.pid).context("it does not run")?;
    let env = found.config.and_then(|config| config.env).unwrap_or_default();
    let of = |name: &str| {
        env.iter().find_map(|line| line.strip_prefix(name)).map(str::to_owned).context("no such variable")
    };
    let init = world.enclave().init_pid();
    let mut node = Command::new("nsenter");
    node.arg(format!("--net=/proc/{init}/root/proc/{pid}/ns/net"))
        .arg("node")
        .arg(npm::sources().join("websocket.mjs"))
        .arg(npm::installed()?)
        .args([of("ENCLAVED_ENDPOINT=")?, of("ENCLAVED_TOKEN=")?]);
    let said = run(node).await?;
    ensure!(said["refused"] == 401, "{said}");
    ensure!(
        said["answers"][0]["id"] == "1"
            && said["answers"][0]["result"]["container"]["pubkey"] == pubkey.to_hex(),
        "{said}"
    );
    ensure!(said["answers"][1]["error"].is_null() && said["answers"][1]["id"] == "2", "{said}");
    ensure!(said["answers"][2]["code"] == "method_unknown" && said["answers"][2]["id"] == "3", "{said}");
    ensure!(said["answers"][3]["code"] == "bad_request", "{said}");
    heard(world, "hello from ws").await
}

/// What a container logs goes to the operator, through the parent.
async fn heard(world: &World, text: &str) -> Result<()> {
    let took = Stopwatch::start();
    while !world.parent_log()?.contains(text) {
        ensure!(took.elapsed() < WAIT, "{text} is not in the operator's log");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

async fn run(mut node: Command) -> Result<Value> {
    let output = node.kill_on_drop(true).output().await.context("cannot start node: run scripts/install")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).with_context(|| said.clone())
}

fn engine_name(pubkey: &PublicKey) -> String {
    format!("encl-{}", &pubkey.to_hex()[..24])
}
