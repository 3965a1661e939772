//! No sequence of commands by one key changes or reveals anything of another key's container.
//!
//! The other's container has everything switched on that a command could use. Every method that there is is
//! tried on it by every way in, well-formed, so that it comes as far as the question whose it is; then random
//! sequences of them, on it and on one's own, with ids used again. Afterwards the other's container is as it
//! was, to the byte, and nothing that was answered holds what only its owner may know.

mod doors;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use devnet::world::{World, WorldOptions};
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use protocol::rpc::enclaved::{ContainerList, TopupReply};
use protocol::secrets::Secrets;
use serde_json::{Value, json};

use crate::in_world::{calm, in_world};
use crate::stranger::{Stranger, get};
use doors::{Door, Doors, Said};
use view::View;

/// Sequences, and the longest.
const SEQUENCES: usize = 8;
const STEPS_MAX: usize = 25;
/// Messages in all: a key may write one a second in the long run. The rest goes by HTTP.
const LETTERS_MAX: usize = 20;
/// What only the owner knows: in its environment, its secrets, its volume, and what its process writes.
const SECRETS: [&str; 4] = ["hunter2-in-env", "hunter2-in-secrets", "hunter2-in-volume", "hunter2-in-output"];

/// What a method does to who asks it of another's container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Guard {
    /// It is refused.
    Owner,
    /// It is for everybody, or of nobody's container.
    Open,
}

/// What there is over HTTP alone.
const STREAMS: [&str; 2] = ["watch", "follow"];

/// Every method, and how it is guarded.
const METHODS: [(&str, Guard); 27] = [
    ("status", Guard::Owner),
    ("logs", Guard::Owner),
    ("stats", Guard::Owner),
    ("events", Guard::Owner),
    ("receipts", Guard::Owner),
    ("upgrades", Guard::Owner),
    ("withdraw", Guard::Owner),
    ("pause", Guard::Owner),
    ("resume", Guard::Owner),
    ("exec", Guard::Owner),
    ("upgrade", Guard::Owner),
    ("pin", Guard::Owner),
    ("unpin", Guard::Owner),
    ("set_env", Guard::Owner),
    ("transfer", Guard::Owner),
    ("accept_transfer", Guard::Owner),
    ("cancel_transfer", Guard::Owner),
    ("terminate", Guard::Owner),
    (STREAMS[0], Guard::Owner),
    (STREAMS[1], Guard::Owner),
    ("info", Guard::Open),
    ("topup", Guard::Open),
    ("list", Guard::Open),
    ("price", Guard::Open),
    ("quote", Guard::Open),
    ("launch", Guard::Open),
    ("ping", Guard::Open),
];

/// A method that is not in the table is not tried on another's container.
#[test]
fn table_has_every_method_of_the_server() {
    let tried: BTreeSet<&str> = METHODS.iter().map(|(method, _)| *method).collect();
    let served: BTreeSet<&str> = enclaved::api::methods::names().chain(STREAMS).collect();
    assert_eq!(tried, served);
    assert_eq!(tried.len(), METHODS.len(), "one of them is there twice");
}

/// One command, before it is known of whom.
#[derive(Clone, Debug)]
struct Step {
    method: (&'static str, Guard),
    door: Door,
    /// The other's container rather than one's own.
    of_other: bool,
    as_npub: bool,
    /// The id is one of a few, so that ids come again.
    id: u8,
}

/// Who attacks, and with what.
struct Eve {
    who: Stranger,
    doors: Doors,
    own: PublicKey,
    image: String,
    next_image: String,
    letters: usize,
    /// How often each method came as far as the question whose container it is, by each way in.
    guarded: BTreeMap<(&'static str, Door), usize>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        prop::sample::select(&METHODS[..]),
        prop::sample::select(&Door::ALL[..]),
        prop::bool::weighted(0.8),
        any::<bool>(),
        0_u8..6,
    )
        .prop_map(|(method, door, of_other, as_npub, id)| Step { method, door, of_other, as_npub, id });
    prop::collection::vec(step, 1..STEPS_MAX)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_kept_apart() -> Result<()> {
    let options = WorldOptions { unpaid_max: 64, ..calm()? };
    in_world(options, async |world| {
        let (owner, victim) = victim(world).await?;
        let mut eve = Eve::new(world).await?;
        let before = View::of(world, &owner, &victim).await?;
        let secrets = before.secrets()?;

        for method in METHODS {
            for door in Door::ALL {
                let step = Step { method, door, of_other: true, as_npub: door != Door::Rpc, id: 0 };
                eve.carry_out(&step, &victim, &secrets).await?;
            }
        }
        let after = View::of(world, &owner, &victim).await?;
        ensure!(after == before, "one of each:\n{before:?}\n{after:?}");

        // The seed is fixed: a failure comes again.
        let rng = TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        for _ in 0..SEQUENCES {
            let sequence = steps().new_tree(&mut runner).map_err(anyhow::Error::msg)?.current();
            for step in &sequence {
                eve.carry_out(step, &victim, &secrets).await?;
            }
            let after = View::of(world, &owner, &victim).await?;
            ensure!(after == before, "{sequence:?}\n{before:?}\n{after:?}");
        }
        eve.check_reached()
    })
    .await
}

/// A container with all that a launch can have.
async fn victim(world: &World) -> Result<(Stranger, PublicKey)> {
    let [env, secret, volume, output] = SECRETS;
    let owner = Stranger::with(world, 1_000).await?;
    let script = format!("echo {output}; echo {volume} > /data/note; {}", World::SERVE);
    let image = world.push(&World::busybox(&script, "page"), "victim").await?;
    let secrets: Secrets = serde_json::from_value(json!({"env": {"PASSWORD": secret}}))?;
    let sealed = secrets.seal(owner.keys.secret_key(), &world.service()?)?;
    let all = json!({
        "name": "victim", "env": {"TOKEN": env}, "secrets": sealed, "ports": [8080], "volumes": ["/data"],
        "upgrade": "owner", "exec": true, "logs": true, "egress": "all",
    });
    let pubkey = owner.run(&image, all).await?;
    owner.wait_settled(&pubkey).await?;
    get(&owner.url(&pubkey).await?).await?;
    // There is something to withdraw, too.
    let topup: TopupReply = owner.call("topup", json!({"pubkey": pubkey, "amount_msat": 50_000})).await?;
    owner.pay(&topup.invoice.invoice).await?;
    view::wait_for_balance(&owner, &pubkey, 50_000).await?;
    Ok((owner, pubkey))
}

impl Eve {
    async fn new(world: &World) -> Result<Self> {
        let who = Stranger::with(world, 1_000).await?;
        let image = world.push(&World::busybox(World::SERVE, "own"), "own").await?;
        let next_image = world.push(&World::busybox(World::SERVE, "next"), "next").await?;
        let doors = Doors::open(world, &who).await?;
        let own = run(&who, &image).await?;
        Ok(Self { who, doors, own, image, next_image, letters: 0, guarded: BTreeMap::new() })
    }

    /// Carries out one step, and looks at what is answered.
    async fn carry_out(&mut self, step: &Step, victim: &PublicKey, secrets: &[String]) -> Result<()> {
        let (method, guard) = step.method;
        // A stream of one's own does not end.
        if !step.door.has(method) || (!step.of_other && STREAMS.contains(&method)) {
            return Ok(());
        }
        let of = if step.of_other { *victim } else { self.own };
        let params = self.params(method, &of, step.as_npub).await?;
        let mut door = step.door;
        if door == Door::Message {
            self.letters += 1;
            door = if self.letters > LETTERS_MAX { Door::Http } else { door };
        }
        let id = format!("id-{}-{method}", step.id);
        let Some(Said { text, code }) = self.doors.ask(door, method, &params, &id).await? else {
            return Ok(());
        };
        for secret in secrets {
            ensure!(!text.contains(secret.as_str()), "{step:?} reveals {secret}: {text}");
        }
        if step.of_other && guard == Guard::Owner {
            // Another command had this id: it comes no further than that.
            let is_repeated = code.as_deref() == Some("id_reused");
            ensure!(is_repeated || code.as_deref() == Some("not_owner"), "{step:?} was answered: {text}");
            *self.guarded.entry((method, door)).or_default() += usize::from(!is_repeated);
        }
        if !step.of_other && matches!(method, "transfer" | "terminate") && code.is_none() {
            self.own = self.another().await?;
        }
        Ok(())
    }

    /// Another container of one's own. What was launched and not paid stands in its way.
    async fn another(&self) -> Result<PublicKey> {
        let list: ContainerList = self.who.call("list", json!({})).await?;
        for one in list.containers.iter().filter(|one| one.info.state == "waiting") {
            self.who.call::<Value>("terminate", json!({"pubkey": one.info.pubkey})).await?;
        }
        run(&self.who, &self.image).await
    }

    /// What a method wants, as its own documentation has it.
    async fn params(&self, method: &str, of: &PublicKey, as_npub: bool) -> Result<Value> {
        let key = if as_npub { of.to_bech32()? } else { of.to_hex() };
        Ok(match method {
            "ping" | "price" | "list" => json!({}),
            "quote" | "launch" => json!({"docker": self.image, "units": 1, "env": {"TOKEN": "mine"}}),
            "topup" => json!({"pubkey": key, "amount_msat": 5_000}),
            "withdraw" => json!({"pubkey": key, "invoice": self.who.invoice(1_000).await?}),
            "exec" => {
                let look = "env; cat /data/note /run/enclaved/secrets/*; echo x > /data/note";
                json!({"pubkey": key, "command": ["/bin/sh", "-c", look]})
            }
            "transfer" => json!({"pubkey": key, "owner": Keys::generate().public_key()}),
            "upgrade" => json!({"pubkey": key, "docker": self.next_image}),
            "set_env" => json!({"pubkey": key, "env": {"TOKEN": "changed"}}),
            "logs" => json!({"pubkey": key, "lines": 20}),
            "events" => json!({"pubkey": key, "limit": 20}),
            "receipts" => json!({"pubkey": key, "from": 0}),
            _ => json!({"pubkey": key}),
        })
    }

    /// Every guarded method was refused as another's by every way in that has it: for nothing else.
    fn check_reached(&self) -> Result<()> {
        for (method, guard) in METHODS {
            for door in Door::ALL {
                if guard == Guard::Owner && door.has(method) {
                    let times = self.guarded.get(&(method, door)).copied().unwrap_or_default();
                    ensure!(times > 0, "{method} by {door:?} never came to its guard");
                }
            }
        }
        let all: usize = self.guarded.values().sum();
        println!("{all} commands were refused as another's, {} kinds of them", self.guarded.len());
        Ok(())
    }
}

async fn run(who: &Stranger, image: &str) -> Result<PublicKey> {
    let extra = json!({
        "name": "app", "env": {"TOKEN": "mine"}, "ports": [8080], "upgrade": "owner", "exec": true,
    });
    who.run(image, extra).await.context("a container of one's own")
}
