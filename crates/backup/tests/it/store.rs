//! A store in memory that does as it is told, lies included.

use std::collections::{BTreeMap, VecDeque};

use protocol::parent::backup::{BackupStore, Head, ObjectId, RefusalCode, StoreError};

/// What a store does instead of giving an object.
pub(crate) type Lie = Box<dyn FnMut(ObjectId, Vec<u8>) -> Vec<u8> + Send>;

#[derive(Default)]
pub(crate) struct MemoryStore {
    pub(crate) objects: BTreeMap<ObjectId, Vec<u8>>,
    pub(crate) committed: Vec<(Head, Vec<ObjectId>)>,
    pub(crate) confirmed: Vec<Head>,
    pub(crate) lie: Option<Lie>,
    /// Refuses the put after so many more.
    pub(crate) full_after: Option<usize>,
    asked: VecDeque<ObjectId>,
}

fn refused(code: RefusalCode) -> StoreError {
    StoreError::Refused { code, message: "no".into() }
}

impl BackupStore for MemoryStore {
    async fn lacking(&mut self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, StoreError> {
        Ok(objects.iter().filter(|object| !self.objects.contains_key(object)).copied().collect())
    }

    async fn put(&mut self, object: ObjectId, sealed: &[u8]) -> Result<(), StoreError> {
        if let Some(left) = &mut self.full_after {
            *left = left.checked_sub(1).ok_or(refused(RefusalCode::NoSpace))?;
        }
        assert_eq!(ObjectId::of(sealed), object);
        self.objects.insert(object, sealed.to_vec());
        Ok(())
    }

    async fn commit(&mut self, head: Head, objects: &[ObjectId]) -> Result<(), StoreError> {
        if objects.iter().any(|object| !self.objects.contains_key(object)) {
            return Err(refused(RefusalCode::ObjectMissing));
        }
        self.committed.push((head, objects.to_vec()));
        Ok(())
    }

    async fn confirm(&mut self, head: Head) -> Result<(), StoreError> {
        self.confirmed.push(head);
        Ok(())
    }

    async fn ask(&mut self, object: ObjectId) -> Result<(), StoreError> {
        self.asked.push_back(object);
        Ok(())
    }

    async fn take(&mut self, bytes_max: u32) -> Result<Vec<u8>, StoreError> {
        let object = self.asked.pop_front().unwrap();
        let Some(bytes) = self.objects.get(&object).cloned() else {
            self.asked.clear();
            return Err(refused(RefusalCode::NoSuchObject));
        };
        let bytes = match &mut self.lie {
            Some(lie) => lie(object, bytes),
            None => bytes,
        };
        if bytes.len() > usize::try_from(bytes_max).unwrap() {
            self.asked.clear();
            return Err(StoreError::TooLong { bytes: bytes.len() as u64, max: bytes_max.into() });
        }
        Ok(bytes)
    }
}

impl MemoryStore {
    /// Honest again, as after a reconnect.
    pub(crate) fn be_honest(&mut self) {
        self.lie = None;
        self.asked.clear();
    }
}
