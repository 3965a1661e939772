//! What happens to a container, and what is to be done about it.

use std::fmt;

use units::UnixSecs;

/// Something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The server started; the process may or may not be running.
    ServerStarted,
    /// The server was down for so long: paid time that nobody got.
    ServerWasDown {
        /// Length of the outage, in seconds.
        secs: u64,
    },
    /// Time has passed.
    Tick,
    /// The wallet says that the launch invoice was paid at `settled_at`.
    InvoicePaid {
        /// The wallet's time of settlement.
        settled_at: UnixSecs,
    },
    /// The wallet says that the launch invoice is not paid.
    InvoiceOpen,
    /// The wallet gave no answer about the launch invoice.
    InvoiceUnknown,
    /// Money arrived in the container's account.
    BalanceRose,
    /// The image is fetched and the process runs for the first time.
    Launched,
    /// The launch cannot succeed.
    LaunchFailed,
    /// The charge for `period` is paid.
    ChargePaid {
        /// Number of the period.
        period: u64,
    },
    /// The charge for `period` is paid, and there are no units left to let the paused container back in.
    PaidWithoutUnits {
        /// Number of the period.
        period: u64,
    },
    /// The wallet refused the charge: the balance is too small.
    ChargeRefused,
    /// Nobody knows whether the charge was paid.
    ChargeUnknown,
    /// The server has no units left to let a paused container back in, and nothing was paid for it.
    NoUnits,
    /// The server has fewer units than it sold, and this container's are among those that are missing.
    CapacityLost,
    /// Units are free for a container that stands aside with paid time left, and are its own again.
    Readmitted,
    /// The process was started, or was found running.
    Started,
    /// The process ended by itself or could not be started.
    Exited,
    /// The image of an upgrade is at hand: it can take the place of the one that runs.
    UpgradeReady,
    /// The upgrade is over, one way or the other; one image or the other is in place, and stopped or not.
    UpgradeEnded,
    /// The owner wants it stopped.
    PauseAsked,
    /// The owner wants it running.
    ResumeAsked,
    /// The owner wants it gone.
    TerminateAsked,
}

/// Something to do. Every effect may be carried out more than once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Ask the wallet about the launch invoice; answers `InvoicePaid`, `InvoiceOpen` or `InvoiceUnknown`.
    LookUpInvoice,
    /// Fetch the image, prepare and start; answers `Launched` or `LaunchFailed`.
    Launch,
    /// Charge for a period; answers `ChargePaid`, `PaidWithoutUnits`, `ChargeRefused`, `ChargeUnknown` or
    /// `NoUnits`.
    Charge {
        /// Number of the period, unique in the container's life: a period is never paid twice.
        period: u64,
    },
    /// Let a container back in that stands aside with paid time left: nothing is charged for that; answers
    /// `Readmitted` or `NoUnits`.
    Readmit,
    /// Make sure that the process runs; answers `Started` or `Exited`.
    Start,
    /// Go on with the upgrade on record, wherever it is; answers `UpgradeEnded`.
    Upgrade,
    /// Give up an upgrade that has begun to replace the process, if there is one: afterwards the old image
    /// and its data are in place, and nothing runs. One that still fetches its image goes on.
    AbandonUpgrade,
    /// Make sure that the process does not run; its data stays.
    Stop,
    /// Remove the process, its network and its data.
    Wipe,
    /// Tell the world: state or balance changed.
    Announce,
}

/// A command that does not fit the container's state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// The state's public name.
    pub state: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a container that is {} cannot do that", self.state)
    }
}

impl std::error::Error for Refused {}
