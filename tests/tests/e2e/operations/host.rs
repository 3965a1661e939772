//! The operator's host: a folder for each variable of the guide, programs on the path, and `host`, which tells
//! the world what to start and stop.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devnet::world::{Build, KEYCRUX_REPO, REPO, World};
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use serde_json::{Value, json};
use tests::page::{Page, Step};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::process::Command;

/// The longest that the commands of one block may take.
const STEP_WAIT: Duration = Duration::from_secs(180);
/// Tells the world, and ends as it says. What it prints is what is asked for.
const HOST: &str = r#"#!/usr/bin/env python3
import os, socket, sys
with socket.socket(socket.AF_UNIX) as world:
    world.connect(os.environ["WORLD"])
    world.sendall((" ".join(sys.argv[1:]) + "\n").encode())
    answer = world.makefile().read()
status, _, printed = answer.partition("\n")
print(printed, end="")
sys.exit(int(status))
"#;

pub(super) struct Host {
    dir: PathBuf,
    listener: UnixListener,
    server: String,
}

impl Host {
    pub(super) async fn new(world: &World, page: &Page) -> Result<Self> {
        let dir = world.dir().join("operator");
        for folder in ["bin", "keys", "copy", "work", ".config/encli"] {
            std::fs::create_dir_all(dir.join(folder))?;
        }
        write_program(&dir.join("bin/host"), HOST)?;
        for (name, text) in &page.programs {
            write_program(&dir.join("bin").join(name), text)?;
        }
        std::os::unix::fs::symlink(world.options().program("encli")?, dir.join("bin/encli"))?;
        let operator = world.operator();
        let [alice, bob] = operator.maintainers();
        for (name, keys) in [("alice", alice), ("bob", bob), ("launcher", operator.launcher())] {
            std::fs::write(dir.join("keys").join(name), keys.secret_key().to_secret_hex())?;
        }
        std::fs::write(dir.join(".config/encli/config.toml"), encli_config(world)?)?;
        for version in ["0.2.0", "0.3.0", "0.3.1"] {
            let [pcr0, pcr1, pcr2] = Build::new(version).pcrs;
            let measured = json!({"Measurements": {"PCR0": pcr0, "PCR1": pcr1, "PCR2": pcr2}});
            std::fs::create_dir_all(dir.join(version))?;
            std::fs::write(dir.join(version).join("pcrs.json"), measured.to_string())?;
            std::fs::write(dir.join(version).join("enclaved.json"), measured_config(world, version)?)?;
        }
        // The image of 0.2.5, signed again under a later version: it is the image that is revoked.
        let faulty = Build { version: "0.4.0".into(), ..Build::new("0.2.5") };
        write_releases(&dir.join("0.2.5"), &operator.releases(&faulty)?)?;
        write_releases(&dir.join("0.1.0"), &operator.releases(operator.build())?)?;
        let listener = UnixListener::bind(dir.join("world.sock"))?;
        Ok(Self { dir, listener, server: world.service()?.to_bech32()? })
    }

    /// Runs the commands of a block in one shell, which stops at the first that fails.
    pub(super) async fn run(&self, world: &mut World, step: &Step) -> Result<()> {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-eu", "-c", &step.commands]).current_dir(self.dir.join("work")).env_clear();
        for (name, folder) in [
            ("HOME", ""),
            ("KEYS", "keys"),
            ("COPY", "copy"),
            ("NEXT", "0.2.0"),
            ("FIXED", "0.3.0"),
            ("LOOSER", "0.3.1"),
            ("OLD", "0.1.0"),
            ("FAULTY", "0.2.5"),
            ("WORLD", "world.sock"),
        ] {
            shell.env(name, self.dir.join(folder));
        }
        shell
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.dir.join("bin").display()))
            .env("PARENT", world.operator().dir())
            .env("BACKUPS", world.dir().join("backups"))
            .env("SERVER", &self.server)
            .env("REPO", REPO)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let running = shell.spawn()?.wait_with_output();
        tokio::pin!(running);
        let whole = async {
            loop {
                tokio::select! {
                    output = &mut running => return Ok::<_, anyhow::Error>(output?),
                    asked = self.listener.accept() => self.answer(world, asked?.0).await?,
                }
            }
        };
        let output = tokio::time::timeout(STEP_WAIT, whole).await.context("the commands did not end")??;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("section {}: {}\n{said}", step.section, output.status);
        ensure!(output.status.success(), "{}: {said}", output.status);
        Ok(())
    }

    /// Carries out what one call of `host` asks for.
    async fn answer(&self, world: &mut World, stream: tokio::net::UnixStream) -> Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match carry_out(world, &words).await {
            Ok(printed) => format!("0\n{printed}"),
            Err(e) => format!("1\n{e:#}\n"),
        };
        stream.write_all(answer.as_bytes()).await?;
        Ok(stream.shutdown().await?)
    }
}

async fn carry_out(world: &mut World, words: &[&str]) -> Result<String> {
    let store = |number: &str| -> Result<usize> { number.parse::<usize>()?.checked_sub(1).context("from 1") };
    match words {
        ["start", "enclave", image] => {
            let version = image.strip_prefix("enclaved-").and_then(|rest| rest.strip_suffix(".eif"));
            let version = version.context("no such image")?;
            install(world, version).await?;
            world.mark_parent_log()?;
            world.spawn_daemon()?;
        }
        ["stop", "enclave"] => {
            // As the guide has it: the parent is restarted, and tells the enclave.
            world.end_by_parent().await?;
            world.wipe_disk().await?;
            world.start_parent(world.backups().to_owned()).await?;
        }
        ["kill", "enclave"] => world.lose_enclave().await?,
        ["start", "parent"] => world.start_parent(world.backups().to_owned()).await?,
        ["kill", "parent"] => world.kill_parent().await?,
        ["log", "parent"] => return world.parent_log_since_mark(),
        ["start", "keycrux", number] => world.key_stores_mut()?.start_again(store(number)?)?,
        ["stop", "keycrux", number] => world.key_stores_mut()?.kill(store(number)?).await?,
        other => bail!("the host knows no {other:?}"),
    }
    Ok(String::new())
}

/// Lets the machine measure that build, with its own configuration, unless it does already.
async fn install(world: &mut World, version: &str) -> Result<()> {
    if world.operator().build().version == version {
        return Ok(());
    }
    world.reconfigure_release(rules(world, version))?;
    world.install(Build::new(version)).await
}

/// What a build says of releases besides who the maintainers are.
fn rules(world: &World, version: &str) -> Value {
    let revoked = [Build::new("0.2.5").pcrs[0]];
    let maintainers = world.operator().maintainers().iter().map(Keys::public_key).collect::<Vec<_>>();
    let founders = json!({"maintainers": maintainers, "threshold": 2});
    match version {
        "0.3.0" => json!({"revoked": revoked}),
        "0.3.1" => json!({"revoked": revoked, "threshold": 1, "founders": founders}),
        _ => json!({}),
    }
}

/// The configuration that is in the image of a build.
fn measured_config(world: &World, version: &str) -> Result<String> {
    let mut config: Value = serde_json::from_slice(&std::fs::read(world.daemon_config())?)?;
    for (name, rule) in rules(world, version).as_object().context("rules are an object")? {
        config["release"][name] = rule.clone();
    }
    Ok(config.to_string())
}

fn write_program(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}

fn write_releases(dir: &Path, releases: &[nostr::event::Event]) -> Result<()> {
    std::fs::create_dir_all(dir)?;
    for (number, release) in releases.iter().enumerate() {
        std::fs::write(dir.join(format!("{number}.json")), serde_json::to_string(release)?)?;
    }
    Ok(())
}

/// As the guide has it.
fn encli_config(world: &World) -> Result<String> {
    let npubs = |keys: &[Keys]| -> Result<Vec<String>> {
        keys.iter().map(|keys| Ok(keys.public_key().to_bech32()?)).collect()
    };
    let stores = world.key_stores()?;
    Ok(format!(
        "relay = [{:?}]\nref = {REPO:?}\nmaintainer = {:?}\nthreshold = 2\ntrust-root = {:?}\n\n\
         [keycrux]\nref = {KEYCRUX_REPO:?}\nmaintainer = {:?}\nthreshold = 2\nlauncher = {:?}\n",
        world.relay_url(),
        npubs(world.operator().maintainers())?,
        world.trust_root().display().to_string(),
        npubs(stores.maintainers())?,
        npubs(stores.launchers())?,
    ))
}
