//! A container that stood aside with paid time left is let back in.

use lifecycle::Event;

use super::Driver;

impl Driver {
    /// Units for a container that stands aside with paid time left, if there are some.
    pub(super) fn readmit(&self) -> Event {
        let (pubkey, units) = (self.container.pubkey(), self.container.spec.units.get());
        if !self.ctx.hold.may_act() {
            return Event::NoUnits;
        }
        match self.ctx.store.readmit(&pubkey, units, self.ctx.config.capacity.sold_units()) {
            Ok(true) => Event::Readmitted,
            Ok(false) => Event::NoUnits,
            Err(e) => {
                tracing::error!(container = %pubkey, "not let back in: {e}");
                Event::NoUnits
            }
        }
    }
}
