//! Alby's packages, driven line by line (`npm/wallet.mjs`).

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use super::stage::DEADLINE;
use crate::npm;

/// How a client encrypts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Encryption {
    /// What the package prefers.
    Nip44,
    /// What older versions of it speak.
    Nip04,
}

/// A running driver with any number of clients.
pub(crate) struct Sdk {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    last_id: u64,
    answers: Vec<Value>,
    heard: Vec<(String, Value)>,
}

/// A question that is not answered yet.
#[derive(Debug)]
pub(crate) struct Asked(u64);

impl Sdk {
    pub(crate) fn start() -> Result<Self> {
        let mut child = npm::start("wallet.mjs", &[])?;
        let stdin = child.stdin.take().context("no stdin")?;
        let lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        Ok(Self { _child: child, stdin, lines, last_id: 0, answers: Vec::new(), heard: Vec::new() })
    }

    /// Makes a client of this connection string.
    pub(crate) async fn open(&mut self, client: &str, url: &str, encryption: Encryption) -> Result<()> {
        let encryption = match encryption {
            Encryption::Nip44 => Value::Null,
            Encryption::Nip04 => "nip04".into(),
        };
        self.ok(client, "open", json!({"url": url, "encryption": encryption})).await.map(drop)
    }

    /// Asks, without waiting for the answer.
    pub(crate) async fn ask(&mut self, client: &str, method: &str, args: Value) -> Result<Asked> {
        self.last_id += 1;
        let line = json!({"id": self.last_id, "client": client, "method": method, "args": args});
        self.stdin.write_all(format!("{line}\n").as_bytes()).await?;
        Ok(Asked(self.last_id))
    }

    /// Waits for an answer: what the package returned, or what it threw.
    pub(crate) async fn answer(&mut self, asked: &Asked) -> Result<std::result::Result<Value, Value>> {
        loop {
            if let Some(at) = self.answers.iter().position(|answer| answer["id"] == asked.0) {
                let answer = self.answers.swap_remove(at);
                return Ok(answer.get("error").cloned().map_or(Ok(answer["ok"].clone()), Err));
            }
            self.read().await?;
        }
    }

    /// Whether the answer is there already.
    pub(crate) fn is_answered(&self, asked: &Asked) -> bool {
        self.answers.iter().any(|answer| answer["id"] == asked.0)
    }

    /// What a method returns.
    pub(crate) async fn ok(&mut self, client: &str, method: &str, args: Value) -> Result<Value> {
        let asked = self.ask(client, method, args).await?;
        self.answer(&asked).await?.map_err(|error| anyhow::anyhow!("{client}.{method} threw {error}"))
    }

    /// The code of what a method throws, which must be the wallet's own refusal.
    pub(crate) async fn refusal(&mut self, client: &str, method: &str, args: Value) -> Result<String> {
        let asked = self.ask(client, method, args).await?;
        match self.answer(&asked).await? {
            Ok(value) => bail!("{client}.{method} returned {value}"),
            Err(error) => {
                ensure!(error["name"] == "Nip47WalletError", "{client}.{method} threw {error}");
                Ok(error["code"].as_str().context("no code")?.to_owned())
            }
        }
    }

    /// The next notification that a client hears, of this type.
    pub(crate) async fn heard(&mut self, client: &str, kind: &str) -> Result<Value> {
        let wanted = |(name, heard): &(String, Value)| name == client && heard["notification_type"] == kind;
        loop {
            if let Some(at) = self.heard.iter().position(wanted) {
                return Ok(self.heard.remove(at).1["notification"].take());
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<()> {
        let line = timeout(DEADLINE, self.lines.next_line()).await.context("the package says nothing")??;
        let mut value: Value = serde_json::from_str(&line.context("node has ended")?)?;
        if value.get("heard").is_some() {
            let client = value["client"].as_str().unwrap_or_default().to_owned();
            self.heard.push((client, value["heard"].take()));
        } else {
            self.answers.push(value);
        }
        Ok(())
    }
}
