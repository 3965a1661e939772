//! What must happen to a container and did not: the process must not run, the data must go, an upgrade must go
//! on or be undone; or the process must run, or an upgrade begin, as soon as this server may act again.

use lifecycle::{Effect, State};

/// Effects that are carried out again until they succeed, or are not wanted any more.
#[derive(Debug, Default)]
pub(super) struct Owed(Vec<Effect>);

impl Owed {
    /// Has an effect carried out again in a while. Undoing comes before all else.
    pub(super) fn owe(&mut self, effect: Effect) {
        if self.has(effect) {
            return;
        }
        match effect {
            Effect::AbandonUpgrade => self.0.insert(0, effect),
            Effect::LookUpInvoice
            | Effect::Launch
            | Effect::Charge { .. }
            | Effect::Readmit
            | Effect::Start
            | Effect::Upgrade
            | Effect::Stop
            | Effect::Wipe
            | Effect::Announce => self.0.push(effect),
        }
    }

    pub(super) fn has(&self, effect: Effect) -> bool {
        self.0.contains(&effect)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Something else came, and with it the effect is not wanted any more.
    pub(super) fn forget(&mut self, effect: Effect) {
        self.0.retain(|owed| *owed != effect);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All that a container in this state still wants, in order; afterwards nothing is owed.
    pub(super) fn take(&mut self, state: &State) -> Vec<Effect> {
        let mut owed = std::mem::take(&mut self.0);
        if state.upgrading {
            // The process is the upgrade's until that ends, and it starts it then: the image of before must
            // not run on a volume that is being copied, nor on what the next one wrote.
            owed.retain(|effect| *effect != Effect::Start);
        }
        owed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_that_is_owed_waits_for_no_upgrade_and_comes_in_none() {
        let runs = State::builtin();
        let upgrading = State { upgrading: true, ..runs };
        let check = |state: &State, owed: &[Effect], taken: &[Effect]| {
            let mut all = Owed::default();
            owed.iter().for_each(|effect| all.owe(*effect));
            assert_eq!(all.take(state), taken, "{state:?}");
            assert!(all.is_empty());
        };
        check(&runs, &[Effect::Start], &[Effect::Start]);
        check(&upgrading, &[Effect::Start], &[]);
        check(&upgrading, &[Effect::Start, Effect::Upgrade], &[Effect::Upgrade]);
        check(&runs, &[Effect::Start, Effect::AbandonUpgrade], &[Effect::AbandonUpgrade, Effect::Start]);
    }

    #[test]
    fn what_is_owed_is_owed_once_and_forgotten_alone() {
        let mut owed = Owed::default();
        for effect in [Effect::Stop, Effect::Start, Effect::Stop] {
            owed.owe(effect);
        }
        owed.forget(Effect::Start);
        assert!(owed.has(Effect::Stop) && !owed.has(Effect::Start));
        assert_eq!(owed.take(&State::builtin()), [Effect::Stop]);
    }
}
