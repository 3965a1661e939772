//! What all layers of an image may take together.

use crate::image::error::FetchError;
use crate::image::limits::ImageLimits;

/// Room that is left. Only grows smaller.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    limit_bytes: u64,
    left_bytes: u64,
    limit_entries: u64,
    left_entries: u64,
}

impl Budget {
    pub(super) const fn new(limits: &ImageLimits) -> Self {
        Self {
            limit_bytes: limits.unpacked_bytes,
            left_bytes: limits.unpacked_bytes,
            limit_entries: limits.entries,
            left_entries: limits.entries,
        }
    }

    /// Takes room for `bytes`.
    ///
    /// # Errors
    /// [`FetchError::UnpacksTooLarge`] if there is not so much.
    pub(super) fn take_bytes(&mut self, bytes: u64) -> Result<(), FetchError> {
        self.left_bytes = self.left_bytes.checked_sub(bytes).ok_or_else(|| self.too_large())?;
        Ok(())
    }

    /// Refuses an entry that announces more than there is room for, before any of it comes.
    ///
    /// # Errors
    /// [`FetchError::UnpacksTooLarge`] if there is not so much.
    pub(super) fn expect_bytes(&self, bytes: u64) -> Result<(), FetchError> {
        if bytes > self.left_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    /// Counts one tar header.
    ///
    /// # Errors
    /// [`FetchError::TooManyEntries`] if there were too many already.
    pub(super) fn take_entry(&mut self) -> Result<(), FetchError> {
        let none_left = FetchError::TooManyEntries { limit: self.limit_entries };
        self.left_entries = self.left_entries.checked_sub(1).ok_or(none_left)?;
        Ok(())
    }

    const fn too_large(&self) -> FetchError {
        FetchError::UnpacksTooLarge { limit_bytes: self.limit_bytes }
    }
}
