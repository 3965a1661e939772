//! Whether this server may act now.
//!
//! Of two enclaves that were started on one state, one acts. Which one, the key stores say: whoever has
//! their lease may pay, charge, certify, launch and announce until it runs out. What is asked here is
//! asked before each such act, not once.

use std::sync::Arc;
use std::time::Duration;

use keyholder::{Keyholder, Loss};
use protocol::rpc::{Code, Failure};

/// How often somebody who waits for the lease looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The right to act for the state's owner. State in clear (development) belongs to whoever has it, who may
/// always act.
#[derive(Clone, Debug, Default)]
pub struct Hold(Option<Arc<Keyholder>>);

impl Hold {
    /// The right of whoever has this record.
    #[must_use]
    pub const fn of(holder: Arc<Keyholder>) -> Self {
        Self(Some(holder))
    }

    /// True if this server may act now.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.0.as_ref().is_none_or(|holder| holder.may_act())
    }

    /// True if it may still act after `span`, should nothing renew the lease.
    #[must_use]
    pub fn lasts(&self, span: Duration) -> bool {
        self.0.as_ref().is_none_or(|holder| holder.remaining() > span)
    }

    /// Refuses for whoever asks for an act that may not be done now.
    ///
    /// # Errors
    /// [`Code::NotHolding`].
    pub fn require(&self) -> Result<(), Failure> {
        if self.may_act() { Ok(()) } else { Err(not_holding()) }
    }

    /// True if the key stores lost the record: this server may never act again, and has the only copy of its
    /// secret.
    #[must_use]
    pub fn is_orphaned(&self) -> bool {
        self.0.as_ref().is_some_and(|holder| holder.is_orphaned())
    }

    /// Waits until this server may act.
    pub async fn held(&self) {
        while !self.may_act() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until the right to act is lost for good; for ever if it cannot be lost.
    pub async fn lost(&self) -> Loss {
        match &self.0 {
            Some(holder) => holder.lost().await,
            None => std::future::pending().await,
        }
    }
}

/// What whoever asks is told.
#[must_use]
pub fn not_holding() -> Failure {
    Failure::new(
        Code::NotHolding,
        "this server cannot show its key stores that it alone has its state, and does nothing until it can; \
         ask again in a minute",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn state_in_clear_is_held_and_never_lost() {
        let hold = Hold::default();
        assert!(hold.may_act() && hold.lasts(Duration::MAX) && hold.require().is_ok());
        hold.held().await;
        let lost = tokio::time::timeout(Duration::from_millis(50), hold.lost()).await;
        assert!(lost.is_err());
        assert_eq!(not_holding().code.as_str(), "not_holding");
    }
}
