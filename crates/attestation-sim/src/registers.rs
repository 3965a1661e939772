//! The 32 registers of a module.

use attestation::nsm::NsmErrorCode;
use attestation::{PCR_COUNT, Pcr, pcr_digest};

/// Locked before the enclave starts: what the hypervisor measures, and what it reserves.
const LOCKED_FROM_THE_START: u8 = 16;

/// The registers that a debug enclave has zeroed.
const IMAGE_PCRS: usize = 3;

/// PCR0, 1 and 2 of the image that `seed` stands for.
#[must_use]
pub fn image_pcrs(seed: &str) -> [Pcr; IMAGE_PCRS] {
    ["image", "kernel and boot", "application"].map(|part| pcr_digest(format!("{seed}/{part}").as_bytes()))
}

/// Values and locks.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    values: [Pcr; PCR_COUNT as usize],
    is_locked: [bool; PCR_COUNT as usize],
}

impl Registers {
    /// As an enclave finds them: those given, zero otherwise; 0 to 15 locked.
    pub(crate) fn new(given: impl IntoIterator<Item = (u8, Pcr)>, is_debug: bool) -> Self {
        let mut values = [Pcr::ZERO; PCR_COUNT as usize];
        for (index, value) in given {
            if let Some(slot) = values.get_mut(usize::from(index)) {
                *slot = value;
            }
        }
        if is_debug {
            values.iter_mut().take(IMAGE_PCRS).for_each(|value| *value = Pcr::ZERO);
        }
        let is_locked = std::array::from_fn(|index| index < usize::from(LOCKED_FROM_THE_START));
        Self { values, is_locked }
    }

    /// Value and lock of one register.
    pub(crate) fn describe(&self, index: u16) -> Result<(Pcr, bool), NsmErrorCode> {
        let at = usize::from(index);
        let both = self.values.get(at).zip(self.is_locked.get(at));
        both.map(|(value, is_locked)| (*value, *is_locked)).ok_or(NsmErrorCode::InvalidIndex)
    }

    /// Measures into a register that is not locked: SHA-384(old ‖ data).
    pub(crate) fn extend(&mut self, index: u16, data: &[u8]) -> Result<Pcr, NsmErrorCode> {
        let (value, is_locked) = self.describe(index)?;
        if is_locked {
            return Err(NsmErrorCode::ReadOnlyIndex);
        }
        let slot = self.values.get_mut(usize::from(index)).ok_or(NsmErrorCode::InvalidIndex)?;
        *slot = value.extended(data);
        Ok(*slot)
    }

    /// Locks a register that is not locked.
    pub(crate) fn lock(&mut self, index: u16) -> Result<(), NsmErrorCode> {
        match self.is_locked.get_mut(usize::from(index)) {
            None => Err(NsmErrorCode::InvalidIndex),
            Some(true) => Err(NsmErrorCode::ReadOnlyIndex),
            Some(is_locked) => {
                *is_locked = true;
                Ok(())
            }
        }
    }

    /// Locks the registers below `range`, locked or not.
    pub(crate) fn lock_below(&mut self, range: u16) -> Result<(), NsmErrorCode> {
        let below = self.is_locked.get_mut(..usize::from(range)).ok_or(NsmErrorCode::InvalidIndex)?;
        below.fill(true);
        Ok(())
    }

    /// The locked registers, by rising index: those that stand in documents.
    pub(crate) fn locked(&self) -> impl Iterator<Item = (u16, Pcr)> {
        let all = (0_u16..).zip(self.values.iter().zip(&self.is_locked));
        all.filter_map(|(index, (value, is_locked))| is_locked.then_some((index, *value)))
    }
}
