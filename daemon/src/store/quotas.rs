//! How much strangers had for nothing: on record, so that a restart gives nobody a new day.

use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};
use units::UnixSecs;

use super::containers::secs;
use super::{Store, StoreError};

const HOUR_SECS: u64 = 3_600;
const DAY_SECS: u64 = 24 * HOUR_SECS;
/// Who stands for everybody together.
const ALL: &[u8] = &[];

/// How much there is for nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FreeQuota {
    /// For one key in a day.
    pub per_key_and_day: u32,
    /// For all keys in an hour, because keys cost nothing. At most a day's worth of it is on record.
    pub per_hour: u32,
}

impl Store {
    /// Takes one of what is free for this key; false if there is none left.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was taken.
    pub fn take_free(&self, key: &PublicKey, quota: FreeQuota, now: UnixSecs) -> Result<bool, StoreError> {
        let (day, hour) = (secs(UnixSecs(now.0 / DAY_SECS)), secs(UnixSecs(now.0 / HOUR_SECS)));
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute("DELETE FROM quotas WHERE who <> ?1 AND span <> ?2", params![ALL, day])?;
        let key = key.to_bytes();
        let (own, all) = (taken(&tx, &key, day)?, taken(&tx, ALL, hour)?);
        let is_free = own < quota.per_key_and_day && all < quota.per_hour;
        if is_free {
            put(&tx, &key, day, own + 1)?;
            put(&tx, ALL, hour, all + 1)?;
        }
        tx.commit()?;
        Ok(is_free)
    }
}

fn taken(tx: &Transaction<'_>, who: &[u8], span: i64) -> Result<u32, StoreError> {
    let sql = "SELECT taken FROM quotas WHERE who = ?1 AND span = ?2";
    Ok(tx.query_row(sql, params![who, span], |row| row.get(0)).optional()?.unwrap_or_default())
}

fn put(tx: &Transaction<'_>, who: &[u8], span: i64, taken: u32) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO quotas (who, span, taken) VALUES (?1, ?2, ?3)";
    tx.execute(sql, params![who, span, taken])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{Fixture, key};

    const QUOTA: FreeQuota = FreeQuota { per_key_and_day: 2, per_hour: 3 };

    #[test]
    fn key_gets_its_share_and_all_together_theirs() {
        let (fixture, [a, b, c]) = (Fixture::new(), [(); 3].map(|()| key()));
        let take = |key, secs| fixture.store.take_free(key, QUOTA, UnixSecs(secs)).unwrap();
        assert!(take(&a, 0) && take(&a, 1) && !take(&a, 2), "two a day");
        assert!(take(&b, 3) && !take(&b, 4) && !take(&c, 5), "three an hour");
        assert!(!take(&a, HOUR_SECS) && take(&c, HOUR_SECS), "the hour is new, the day is not");
        assert!(take(&a, DAY_SECS));
        let count = "SELECT count(*) FROM quotas";
        let rows: u32 = fixture.store.lock().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 2, "yesterday is forgotten");
    }

    #[test]
    fn restart_gives_nobody_a_new_day() {
        let (fixture, [a, b]) = (Fixture::new(), [(); 2].map(|()| key()));
        let at = UnixSecs(1_800_000_000);
        for who in [&a, &a, &b] {
            assert!(fixture.store.take_free(who, QUOTA, at).unwrap());
        }
        let fixture = fixture.reopen();
        assert!(!fixture.store.take_free(&a, QUOTA, at.plus_secs(HOUR_SECS)).unwrap(), "the key's day");
        assert!(!fixture.store.take_free(&b, QUOTA, at).unwrap(), "everybody's hour");
        assert!(fixture.store.take_free(&b, QUOTA, at.plus_secs(HOUR_SECS)).unwrap());
    }
}
