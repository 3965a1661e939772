//! Rows of upgrades: written before anything is done, and kept for the owner to see.

use std::collections::BTreeSet;

use lifecycle::upgrade::Stage;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{StateReason, UPGRADES_MAX, UpgradeOutcome, UpgradeRecord};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use units::UnixSecs;

use super::containers::{from_json, secs, to_json};
use super::image_part::ImagePart;
use super::progress::put_spec;
use super::record::Spec;
use super::{Store, StoreError, guest_wallets, releases};

/// Where an upgrade came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseRef {
    /// The version.
    pub version: String,
    /// The event's id, hex.
    pub id: String,
    /// What it approves, as its `x` tag says.
    pub digest: String,
}

/// How the health of a new image shows.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// This page answers.
    Page {
        /// TCP port of the container.
        port: u16,
        /// What to `GET`.
        path: String,
    },
    /// These TCP ports of the container accept connections; none if it is enough that the process stays.
    Ports(Vec<u16>),
}

/// What there is to know to carry an upgrade on, or back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UpgradeIntent {
    /// Where it is.
    pub stage: Stage,
    /// The image of before.
    pub from: ImagePart,
    /// The image to run.
    pub to: ImagePart,
    /// How the new image's health shows; none until it is decided, just before the old process is stopped.
    pub probe: Option<Probe>,
    /// There was a volume, so there is a copy of it.
    pub had_volume: bool,
    /// Why it goes back, if it does.
    pub why: Option<StateReason>,
}

/// An upgrade under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OpenUpgrade {
    /// Its number; the copy of the volume is named by it.
    pub id: i64,
    /// The container.
    pub pubkey: PublicKey,
    /// When it was decided.
    pub at: UnixSecs,
    /// The release, unless the owner asked.
    pub release: Option<ReleaseRef>,
    /// How to go on.
    pub intent: UpgradeIntent,
}

impl Store {
    /// Puts an upgrade on record, by a release or by a command with this key; none if another one is under
    /// way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_upgrade(
        &self,
        pubkey: &PublicKey,
        release: Option<&ReleaseRef>,
        request_key: Option<&str>,
        intent: &UpgradeIntent,
        now: UnixSecs,
    ) -> Result<Option<i64>, StoreError> {
        let connection = self.lock();
        let inserted = connection.execute(
            "INSERT INTO upgrades (pubkey, at, outcome, image, version, release_id, digest, intent, request_key)
             VALUES (?1, ?2, 'open', ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO NOTHING",
            params![
                pubkey.to_bytes(),
                secs(now),
                intent.to.image,
                release.map(|release| &release.version),
                release.map(|release| &release.id),
                release.map(|release| &release.digest),
                to_json("upgrade", intent)?,
                request_key,
            ],
        )?;
        Ok((inserted > 0).then(|| connection.last_insert_rowid()))
    }

    /// True if the command with this key began an upgrade.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn upgraded_by(&self, request_key: &str) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM upgrades WHERE request_key = ?1)";
        Ok(self.lock().query_row(sql, [request_key], |row| row.get(0))?)
    }

    /// The upgrade of a container that is under way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_upgrade(&self, pubkey: &PublicKey) -> Result<Option<OpenUpgrade>, StoreError> {
        let sql = "SELECT id, at, version, release_id, digest, intent FROM upgrades
                   WHERE pubkey = ?1 AND outcome = 'open'";
        let connection = self.lock();
        let row = connection
            .query_row(sql, [pubkey.to_bytes()], |row| {
                let release: (Option<String>, Option<String>, Option<String>) =
                    (row.get(2)?, row.get(3)?, row.get(4)?);
                Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, release, row.get::<_, String>(5)?))
            })
            .optional()?;
        let Some((id, at, release, intent)) = row else { return Ok(None) };
        let release = match release {
            (Some(version), Some(id), Some(digest)) => Some(ReleaseRef { version, id, digest }),
            _ => None,
        };
        let intent = from_json("upgrade", &intent)?;
        Ok(Some(OpenUpgrade { id, pubkey: *pubkey, at: time(at), release, intent }))
    }

    /// The upgrades under way: containers, and the numbers that copies of their volumes are named by.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open_upgrades(&self) -> Result<Vec<(PublicKey, i64)>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT pubkey, id FROM upgrades WHERE outcome = 'open'")?;
        let rows = statement.query_and_then([], |row| {
            let pubkey = PublicKey::from_slice(&row.get::<_, Vec<u8>>(0)?)
                .map_err(|e| StoreError::malformed("upgrade", e))?;
            Ok((pubkey, row.get(1)?))
        })?;
        rows.collect()
    }

    /// Saves where an upgrade is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_upgrade(&self, id: i64, intent: &UpgradeIntent) -> Result<(), StoreError> {
        update_intent(&self.lock(), id, intent)
    }

    /// Saves where an upgrade is and, in one step, which image is the container's from then on. Returns
    /// what it takes to run it.
    ///
    /// # Errors
    /// [`StoreError`]; neither changed.
    pub fn switch_image(
        &self,
        open: &OpenUpgrade,
        intent: &UpgradeIntent,
        part: &ImagePart,
    ) -> Result<Spec, StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        update_intent(&tx, open.id, intent)?;
        let spec = replace_image(&tx, &open.pubkey, part)?;
        tx.commit()?;
        Ok(spec)
    }

    /// Puts the end of an upgrade on record and, in one step, the image that the container has then, if it
    /// changes.
    ///
    /// # Errors
    /// [`StoreError`]; neither changed.
    pub fn end_upgrade(
        &self,
        open: &OpenUpgrade,
        outcome: UpgradeOutcome,
        why: Option<&StateReason>,
        part: Option<&ImagePart>,
        now: UnixSecs,
    ) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // What nobody is to blame for may be tried again.
        let sql = "UPDATE upgrades SET outcome = ?2, ended_at = ?3, code = ?4, message = ?5, intent = NULL,
                       digest = CASE WHEN ?6 THEN digest END, barred = ?7
                   WHERE id = ?1 AND outcome = 'open'";
        let (was_tried, barred) = match outcome {
            UpgradeOutcome::Done | UpgradeOutcome::RolledBack => (true, false),
            UpgradeOutcome::Refused => {
                (false, open.release.is_some() && !why.is_some_and(|why| releases::is_passing(&why.code)))
            }
            UpgradeOutcome::Cancelled | UpgradeOutcome::Open => (false, false),
        };
        let (code, message) = why.map(|why| (&why.code, &why.message)).unzip();
        let changed =
            tx.execute(sql, params![open.id, outcome.as_str(), secs(now), code, message, was_tried, barred])?;
        if changed == 0 {
            return Err(StoreError::Missing);
        }
        if let Some(part) = part {
            replace_image(&tx, &open.pubkey, part)?;
        }
        match outcome {
            UpgradeOutcome::Done => releases::another_image_runs(&tx, &open.pubkey)?,
            UpgradeOutcome::Refused => releases::fold(&tx, open.id)?,
            UpgradeOutcome::Open | UpgradeOutcome::RolledBack | UpgradeOutcome::Cancelled => {}
        }
        releases::forget_old(&tx, &open.pubkey)?;
        tx.commit()?;
        Ok(())
    }

    /// The images that containers run or may have to run again, and those that upgrades under way bring or may
    /// go back to: the digests of their configurations.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn needed_images(&self) -> Result<BTreeSet<String>, StoreError> {
        let living = self.containers()?.into_iter().filter(|container| !container.state.is_over());
        let mut needed: BTreeSet<String> = living.map(|container| container.spec.config_digest).collect();
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT intent FROM upgrades WHERE outcome = 'open'")?;
        for text in statement.query_map([], |row| row.get::<_, String>(0))? {
            let intent: UpgradeIntent = from_json("upgrade", &text?)?;
            needed.extend([intent.from.config_digest, intent.to.config_digest]);
        }
        Ok(needed)
    }

    /// What was decided about a container's image, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn upgrades(&self, pubkey: &PublicKey) -> Result<Vec<UpgradeRecord>, StoreError> {
        let connection = self.lock();
        let sql = "SELECT at, ended_at, image, version, release_id, outcome, code, message FROM upgrades
                   WHERE pubkey = ?1 ORDER BY id DESC LIMIT ?2";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_and_then(params![pubkey.to_bytes(), UPGRADES_MAX], |row| {
            let outcome: String = row.get(5)?;
            Ok(UpgradeRecord {
                at: time(row.get(0)?),
                ended_at: row.get::<_, Option<i64>>(1)?.map(time),
                image: row.get(2)?,
                version: row.get(3)?,
                release: row.get(4)?,
                outcome: UpgradeOutcome::from_text(&outcome)
                    .ok_or_else(|| StoreError::malformed("upgrade", "its outcome has no known name"))?,
                code: row.get(6)?,
                message: row.get(7)?,
            })
        })?;
        rows.collect()
    }

    /// True if the owner holds a container at its image.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn is_pinned(&self, pubkey: &PublicKey) -> Result<bool, StoreError> {
        let sql = "SELECT pinned FROM containers WHERE pubkey = ?1";
        let pinned = self.lock().query_row(sql, [pubkey.to_bytes()], |row| row.get(0)).optional()?;
        pinned.ok_or(StoreError::Missing)
    }
}

fn time(secs: i64) -> UnixSecs {
    UnixSecs(u64::try_from(secs).unwrap_or_default())
}

fn update_intent(connection: &Connection, id: i64, intent: &UpgradeIntent) -> Result<(), StoreError> {
    let sql = "UPDATE upgrades SET intent = ?2 WHERE id = ?1 AND outcome = 'open'";
    match connection.execute(sql, params![id, to_json("upgrade", intent)?])? {
        0 => Err(StoreError::Missing),
        _ => Ok(()),
    }
}

/// Reads what it takes to run the container as it is now: all but the image may have changed meanwhile.
fn replace_image(tx: &Transaction<'_>, pubkey: &PublicKey, part: &ImagePart) -> Result<Spec, StoreError> {
    let key = pubkey.to_bytes();
    let text: Option<String> =
        tx.query_row("SELECT spec FROM containers WHERE pubkey = ?1", [key], |row| row.get(0)).optional()?;
    let spec: Spec = from_json("spec", &text.ok_or(StoreError::Missing)?)?;
    // What an image was given is not another's.
    if spec.config_digest != part.config_digest {
        guest_wallets::end(tx, pubkey)?;
    }
    let spec = spec.with_image(part).map_err(|e| StoreError::malformed("manifest", e))?;
    put_spec(tx, pubkey, &spec)?;
    Ok(spec)
}

#[cfg(test)]
pub(super) mod tests;
