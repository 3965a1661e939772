//! How a payment steps: pure, so that the whole table can be read and tested at once.

/// How far a payment is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PaymentState {
    /// The money is set aside.
    Held,
    /// About to be handed to the node, or handed over.
    Dispatched,
    /// Paid.
    Settled,
    /// Not paid; the money is back.
    Failed,
}

/// What can happen to a payment.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PaymentEvent {
    /// The payer asks again for what failed.
    Retry,
    /// It is about to be handed to the node.
    Dispatch,
    /// It definitely arrived.
    Settle,
    /// It definitely failed.
    Fail,
}

/// What an event does to a payment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Step {
    /// The payment goes there.
    To(PaymentState),
    /// It arrived although it had been given up and the money was returned: charge the payer again, and
    /// what it no longer has to the suspense account.
    SettleLate,
    /// Known already, or overtaken by the truth.
    Ignore,
    /// A fault of this program; nothing may be done.
    Impossible,
}

impl PaymentState {
    pub(super) const ALL: [Self; 4] = [Self::Held, Self::Dispatched, Self::Settled, Self::Failed];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Dispatched => "dispatched",
            Self::Settled => "settled",
            Self::Failed => "failed",
        }
    }

    pub(super) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// What `event` does to a payment in this state. Settled is final: nothing beats it. A failure is
    /// final only until it is retried or proves wrong.
    #[must_use]
    pub const fn step(self, event: PaymentEvent) -> Step {
        match (self, event) {
            (Self::Failed, PaymentEvent::Retry) => Step::To(Self::Held),
            (Self::Held, PaymentEvent::Dispatch) => Step::To(Self::Dispatched),
            (Self::Held | Self::Dispatched, PaymentEvent::Settle) => Step::To(Self::Settled),
            (Self::Held | Self::Dispatched, PaymentEvent::Fail) => Step::To(Self::Failed),
            (Self::Failed, PaymentEvent::Settle) => Step::SettleLate,
            (Self::Settled, PaymentEvent::Settle | PaymentEvent::Fail)
            | (Self::Failed, PaymentEvent::Fail) => Step::Ignore,
            (Self::Held | Self::Dispatched | Self::Settled, PaymentEvent::Retry)
            | (Self::Dispatched | Self::Settled | Self::Failed, PaymentEvent::Dispatch) => Step::Impossible,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PaymentEvent::{Dispatch, Fail, Retry, Settle};
    use super::PaymentState::{Dispatched, Failed, Held, Settled};
    use super::*;

    #[test]
    fn every_event_in_every_state_is_defined() {
        let table = [
            (Held, [Step::Impossible, Step::To(Dispatched), Step::To(Settled), Step::To(Failed)]),
            (Dispatched, [Step::Impossible, Step::Impossible, Step::To(Settled), Step::To(Failed)]),
            (Settled, [Step::Impossible, Step::Impossible, Step::Ignore, Step::Ignore]),
            (Failed, [Step::To(Held), Step::Impossible, Step::SettleLate, Step::Ignore]),
        ];
        for (state, expected) in table {
            assert_eq!([Retry, Dispatch, Settle, Fail].map(|event| state.step(event)), expected, "{state:?}");
        }
    }

    #[test]
    fn words_of_the_database_are_stable() {
        let words = PaymentState::ALL.map(PaymentState::as_str);
        assert_eq!(words, ["held", "dispatched", "settled", "failed"]);
        assert_eq!(words.map(PaymentState::from_word), PaymentState::ALL.map(Some));
        assert_eq!(PaymentState::from_word("paid"), None);
    }
}
