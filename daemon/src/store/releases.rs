//! What is remembered of releases that were not taken, so that it settles: what is wrong with an event is
//! found out once, what failed on trial is not tried again, and what failed for a passing reason is tried ever
//! more rarely.
//!
//! | what | known by | until |
//! |---|---|---|
//! | refused: a signature is missing, a label lies, it is too large … | the release event's id | another image runs, or the owner lets go |
//! | on trial: rolled back, or taken | what the release approves | the owner lets go |
//! | on trial, and rolled back for a reason of the server's | what the release approves | a while, twice as long each time, four times in all; then the owner lets go |
//! | refused for a passing reason: its registry is silent … | the event's id | a while, twice as long each time |

use std::collections::{BTreeMap, BTreeSet};

use nostr::key::PublicKey;
use protocol::rpc::enclaved::{StateReason, UPGRADES_MAX};
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use units::UnixSecs;

use super::containers::secs;
use super::record::Container;
use super::upgrades::ReleaseRef;
use super::{Store, StoreError};

/// Refused releases that are remembered, and images that were tried: many times what is read from relays at
/// once; more cannot be told from an attack by the signers, and the oldest may be.
pub(super) const KEPT_MAX: u32 = 500;
/// 2^8 times as long as the first wait: with the shipped interval, more than a day.
const DOUBLINGS_MAX: u32 = 8;
/// Trials of one image that the server is to blame for, after which it is not tried again either: each costs the app
/// that it is stopped, and an image at which the server fails each time may be the reason.
const TRIALS_MAX: u32 = 4;

/// What is not to be tried now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Tried {
    /// Releases, by their events' ids.
    pub releases: BTreeSet<String>,
    /// Images, by what releases approve.
    pub images: BTreeSet<String>,
}

impl Tried {
    /// True for a release that is not to be tried now.
    #[must_use]
    pub fn has(&self, release: &ReleaseRef) -> bool {
        self.releases.contains(&release.id) || self.images.contains(&release.digest)
    }
}

impl Store {
    /// Puts on record that a release is not taken, once for each reason; true if it was not known before. Once
    /// another image runs than the one that it was `judged` by, it is not kept: that one judges anew.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn refuse_release(
        &self,
        judged: &Container,
        release: &ReleaseRef,
        image: &str,
        why: &StateReason,
        now: UnixSecs,
    ) -> Result<bool, StoreError> {
        let pubkey = &judged.pubkey();
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let sql = "SELECT json_extract(spec, '$.config_digest') FROM containers WHERE pubkey = ?1";
        let runs: Option<String> = tx.query_row(sql, [pubkey.to_bytes()], |row| row.get(0)).optional()?;
        if runs.as_deref() != Some(&judged.spec.config_digest) {
            return Ok(false);
        }
        let (key, barred) = (pubkey.to_bytes(), !is_passing(&why.code));
        let known = tx.execute(
            "UPDATE upgrades SET ended_at = ?4, barred = ?5, tries = tries + 1
             WHERE pubkey = ?1 AND release_id = ?2 AND outcome = 'refused' AND code = ?3",
            params![key, release.id, why.code, secs(now), barred],
        )? > 0;
        if !known {
            tx.execute(
                "INSERT INTO upgrades
                     (pubkey, at, ended_at, outcome, image, version, release_id, barred, code, message)
                 VALUES (?1, ?2, ?2, 'refused', ?3, ?4, ?5, ?6, ?7, ?8)",
                params![key, secs(now), image, release.version, release.id, barred, why.code, why.message],
            )?;
        }
        forget_old(&tx, pubkey)?;
        tx.commit()?;
        Ok(!known)
    }

    /// What is not to be tried on a container at `now`. What failed for a passing reason waits for
    /// `again_secs`, and twice as long each time; what failed so on trial, a few times only.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn tried_releases(
        &self,
        pubkey: &PublicKey,
        again_secs: u64,
        now: UnixSecs,
    ) -> Result<Tried, StoreError> {
        let connection = self.lock();
        let is_waiting = |tries: u32, at: i64| {
            let wait_secs = again_secs.saturating_mul(1 << tries.saturating_sub(1).min(DOUBLINGS_MAX));
            now < UnixSecs(u64::try_from(at).unwrap_or_default()).plus_secs(wait_secs)
        };
        let mut tried = Tried::default();
        // Of each image: how many trials the server spoiled, and when the last.
        let mut spoiled = BTreeMap::<String, (u32, i64)>::new();
        let sql =
            "SELECT digest, release_id, outcome, barred, tries, coalesce(ended_at, at), code FROM upgrades
                   WHERE pubkey = ?1 AND release_id IS NOT NULL";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([pubkey.to_bytes()])?;
        while let Some(row) = rows.next()? {
            let (outcome, at, code): (String, i64, Option<String>) = (row.get(2)?, row.get(5)?, row.get(6)?);
            match row.get::<_, Option<String>>(0)? {
                Some(image) if outcome == "rolled_back" && code.as_deref().is_some_and(is_passing) => {
                    let (trials, last) = spoiled.entry(image).or_insert((0, at));
                    (*trials, *last) = (*trials + 1, at.max(*last));
                }
                image => tried.images.extend(image),
            }
            if outcome == "refused" && (row.get(3)? || is_waiting(row.get(4)?, at)) {
                tried.releases.insert(row.get(1)?);
            }
        }
        let still = spoiled.into_iter().filter(|(_, (n, last))| *n >= TRIALS_MAX || is_waiting(*n, *last));
        tried.images.extend(still.map(|(image, _)| image));
        Ok(tried)
    }

    /// Holds a container at its image, or lets it go; then releases that failed may be tried once more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn save_pinned(&self, pubkey: &PublicKey, pinned: bool) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let key = pubkey.to_bytes();
        if tx.execute("UPDATE containers SET pinned = ?2 WHERE pubkey = ?1", params![key, pinned])? == 0 {
            return Err(StoreError::Missing);
        }
        if !pinned {
            // The rows stay: what is refused again for the same reason is nothing new.
            let sql = "UPDATE upgrades SET digest = NULL, barred = 0, tries = 1
                       WHERE pubkey = ?1 AND outcome <> 'open'";
            tx.execute(sql, [key])?;
        }
        tx.commit()?;
        Ok(())
    }
}

/// True for a reason that says nothing of the image: the same may go well a little later.
pub(super) fn is_passing(code: &str) -> bool {
    matches!(
        code,
        "registry_unreachable" | "internal" | "server_busy" | "server_full" | "engine_failed" | "interrupted"
    )
}

/// A release that was refused before for the same reason is one row, whichever way it was found out.
pub(super) fn fold(tx: &Transaction<'_>, id: i64) -> Result<(), StoreError> {
    let same = "pubkey = (SELECT pubkey FROM upgrades WHERE id = ?1)
                AND release_id = (SELECT release_id FROM upgrades WHERE id = ?1)
                AND code = (SELECT code FROM upgrades WHERE id = ?1) AND outcome = 'refused' AND id <> ?1";
    let sum = format!(
        "UPDATE upgrades SET tries = tries + (SELECT coalesce(sum(tries), 0) FROM upgrades WHERE {same})
         WHERE id = ?1 AND outcome = 'refused'"
    );
    tx.execute(&sum, [id])?;
    tx.execute(&format!("DELETE FROM upgrades WHERE {same}"), [id])?;
    Ok(())
}

/// What other signers release may be another matter: an image names its own.
pub(super) fn another_image_runs(tx: &Transaction<'_>, pubkey: &PublicKey) -> Result<(), StoreError> {
    tx.execute("UPDATE upgrades SET barred = 0 WHERE pubkey = ?1", [pubkey.to_bytes()])?;
    Ok(())
}

/// Owners see the newest; what must not be tried again is remembered for longer.
pub(super) fn forget_old(tx: &Transaction<'_>, pubkey: &PublicKey) -> Result<(), StoreError> {
    let refused = "outcome = 'refused' AND release_id IS NOT NULL";
    let tried = "digest IS NOT NULL AND outcome <> 'open'";
    let rest = format!("outcome <> 'open' AND NOT ({refused}) AND NOT ({tried})");
    for (which, among, kept) in
        [(rest.as_str(), "1", UPGRADES_MAX), (refused, refused, KEPT_MAX), (tried, tried, KEPT_MAX)]
    {
        let sql = format!(
            "DELETE FROM upgrades WHERE pubkey = ?1 AND {which} AND id NOT IN
                 (SELECT id FROM upgrades WHERE pubkey = ?1 AND {among} ORDER BY id DESC LIMIT ?2)"
        );
        tx.execute(&sql, params![pubkey.to_bytes(), kept])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
