//! No sequence of commands by one key changes or reveals anything of another key's container.
//!
//! Random sequences, by every method that there is, on another's container and on one's own, with ids
//! used again and requests cut short: afterwards the other's container is as it was, and nothing that
//! was answered holds what only its owner may know.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use protocol::rpc::enclaved::ContainerStatus;
use relay::rpc::RpcError;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

/// Sequences, and the longest.
const SEQUENCES: usize = 12;
const STEPS_MAX: usize = 25;
/// What only the owner knows: in its environment, and in what its process writes.
const SECRET: &str = "hunter2-in-env";
const OUTPUT: &str = "written-inside";
/// Every method, and one that is none.
const METHODS: [&str; 24] = [
    "ping",
    "price",
    "quote",
    "launch",
    "info",
    "status",
    "list",
    "logs",
    "stats",
    "events",
    "receipts",
    "topup",
    "withdraw",
    "pause",
    "resume",
    "exec",
    "transfer",
    "upgrade",
    "pin",
    "unpin",
    "upgrades",
    "set_env",
    "terminate",
    "own",
];

/// One command, before it is known of whom.
#[derive(Clone, Debug)]
struct Step {
    method: &'static str,
    /// The other's container rather than one's own.
    of_other: bool,
    as_npub: bool,
    /// The id is one of a few, so that ids come again.
    id: u8,
    number: i64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop::sample::select(&METHODS[..]),
        prop::bool::weighted(0.8),
        any::<bool>(),
        0_u8..6,
        -1_i64..3_000,
    )
        .prop_map(|(method, of_other, as_npub, id, number)| Step {
            method,
            of_other,
            as_npub,
            id,
            number,
        });
    prop::collection::vec(step, 1..STEPS_MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_apart() -> Result<()> {
    let options = WorldOptions { unpaid_max: 64, ..calm()? };
    in_world(options, async |world| {
        let script = format!("while true; do echo {OUTPUT}; sleep 1; done & {}", World::SERVE);
        let image = world.push(&World::busybox(&script, "page"), "app").await?;
        let (owner, eve) = (Stranger::with(world, 1_000).await?, Stranger::with(world, 1_000).await?);
        let victim = run(&owner, &image).await?;
        let own = run(&eve, &image).await?;
        let before = View::of(world, &owner, &victim).await?;
        ensure!(before.answers["logs"].contains(OUTPUT), "{before:?}");
        let secrets = before.secrets()?;

        // The seed is fixed: a failure comes again.
        let rng = TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let mut refused = 0;
        for _ in 0..SEQUENCES {
            let sequence = steps().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
            for step in &sequence {
                refused += carry_out(&eve, step, &victim, &own, &image, &secrets).await?;
            }
            let after = View::of(world, &owner, &victim).await?;
            ensure!(after == before, "{sequence:?}\n{before:?}\n{after:?}");
        }
        println!("{refused} commands were refused");
        ensure!(refused > SEQUENCES, "the sequences do not touch the other's container");
        Ok(())
    })
    .await
}

async fn run(who: &Stranger, image: &str) -> Result<PublicKey> {
    let extra = json!({"name": "app", "env": {"TOKEN": SECRET}, "ports": [8080], "exec": true});
    let pubkey = who.run(image, extra).await?;
    who.wait_settled(&pubkey).await?;
    Ok(pubkey)
}

/// Carries out one step and looks at what is answered; 1 if it was refused as another's.
async fn carry_out(
    eve: &Stranger,
    step: &Step,
    victim: &PublicKey,
    own: &PublicKey,
    image: &str,
    secrets: &[String],
) -> Result<usize> {
    let (mut method, mut of) = (step.method, if step.of_other { *victim } else { *own });
    // Its own container is given away now and then, to somebody who is neither.
    if method == "own" {
        (method, of) = ("transfer", *own);
    }
    let key = if step.as_npub { of.to_bech32()? } else { of.to_hex() };
    let mut params = json!({"pubkey": key});
    let more = match method {
        "ping" | "price" | "list" => Some(json!({})),
        "quote" | "launch" => Some(json!({"docker": image, "units": 1, "env": {"TOKEN": "mine"}})),
        "topup" => Some(json!({"pubkey": key, "amount_msat": step.number})),
        "withdraw" => Some(json!({"pubkey": key, "invoice": eve.invoice(1_000).await?})),
        "exec" => Some(json!({"pubkey": key, "command": ["/bin/sh", "-c", "echo $TOKEN"]})),
        "transfer" => Some(json!({"pubkey": key, "owner": Keys::generate().public_key()})),
        "upgrade" => Some(json!({"pubkey": key, "docker": image})),
        "logs" => Some(json!({"pubkey": key, "lines": step.number})),
        _ => None,
    };
    if let Some(more) = more {
        params = more;
    }
    let id = format!("id-{}-{method}", step.id);
    let answer = eve.rpc.call_as::<Value>(&id, method, &params, SOON).await;
    let (text, is_refused) = match &answer {
        Ok(value) => (value.to_string(), false),
        Err(RpcError::Refused(refusal)) => (refusal.message.clone(), refusal.code == "not_owner"),
        Err(other) => anyhow::bail!("{step:?}: {other}"),
    };
    for secret in secrets {
        // Its own container has the same environment and writes the same; salts and hashes differ.
        let is_own = !step.of_other && (secret == SECRET || secret == OUTPUT);
        ensure!(is_own || !text.contains(secret.as_str()), "{step:?} reveals {secret}: {text}");
    }
    let public = ["ping", "price", "quote", "launch", "info", "topup", "list"].contains(&method);
    ensure!(public || !step.of_other || of != *victim || answer.is_err(), "{step:?} was answered: {text}");
    Ok(usize::from(is_refused))
}

/// A container as its owner and the database have it.
#[derive(Debug, Eq, PartialEq)]
struct View {
    answers: BTreeMap<&'static str, String>,
    row: Vec<String>,
    status: String,
}

impl View {
    async fn of(world: &World, owner: &Stranger, pubkey: &PublicKey) -> Result<Self> {
        let mut answers = BTreeMap::new();
        for method in ["info", "events", "receipts", "upgrades"] {
            let mut value: Value = owner.call(method, json!({"pubkey": pubkey})).await?;
            // The evidence beside the receipts is signed anew each time.
            value.as_object_mut().and_then(|fields| fields.remove("evidence"));
            answers.insert(method, value.to_string());
        }
        let logs: Value = owner.call("logs", json!({"pubkey": pubkey, "lines": 1})).await?;
        answers.insert("logs", logs["lines"][0]["text"].to_string());
        let status: ContainerStatus = owner.call("status", json!({"pubkey": pubkey})).await?;
        Ok(Self { answers, row: row(world, pubkey)?, status: serde_json::to_string(&status)? })
    }

    /// Texts that nobody else may see.
    fn secrets(&self) -> Result<Vec<String>> {
        let status: Value = serde_json::from_str(&self.status)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let secrets = [
            SECRET.to_owned(),
            OUTPUT.to_owned(),
            text(&status["salt"]),
            text(&status["manifest"]["env"]["TOKEN"]),
        ];
        ensure!(secrets.iter().all(|secret| secret.len() > 8), "{status}");
        Ok(secrets.into())
    }
}

/// Its row in the database, every column.
fn row(world: &World, pubkey: &PublicKey) -> Result<Vec<String>> {
    let file = world.state_dir().join("state.db");
    let state = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = state.prepare("SELECT * FROM containers WHERE pubkey = ?1")?;
    let columns = statement.column_count();
    Ok(statement.query_row([pubkey.to_bytes()], |row| {
        (0..columns).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect()
    })?)
}
