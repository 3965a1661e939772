//! A container that stood aside with paid time left is let back in.

use lifecycle::Event;
use protocol::rpc::enclaved::StateReason;

use super::{Driver, NO_ROOM};

impl Driver {
    /// Says to its owner why a container that paid is paused.
    pub(super) fn explain(&mut self, event: Event) {
        let message = if event == Event::CapacityLost {
            "the server has fewer units than before; it comes back when some are free"
        } else if matches!(event, Event::PaidWithoutUnits { .. }) {
            "it is paid, and its units went to another before that was known; it comes back when some are free"
        } else {
            return;
        };
        self.container.reason = Some(StateReason { code: NO_ROOM.to_owned(), message: message.to_owned() });
    }

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
