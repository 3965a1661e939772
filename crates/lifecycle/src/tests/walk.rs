//! Random walks against a reference model: a wallet that may be silent, or take the money and lose
//! the answer; a server that crashes between a step and its effects; owners who top up, pause, resume
//! and terminate; upgrades that begin, end, or are cut short. The model keeps its own books of money and of running time and shares no code with
//! the machine.

use proptest::prelude::*;
use units::UnixSecs;

use super::POLICY;
use crate::{Effect, Event, Phase, State, next_wakeup, step};

const PRICE: i64 = 10;

#[derive(Clone, Debug)]
enum Action {
    Pass(u64),
    TopUp(i64),
    PayInvoice,
    Wallet(WalletMood),
    Owner(Event),
    ProcessExits,
    CrashAndRestart { down_secs: u64, lose_effects: bool },
    NextLaunchFails,
    UnitsFree(bool),
    CapacityLost,
    UpgradeReady,
    UpgradeEnds,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WalletMood {
    Answers,
    Silent,
    PaysButLosesTheAnswer,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let action = prop_oneof![
        6 => (1_u64..60).prop_map(Action::Pass),
        1 => (100_u64..1_500).prop_map(Action::Pass),
        3 => (1_i64..40).prop_map(Action::TopUp),
        2 => Just(Action::PayInvoice),
        2 => prop_oneof![
            Just(WalletMood::Answers), Just(WalletMood::Silent), Just(WalletMood::PaysButLosesTheAnswer)
        ].prop_map(Action::Wallet),
        2 => prop_oneof![
            3 => Just(Event::PauseAsked), 3 => Just(Event::ResumeAsked), 1 => Just(Event::TerminateAsked)
        ].prop_map(Action::Owner),
        1 => Just(Action::ProcessExits),
        2 => (0_u64..200, any::<bool>())
            .prop_map(|(down_secs, lose_effects)| Action::CrashAndRestart { down_secs, lose_effects }),
        1 => Just(Action::NextLaunchFails),
        1 => any::<bool>().prop_map(Action::UnitsFree),
        1 => Just(Action::CapacityLost),
        2 => Just(Action::UpgradeReady),
        1 => Just(Action::UpgradeEnds),
    ];
    proptest::collection::vec(action, 1..80)
}

/// The world around one container.
struct World {
    state: State,
    now: UnixSecs,
    mood: WalletMood,
    units_free: bool,
    launch_fails: bool,
    process_runs: bool,
    data_exists: bool,
    /// An upgrade has begun to replace the process.
    replacing: bool,
    invoice_settled_at: Option<UnixSecs>,
    deposited: i64,
    balance: i64,
    periods_charged: std::collections::BTreeSet<u64>,
    /// The period for which the wallet has an invoice.
    invoiced: Option<u64>,
    ended_by_owner: bool,
    /// Seconds that the process ran, and seconds of service that were bought or given back.
    ran_secs: u64,
    owed_secs: u64,
    /// Seconds in which it was entitled to its units while the server was there, and how often it was let back
    /// in with paid time left.
    entitled_secs: u64,
    readmitted: u64,
}

impl World {
    fn new() -> Self {
        Self {
            state: State::waiting(UnixSecs(1_050)),
            now: UnixSecs(1_000),
            mood: WalletMood::Answers,
            units_free: true,
            launch_fails: false,
            process_runs: false,
            data_exists: false,
            replacing: false,
            invoice_settled_at: None,
            deposited: 0,
            balance: 0,
            periods_charged: std::collections::BTreeSet::new(),
            invoiced: None,
            ended_by_owner: false,
            ran_secs: 0,
            owed_secs: 0,
            entitled_secs: 0,
            readmitted: 0,
        }
    }

    fn feed(&mut self, event: Event) {
        if let Ok((next, effects)) = step(&self.state, event, self.now, &POLICY) {
            self.state = next;
            for effect in effects {
                if let Some(outcome) = self.carry_out(effect) {
                    self.feed(outcome);
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::LookUpInvoice if self.mood != WalletMood::Answers => Some(Event::InvoiceUnknown),
            Effect::LookUpInvoice => Some(match self.invoice_settled_at {
                Some(settled_at) => Event::InvoicePaid { settled_at },
                None => Event::InvoiceOpen,
            }),
            Effect::Launch if std::mem::take(&mut self.launch_fails) => Some(Event::LaunchFailed),
            Effect::Launch => {
                (self.process_runs, self.data_exists) = (true, true);
                Some(Event::Launched)
            }
            Effect::Charge { period } => Some(self.charge(period)),
            Effect::Readmit if self.units_free => {
                // Rounded up.
                self.readmitted += 1;
                self.owed_secs += 1;
                Some(Event::Readmitted)
            }
            Effect::Readmit => Some(Event::NoUnits),
            Effect::Start => {
                assert!(self.data_exists && !self.replacing, "a start needs the data, one image's");
                self.process_runs = true;
                Some(Event::Started)
            }
            Effect::Upgrade => {
                (self.process_runs, self.replacing) = (true, true);
                None
            }
            Effect::AbandonUpgrade => {
                if std::mem::take(&mut self.replacing) {
                    self.process_runs = false;
                }
                None
            }
            Effect::Stop => {
                assert!(!self.replacing, "stopped in the middle of an upgrade");
                self.process_runs = false;
                None
            }
            Effect::Wipe => {
                (self.process_runs, self.data_exists, self.replacing) = (false, false, false);
                None
            }
            Effect::Announce => None,
        }
    }

    /// A wallet that pays each period at most once, whatever it is asked.
    fn charge(&mut self, period: u64) -> Event {
        if matches!(self.state.phase, Phase::Paused { .. }) && !self.units_free {
            // What was asked for before may have been paid.
            if self.invoiced != Some(period) {
                return Event::NoUnits;
            }
            return match self.mood {
                WalletMood::Silent | WalletMood::PaysButLosesTheAnswer => Event::ChargeUnknown,
                WalletMood::Answers if self.periods_charged.contains(&period) => {
                    Event::PaidWithoutUnits { period }
                }
                WalletMood::Answers => Event::NoUnits,
            };
        }
        if self.mood == WalletMood::Silent {
            return Event::ChargeUnknown;
        }
        self.invoiced = Some(period);
        if !self.periods_charged.contains(&period) {
            if self.balance < PRICE {
                return if self.mood == WalletMood::Answers {
                    Event::ChargeRefused
                } else {
                    Event::ChargeUnknown
                };
            }
            self.balance -= PRICE;
            self.periods_charged.insert(period);
            self.owed_secs += POLICY.period_secs;
        }
        if self.mood == WalletMood::Answers { Event::ChargePaid { period } } else { Event::ChargeUnknown }
    }

    /// Lets time pass, ticking at every moment that the machine asked for.
    fn pass(&mut self, secs: u64) {
        let end = self.now.plus_secs(secs);
        while self.now < end {
            let wakeup = next_wakeup(&self.state, &POLICY).unwrap_or(end);
            let until = wakeup.max(self.now.plus_secs(1)).min(end);
            if self.process_runs {
                self.ran_secs += until.secs_since(self.now);
            }
            if self.state.phase == Phase::Deployed {
                self.entitled_secs += until.secs_since(self.now);
            }
            self.now = until;
            self.feed(Event::Tick);
            self.invariants();
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Pass(secs) => self.pass(secs),
            Action::TopUp(amount) => {
                self.deposited += amount;
                self.balance += amount;
                self.feed(Event::BalanceRose);
            }
            Action::PayInvoice => {
                if self.invoice_settled_at.is_none() {
                    self.invoice_settled_at = Some(self.now);
                    self.deposited += PRICE;
                    self.balance += PRICE;
                    self.feed(Event::BalanceRose);
                }
            }
            Action::Wallet(mood) => self.mood = mood,
            Action::Owner(event) => {
                self.feed(event);
                self.ended_by_owner |= self.state.phase == Phase::Terminated;
            }
            Action::ProcessExits => {
                if std::mem::take(&mut self.process_runs) {
                    self.feed(Event::Exited);
                }
            }
            Action::CrashAndRestart { down_secs, lose_effects } => {
                if lose_effects && let Ok((next, _)) = step(&self.state, Event::Tick, self.now, &POLICY) {
                    self.state = next;
                }
                // The engine dies with the server: what it ran is gone when the server is back.
                self.process_runs = false;
                self.now = self.now.plus_secs(down_secs);
                self.feed(Event::ServerWasDown { secs: down_secs });
                self.feed(Event::ServerStarted);
            }
            Action::NextLaunchFails => self.launch_fails = true,
            Action::UnitsFree(free) => self.units_free = free,
            Action::CapacityLost => self.feed(Event::CapacityLost),
            Action::UpgradeReady => self.feed(Event::UpgradeReady),
            Action::UpgradeEnds => {
                if std::mem::take(&mut self.replacing) {
                    self.feed(Event::UpgradeEnded);
                }
            }
        }
    }

    fn invariants(&self) {
        let state = &self.state;
        let spent = PRICE * i64::try_from(self.periods_charged.len()).unwrap();
        assert_eq!(self.balance + spent, self.deposited, "money is conserved");
        assert!(self.balance >= 0, "no account goes below zero");
        assert!(
            !self.process_runs
                || self.now < state.paid_until.plus_secs(POLICY.grace_secs + POLICY.retry_secs),
            "runs unpaid beyond its grace: {state:?} at {}",
            self.now
        );
        if self.mood == WalletMood::Answers && self.process_runs {
            assert!(
                self.now <= state.paid_until.plus_secs(POLICY.retry_secs)
                    || state.wallet_silent_since.is_some(),
                "runs unpaid although the wallet answers: {state:?} at {}",
                self.now
            );
        }
        let paid = state.paid_until > self.now && state.phase == Phase::Deployed;
        // A process on trial that ends is not started again before the upgrade is over.
        if paid && !state.owner_paused && state.restart_at.is_none() && !state.upgrading {
            assert!(self.process_runs, "paid, and stopped: {state:?} at {}", self.now);
        }
        assert!(!self.process_runs || state.should_run(), "runs without being entitled: {state:?}");
        // What ran is covered by what was bought, but for one grace.
        assert!(
            self.ran_secs <= self.owed_secs + POLICY.grace_secs + POLICY.retry_secs,
            "ran {} s, {} s were paid",
            self.ran_secs,
            self.owed_secs
        );
        // To the second: time left is what was bought, less what was had.
        let left = match state.phase {
            Phase::Deployed => Some(i128::from(state.paid_until.0) - i128::from(self.now.0)),
            Phase::Paused { since } => Some(i128::from(state.paid_until.0) - i128::from(since.0)),
            Phase::Waiting { .. } | Phase::Expired | Phase::Launching | Phase::Failed | Phase::Terminated => {
                None
            }
        };
        if let Some(left) = left {
            let bought = state.next_period * POLICY.period_secs + self.readmitted;
            assert_eq!(
                left,
                i128::from(bought) - i128::from(self.entitled_secs),
                "{state:?} at {}",
                self.now
            );
        }
        // Whatever is paid was had, or is still to be had.
        let applied = u64::try_from(self.periods_charged.len()).unwrap() == state.next_period;
        assert!(applied || !state.is_over() || self.ended_by_owner, "wiped although it is paid: {state:?}");
        assert_eq!(self.replacing, state.upgrading, "{state:?}");
        assert!(!state.upgrading || state.should_run(), "upgraded without being entitled: {state:?}");
        if state.is_over() {
            assert!(!self.process_runs && !self.data_exists, "over, and not cleaned up");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_walk_breaks_an_invariant(actions in actions()) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
            world.invariants();
        }
    }

    #[test]
    fn every_top_up_of_a_paused_container_resumes_it(pause_secs in 1_u64..900, top_up in PRICE..100) {
        let mut world = World::new();
        world.act(Action::PayInvoice);
        world.pass(POLICY.period_secs + 1);
        prop_assert!(matches!(world.state.phase, Phase::Paused { .. }), "starved after one period");
        prop_assert!(!world.process_runs && world.data_exists);
        world.pass(pause_secs);
        world.act(Action::TopUp(top_up));
        prop_assert!(world.process_runs && world.state.paid_until > world.now);
    }

    /// Whoever paid while the answer was lost, and its units with it, gets what it paid for.
    #[test]
    fn paid_period_survives_the_loss_of_its_answer_and_its_units(
        silent in 1_u64..1_500,
        full in 30_u64..5_000,
    ) {
        let mut world = World::new();
        world.act(Action::PayInvoice);
        world.pass(POLICY.period_secs + 1);
        let ran = world.ran_secs;
        world.act(Action::Wallet(WalletMood::PaysButLosesTheAnswer));
        world.act(Action::TopUp(PRICE));
        prop_assert!(world.balance == 0 && !world.process_runs, "paid, and nobody knows");
        world.act(Action::UnitsFree(false));
        world.pass(silent);
        world.act(Action::Wallet(WalletMood::Answers));
        world.pass(full);
        prop_assert!(world.state.is_owed_time() && world.data_exists && !world.process_runs);
        world.act(Action::UnitsFree(true));
        world.pass(POLICY.poll_secs + 2 * POLICY.period_secs);
        prop_assert!(!world.process_runs && world.state.next_period == 2);
        prop_assert!(world.ran_secs - ran >= POLICY.period_secs, "it had {} s", world.ran_secs - ran);
    }

    /// Whoever stands aside gets what it paid for, with nothing on its balance and whatever else it could not pay.
    #[test]
    fn paid_time_survives_standing_aside(ran in 1_u64..90, aside in 1_u64..5_000) {
        let mut world = World::new();
        world.act(Action::PayInvoice);
        world.pass(ran);
        let left = world.state.paid_until.secs_since(world.now);
        world.act(Action::UnitsFree(false));
        world.act(Action::CapacityLost);
        world.pass(aside);
        prop_assert!(!world.process_runs && world.data_exists && world.balance == 0);
        world.act(Action::UnitsFree(true));
        for _ in 0..=POLICY.poll_secs {
            if !world.process_runs {
                world.pass(1);
            }
        }
        prop_assert!(world.process_runs && world.balance == 0);
        prop_assert_eq!(world.state.paid_until.secs_since(world.now), left + 1);
    }
}
