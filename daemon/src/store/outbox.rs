//! Messages that wait for relays, so that an end of the process loses none of them.

use nostr::event::EventId;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use rusqlite::{Row, Transaction, TransactionBehavior, params};
use units::UnixSecs;

use super::containers::secs;
use super::{Store, StoreError};

/// What is older is not sent any more: three times as long as it is tried.
const KEPT_SECS: u64 = 24 * 3_600;
/// Messages for one receiver, messages in all, and bytes of them in all, on each way: as many as wait in memory.
const PER_RECEIVER_MAX: u32 = 32;
const ALL_MAX: u32 = 1_024;
const BYTES_MAX: u32 = 8 * 1024 * 1024;

/// A message that waits on one way.
#[derive(Clone, Debug)]
pub struct Unsent {
    /// Whom it is for.
    pub to: PublicKey,
    /// As it goes out: whoever has it already knows it by its id.
    pub event: CheckedEvent,
    /// The receiver has paid for something here.
    pub is_customer: bool,
}

impl Store {
    /// Puts a message on record that goes these ways. Of too many the oldest are forgotten, of strangers first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keep_unsent(&self, ways: &[&str], message: &Unsent, now: UnixSecs) -> Result<(), StoreError> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for way in ways {
            tx.execute(
                "INSERT OR IGNORE INTO outbox (id, way, receiver, event, is_customer, at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    message.event.id.as_bytes(),
                    way,
                    message.to.to_bytes(),
                    message.event.as_json(),
                    message.is_customer,
                    secs(now)
                ],
            )?;
        }
        forget_most(&tx, now)?;
        tx.commit()?;
        Ok(())
    }

    /// Takes a message off the record: it was taken on this way, or given up.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_unsent(&self, way: &str, id: &EventId) -> Result<(), StoreError> {
        let sql = "DELETE FROM outbox WHERE id = ?1 AND way = ?2";
        self.lock().execute(sql, params![id.as_bytes(), way])?;
        Ok(())
    }

    /// What waits on a way, oldest first. What is too old is forgotten; what cannot be read is left out, and keeps
    /// nobody else from hearing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn unsent(&self, way: &str, now: UnixSecs) -> Result<Vec<Unsent>, StoreError> {
        let connection = self.lock();
        connection.execute("DELETE FROM outbox WHERE at < ?1", [secs(oldest(now))])?;
        let sql = "SELECT receiver, event, is_customer FROM outbox WHERE way = ?1 ORDER BY seq";
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([way])?;
        let mut unsent = Vec::new();
        while let Some(row) = rows.next()? {
            match read(row) {
                Ok(message) => unsent.push(message),
                Err(e) => tracing::error!("a message that waited is lost: {e}"),
            }
        }
        Ok(unsent)
    }
}

fn read(row: &Row<'_>) -> Result<Unsent, StoreError> {
    let malformed = |e: Box<dyn std::error::Error + Send + Sync>| StoreError::malformed("message", e);
    Ok(Unsent {
        to: PublicKey::from_slice(&row.get::<_, Vec<u8>>(0)?).map_err(|e| malformed(e.into()))?,
        event: CheckedEvent::parse(&row.get::<_, String>(1)?).map_err(|e| malformed(e.into()))?,
        is_customer: row.get(2)?,
    })
}

const fn oldest(now: UnixSecs) -> UnixSecs {
    UnixSecs(now.0.saturating_sub(KEPT_SECS))
}

fn forget_most(tx: &Transaction<'_>, now: UnixSecs) -> Result<(), StoreError> {
    tx.execute("DELETE FROM outbox WHERE at < ?1", [secs(oldest(now))])?;
    let sql = "DELETE FROM outbox WHERE seq IN (SELECT seq FROM (
                   SELECT seq,
                       row_number() OVER (PARTITION BY way, receiver ORDER BY seq DESC) AS own,
                       row_number() OVER (PARTITION BY way ORDER BY is_customer DESC, seq DESC) AS place,
                       sum(length(event)) OVER (PARTITION BY way ORDER BY is_customer DESC, seq DESC) AS bytes
                   FROM outbox) WHERE own > ?1 OR place > ?2 OR bytes > ?3)";
    tx.execute(sql, params![PER_RECEIVER_MAX, ALL_MAX, BYTES_MAX])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use nostr::event::Kind;
    use nostr::key::Keys;
    use protocol::event::sign;

    use super::super::tests::{Fixture, key};
    use super::*;

    const NOW: UnixSecs = UnixSecs(1_800_000_000);

    fn message(to: PublicKey, is_customer: bool, bytes: usize) -> Unsent {
        let text = "x".repeat(bytes);
        let event = sign(&Keys::generate(), Kind::GiftWrap, NOW, Vec::new(), text).unwrap();
        Unsent { to, event, is_customer }
    }

    fn ids(fixture: &Fixture, way: &str, now: UnixSecs) -> Vec<EventId> {
        fixture.store.unsent(way, now).unwrap().iter().map(|unsent| unsent.event.id).collect()
    }

    #[test]
    fn message_waits_on_each_way_until_it_is_forgotten_there() {
        let fixture = Fixture::new();
        let [one, two] = [true, false].map(|is_customer| message(key(), is_customer, 1));
        for _ in 0..2 {
            fixture.store.keep_unsent(&["ours", "theirs"], &one, NOW).unwrap();
        }
        fixture.store.keep_unsent(&["ours"], &two, NOW).unwrap();
        fixture.store.forget_unsent("ours", &one.event.id).unwrap();
        let fixture = fixture.reopen();
        assert_eq!(ids(&fixture, "ours", NOW), [two.event.id]);
        let broken = "INSERT INTO outbox (id, way, receiver, event, is_customer, at) VALUES (?1, 'ours', ?1, '{}', 0, ?2)";
        fixture.store.lock().execute(broken, params![[0_u8; 32], secs(NOW)]).unwrap();
        assert_eq!(
            ids(&fixture, "ours", NOW),
            [two.event.id],
            "what cannot be read keeps nobody from hearing"
        );
        let theirs = fixture.store.unsent("theirs", NOW).unwrap();
        assert_eq!((theirs.len(), theirs[0].to, theirs[0].is_customer), (1, one.to, true));
        assert_eq!(theirs[0].event.as_json(), one.event.as_json());
        let late = NOW.plus_secs(KEPT_SECS + 1);
        assert!(ids(&fixture, "ours", late).is_empty(), "nobody wants to hear of it a day later");
    }

    #[test]
    fn record_is_bounded_and_strangers_make_room() {
        let fixture = Fixture::new();
        let (keep, owner) = (|one: &Unsent| fixture.store.keep_unsent(&["ours"], one, NOW).unwrap(), key());
        let first = message(owner, true, 1);
        keep(&first);
        (0..150).for_each(|_| keep(&message(key(), false, 60_000)));
        let left = ids(&fixture, "ours", NOW);
        assert!(left.len() <= 140 && left[0] == first.event.id, "{}", left.len());
        let own: Vec<_> = (0..PER_RECEIVER_MAX).map(|_| message(owner, true, 1)).collect();
        own.iter().for_each(keep);
        let left = ids(&fixture, "ours", NOW);
        assert!(!left.contains(&first.event.id), "the oldest of too many for one");
        assert!(own.iter().all(|one| left.contains(&one.event.id)));
    }
}
