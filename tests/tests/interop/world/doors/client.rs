//! `nostr-tools` and `curl`, driven.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::rpc::enclaved::{ContainerParams, ContainerStatus};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use units::Stopwatch;

use crate::npm;

const WAIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A client of `nostr-tools` with one key.
#[derive(Debug)]
pub(super) struct Talker {
    keys: Keys,
    _node: Child,
    tasks: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Talker {
    pub(super) async fn start(world: &World, keys: &Keys) -> Result<Self> {
        let mut node = npm::start("talk.mjs", &[world.relay_url(), world.service()?.to_hex()])?;
        let mut tasks = node.stdin.take().context("no stdin")?;
        let secret = keys.secret_key().to_secret_hex();
        tasks.write_all(format!("{secret}\n").as_bytes()).await?;
        let shown = std::fs::read_to_string(format!("/proc/{}/cmdline", node.id().context("node ended")?))?;
        ensure!(!shown.contains(&secret), "the list of processes shows the key");
        let answers = BufReader::new(node.stdout.take().context("no stdout")?).lines();
        Ok(Self { keys: keys.clone(), _node: node, tasks, answers })
    }

    pub(super) const fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) async fn ask(&mut self, task: Value) -> Result<Value> {
        self.tasks.write_all(format!("{task}\n").as_bytes()).await?;
        let line = tokio::time::timeout(WAIT, self.answers.next_line()).await.context("node hangs")??;
        Ok(serde_json::from_str(&line.context("node ended")?)?)
    }

    /// Says something and returns the one answer, which must come the same way.
    pub(super) async fn say(&mut self, channel: &str, text: &str) -> Result<String> {
        let came = self.ask(json!({"do": "say", "channel": channel, "text": text, "quiet_ms": 300})).await?;
        let answers = came["answers"].as_array().context("answers")?;
        let [answer] = answers.as_slice() else { bail!("{text}: {came}") };
        ensure!(answer["channel"] == channel, "{text} by {channel}: {answer}");
        Ok(answer["text"].as_str().context("text")?.to_owned())
    }

    pub(super) async fn token(&mut self, url: &str, method: &str, body: Option<&Value>) -> Result<String> {
        let mut task = json!({"do": "token", "url": url, "method": method});
        if let Some(body) = body {
            task["body"] = body.clone();
        }
        Ok(self.ask(task).await?["token"].as_str().context("token")?.to_owned())
    }
}

/// `curl` against the server.
#[derive(Debug)]
pub(super) struct Curl {
    url: String,
}

impl Curl {
    pub(super) fn new(world: &World) -> Self {
        Self { url: world.http_url() }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    fn command(&self, path: &str, token: Option<&str>) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", &self.url(path)]);
        if let Some(token) = token {
            curl.args(["--header", &format!("Authorization: {token}")]);
        }
        curl.kill_on_drop(true).stdin(Stdio::null());
        curl
    }

    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Result<(u16, Value)> {
        answer(self.command(path, token)).await
    }

    /// The status and the headers, by their names in small letters.
    pub(super) async fn headers(&self, path: &str, more: &[&str]) -> Result<(u16, Vec<(String, String)>)> {
        let mut curl = self.command(path, None);
        curl.args(more).args(["--max-time", "30", "--include", "--output", "-"]);
        let output = curl.output().await?;
        ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let mut lines = text.lines().take_while(|line| !line.is_empty());
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok((status, headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()))
    }

    /// Posts what it signs, and wants this status.
    pub(super) async fn post(
        &self,
        talker: &mut Talker,
        path: &str,
        body: Option<&Value>,
        wanted: u16,
    ) -> Result<Value> {
        let token = talker.token(&self.url(path), "POST", body).await?;
        let mut curl = self.command(path, Some(&token));
        curl.args(["--request", "POST"]);
        if let Some(body) = body {
            curl.args(["--header", "Content-Type: application/json", "--data", &body.to_string()]);
        }
        let (status, value) = answer(curl).await?;
        ensure!(status == wanted, "{path}: {status} {value}");
        Ok(value)
    }

    pub(super) fn stream(&self, path: &str, token: &str) -> Result<Stream> {
        let mut curl = self.command(path, Some(token));
        let mut child = curl.arg("--no-buffer").stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Stream { _curl: child, lines })
    }
}

async fn answer(mut curl: Command) -> Result<(u16, Value)> {
    let output = curl.args(["--max-time", "30", "--write-out", "\n%{http_code}"]).output().await?;
    ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let (body, status) = text.rsplit_once('\n').context("no status")?;
    let value = serde_json::from_str(body).with_context(|| body.to_owned())?;
    Ok((status.parse()?, value))
}

/// Server-sent events as `curl` prints them.
#[derive(Debug)]
pub(super) struct Stream {
    _curl: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Stream {
    pub(super) async fn wait_for(&mut self, part: &str) -> Result<()> {
        let found = async {
            while let Some(line) = self.lines.next_line().await? {
                if line.starts_with("data:") && line.contains(part) {
                    return Ok(());
                }
            }
            bail!("the stream ended without {part}")
        };
        tokio::time::timeout(WAIT, found).await.with_context(|| format!("no {part}"))?
    }
}

/// What RPC answers to this key.
pub(crate) async fn status_of<T: DeserializeOwned>(
    world: &World,
    keys: &Keys,
    method: &str,
    params: Value,
) -> Result<T> {
    Ok(world.rpc(keys).await?.call(method, &params, WAIT).await?)
}

pub(crate) async fn wait_for(world: &World, keys: &Keys, pubkey: &PublicKey, state: &str) -> Result<()> {
    let (rpc, took) = (world.rpc(keys).await?, Stopwatch::start());
    loop {
        let status: ContainerStatus = rpc.call("status", &ContainerParams { pubkey: *pubkey }, WAIT).await?;
        if status.info.state == state {
            return Ok(());
        }
        ensure!(took.elapsed() < WAIT, "not {state} but {status:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
