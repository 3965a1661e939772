//! Values as SQLite holds them.

use nostr::key::PublicKey;
use protocol::nwc::{DescriptionHash, PaymentHash, Preimage};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, Type};
use units::{Msat, UnixSecs};

/// A moment as SQLite's signed number. What is beyond it is beyond any invoice's end.
pub(super) fn secs(moment: UnixSecs) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

/// Reads columns by name into our types.
pub(super) trait Columns {
    fn secs(&self, name: &str) -> rusqlite::Result<UnixSecs>;
    fn secs_or_none(&self, name: &str) -> rusqlite::Result<Option<UnixSecs>>;
    fn msat(&self, name: &str) -> rusqlite::Result<Msat>;
    fn pubkey(&self, name: &str) -> rusqlite::Result<PublicKey>;
    fn payment_hash(&self) -> rusqlite::Result<PaymentHash>;
    fn preimage(&self) -> rusqlite::Result<Option<Preimage>>;
    fn description_hash(&self) -> rusqlite::Result<Option<DescriptionHash>>;
    /// A word of a closed list.
    fn word<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T>;
}

fn moment(secs: i64) -> rusqlite::Result<UnixSecs> {
    u64::try_from(secs).map(UnixSecs).map_err(|_| FromSqlError::OutOfRange(secs).into())
}

impl Columns for Row<'_> {
    fn secs(&self, name: &str) -> rusqlite::Result<UnixSecs> {
        moment(self.get(name)?)
    }

    fn secs_or_none(&self, name: &str) -> rusqlite::Result<Option<UnixSecs>> {
        self.get::<_, Option<i64>>(name)?.map(moment).transpose()
    }

    fn msat(&self, name: &str) -> rusqlite::Result<Msat> {
        self.get(name).map(Msat::new)
    }

    fn pubkey(&self, name: &str) -> rusqlite::Result<PublicKey> {
        self.get(name).map(PublicKey::from_byte_array)
    }

    fn payment_hash(&self) -> rusqlite::Result<PaymentHash> {
        self.get("payment_hash").map(PaymentHash::from_bytes)
    }

    fn preimage(&self) -> rusqlite::Result<Option<Preimage>> {
        Ok(self.get::<_, Option<[u8; 32]>>("preimage")?.map(Preimage::from_bytes))
    }

    fn description_hash(&self) -> rusqlite::Result<Option<DescriptionHash>> {
        Ok(self.get::<_, Option<[u8; 32]>>("description_hash")?.map(DescriptionHash::from_bytes))
    }

    fn word<T>(&self, name: &str, parse: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
        let text: String = self.get(name)?;
        let unknown = || FromSqlError::Other(format!("{name} is {text:?}").into());
        parse(&text)
            .ok_or_else(|| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(unknown())))
    }
}
