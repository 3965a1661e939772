//! Everything that there is of a container: as its owner is told, in the database, at the engine, inside.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use bollard::query_parameters::InspectContainerOptions;
use devnet::world::World;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::ContainerStatus;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use units::{Msat, Stopwatch};

use super::SECRETS;
use crate::netns::{engine_name, exec};
use crate::stranger::{LOOK_EVERY, SOON, Stranger};

/// What its files hold, who owns them and how long they are, and what its process was given.
const INSIDE: &str = "for one in /data /data/*; do stat -c '%n %u %g %a %s %Y' $one; done; \
                      cat /data/*; busybox md5sum /data/* /run/enclaved/secrets/*; env";

/// A container as it is.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct View {
    answers: BTreeMap<&'static str, String>,
    rows: BTreeMap<String, Vec<Vec<String>>>,
    /// Its process has not been started anew.
    started: String,
    inside: String,
    page: String,
    status: Value,
}

impl View {
    pub(super) async fn of(world: &World, owner: &Stranger, pubkey: &PublicKey) -> Result<Self> {
        let mut answers = BTreeMap::new();
        for method in ["info", "events", "receipts", "upgrades", "logs"] {
            let mut value: Value = owner.call(method, json!({"pubkey": pubkey})).await?;
            // The evidence beside the receipts is signed anew each time.
            value.as_object_mut().and_then(|fields| fields.remove("evidence"));
            answers.insert(method, value.to_string());
        }
        let status: ContainerStatus = owner.call("status", json!({"pubkey": pubkey})).await?;
        let name = engine_name(pubkey);
        let found = world.engine().client().inspect_container(&name, None::<InspectContainerOptions>).await?;
        let started = found.state.and_then(|state| state.started_at).unwrap_or_default();
        Ok(Self {
            answers,
            rows: rows(world, pubkey)?,
            started,
            inside: exec(world, pubkey, INSIDE).await?.text,
            page: crate::stranger::get(&owner.url(pubkey).await?).await?.1,
            status: serde_json::to_value(&status)?,
        })
    }

    /// Texts that nobody else may see; all of them are there.
    pub(super) fn secrets(&self) -> Result<Vec<String>> {
        let all = format!("{} {} {}", self.answers["logs"], self.inside, self.page);
        for secret in [SECRETS[0], SECRETS[2], SECRETS[3]] {
            ensure!(all.contains(secret), "{secret} is not there: {self:?}");
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut secrets: Vec<String> = SECRETS.map(str::to_owned).into();
        secrets.push(text(&self.status["salt"]));
        secrets.push(text(&self.status["manifest"]["env"]["TOKEN"]));
        ensure!(secrets.iter().all(|secret| secret.len() > 8), "{}", self.status);
        Ok(secrets)
    }
}

/// Its rows in every table of the database, every column.
fn rows(world: &World, pubkey: &PublicKey) -> Result<BTreeMap<String, Vec<Vec<String>>>> {
    let file = world.state_dir().join("state.db");
    let state = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let with_key = "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
                    WHERE m.type = 'table' AND c.name = 'pubkey'";
    let mut tables = state.prepare(with_key)?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    ensure!(tables.len() > 2, "{tables:?}");
    let mut all = BTreeMap::new();
    for table in tables {
        let mut statement = state.prepare(&format!("SELECT * FROM {table} WHERE pubkey = ?1"))?;
        let columns = statement.column_count();
        let rows = statement.query_map([pubkey.to_bytes()], |row| {
            (0..columns).map(|i| Ok(format!("{:?}", row.get_ref(i)?))).collect::<rusqlite::Result<Vec<_>>>()
        })?;
        all.insert(table, rows.collect::<Result<_, _>>()?);
    }
    Ok(all)
}

/// Waits until the server knows that so much was paid in.
pub(super) async fn wait_for_balance(owner: &Stranger, pubkey: &PublicKey, msat: i64) -> Result<()> {
    let took = Stopwatch::start();
    while owner.status(pubkey).await?.balance_msat != Msat::new(msat) {
        ensure!(took.elapsed() < SOON, "{:?}", owner.status(pubkey).await?);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
