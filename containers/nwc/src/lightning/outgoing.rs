//! Payments to the outside, as wallet and node name them to each other.

use std::fmt;
use std::str::FromStr;

use protocol::nwc::Preimage;
use units::Msat;

use super::Bolt11;

/// One attempt of a payment. Who was refused or failed may try again with the same invoice, and so the same hash:
/// only this tells a late report of the attempt before from one of this.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AttemptId {
    payment: i64,
    number: u32,
}

/// A text is no attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("must be a payment's number, a slash and an attempt's number")]
pub struct NoAttempt;

impl AttemptId {
    /// The attempt of this number (from one) of the payment of this number.
    #[must_use]
    pub const fn new(payment: i64, number: u32) -> Self {
        Self { payment, number }
    }
}

/// For a node that keeps it beside its own record of the payment.
impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.payment, self.number)
    }
}

impl FromStr for AttemptId {
    type Err = NoAttempt;

    fn from_str(text: &str) -> Result<Self, NoAttempt> {
        let (payment, number) = text.split_once('/').ok_or(NoAttempt)?;
        let id = Self::new(payment.parse().map_err(|_| NoAttempt)?, number.parse().map_err(|_| NoAttempt)?);
        // One spelling.
        if id.to_string() == text { Ok(id) } else { Err(NoAttempt) }
    }
}

/// A payment to be sent.
#[derive(Clone, Debug)]
pub struct OutgoingPayment {
    /// Which attempt it is. The node keeps it before anything leaves, and names it in its reports.
    pub attempt: AttemptId,
    /// The invoice.
    pub invoice: Bolt11,
    /// The amount; the invoice's own if it has one.
    pub amount: Msat,
    /// The most that may be spent on routing: exactly what was set aside for it.
    pub max_fee: Msat,
}

/// What a node knows of an attempt that may have been handed over to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is on its way, or the report of its end is still to come.
    UnderWay,
    /// It arrived.
    Settled {
        /// The proof.
        preimage: Preimage,
        /// What routing took.
        fee: Msat,
    },
    /// It failed for good.
    Failed {
        /// Why, for the payer.
        reason: String,
    },
    /// Nothing of it ever left, for certain: the node puts every attempt on record before it sends anything, and
    /// this one is not there.
    NeverSent,
    /// The node cannot tell. The money stays set aside.
    Unknown,
}

/// What a node could pay with.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Assets {
    /// What it could pay out now in all, less what it must keep (channel reserves, money for anchors), and
    /// without what is in [`Self::in_flight`].
    pub spendable: Msat,
    /// What left its side of the channels for payments of ours whose end it has not reported yet, or whose
    /// report was not acknowledged yet.
    pub in_flight: Msat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempt_has_one_spelling() {
        let id = AttemptId::new(12, 3);
        assert_eq!((id.to_string().as_str(), "12/3".parse()), ("12/3", Ok(id)));
        for text in ["", "12", "12/", "/3", "12/3/4", "012/3", "12/+3", "12/-3", "x/3"] {
            assert_eq!(text.parse::<AttemptId>(), Err(NoAttempt), "{text}");
        }
    }
}
