//! How one image takes the place of another, step by step.

use serde::{Deserialize, Serialize};

/// How often a new image is put on trial before it is given up: a trial that a crash of the server cut
/// short says nothing of the image, but one that is cut short each time may be the reason.
pub const TRIES_MAX: u32 = 3;

/// Where an upgrade is. On record before what it stands for is done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "stage")]
pub enum Stage {
    /// The new image is being fetched; the old one runs.
    Fetching,
    /// The old process is being stopped and its volume copied.
    Stopping,
    /// The new image is in place, and must show that it is healthy.
    Trying {
        /// How many trials were begun before this one.
        tries: u32,
    },
    /// The old image and the copy of the volume are being put back.
    RollingBack {
        /// Something else came first; the new image is not to blame.
        cancelled: bool,
    },
}

/// How an upgrade ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// The new image runs.
    Done,
    /// It was not begun: the old image was never replaced.
    Refused,
    /// The old image and its data are back; the reason says whether the new one is to blame.
    RolledBack,
    /// The old image and its data are back, or were never gone; nobody is to blame.
    Cancelled,
}

/// What was heard of the stage under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Told {
    /// What the stage stands for is done.
    Done,
    /// It cannot be done, or the new image is not healthy.
    Failed,
    /// Something else comes first: a pause, the end.
    Cancelled,
    /// The server starts, and finds the upgrade on record.
    Found,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Act {
    /// Put this stage on record, then do what it stands for.
    Enter(Stage),
    /// Put the end on record, then clear away the copy.
    Finish(End),
}

/// Computes what follows `stage` after what was `told`.
#[must_use]
pub const fn next(stage: Stage, told: Told) -> Act {
    match (stage, told) {
        (Stage::Fetching, Told::Done) => Act::Enter(Stage::Stopping),
        (Stage::Fetching, Told::Failed) => Act::Finish(End::Refused),
        (Stage::Stopping, Told::Done) => Act::Enter(Stage::Trying { tries: 0 }),
        // Refused, and so tried ever more rarely: each time costs the app that it is stopped.
        (Stage::Stopping, Told::Failed) => Act::Finish(End::Refused),
        // The old image was never replaced.
        (Stage::Fetching | Stage::Stopping, Told::Cancelled) => Act::Finish(End::Cancelled),
        (Stage::Trying { .. }, Told::Done) => Act::Finish(End::Done),
        (Stage::Trying { .. }, Told::Failed) => Act::Enter(Stage::RollingBack { cancelled: false }),
        (Stage::Trying { .. }, Told::Cancelled) => Act::Enter(Stage::RollingBack { cancelled: true }),
        (Stage::Trying { tries }, Told::Found) if tries + 1 >= TRIES_MAX => {
            Act::Enter(Stage::RollingBack { cancelled: false })
        }
        (Stage::Trying { tries }, Told::Found) => Act::Enter(Stage::Trying { tries: tries + 1 }),
        (Stage::RollingBack { cancelled: false }, Told::Done) => Act::Finish(End::RolledBack),
        (Stage::RollingBack { cancelled: true }, Told::Done) => Act::Finish(End::Cancelled),
        // There is no way but back, whatever else is wanted; whom it is blamed on stands already.
        (Stage::Fetching | Stage::Stopping | Stage::RollingBack { .. }, Told::Found)
        | (Stage::RollingBack { .. }, Told::Failed | Told::Cancelled) => Act::Enter(stage),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOLD: [Told; 4] = [Told::Done, Told::Failed, Told::Cancelled, Told::Found];

    /// What the world looks like, as far as the stages know.
    #[derive(Debug, Default)]
    struct World {
        runs_new: bool,
        has_copy: bool,
        data_is_new: bool,
    }

    impl World {
        /// Does what a stage stands for.
        fn carry_out(&mut self, stage: Stage) {
            match stage {
                Stage::Fetching => {}
                Stage::Stopping => self.has_copy = true,
                Stage::Trying { .. } => {
                    assert!(self.has_copy, "a trial without a copy");
                    (self.runs_new, self.data_is_new) = (true, true);
                }
                Stage::RollingBack { .. } => {
                    assert!(self.has_copy, "nothing to go back to");
                    (self.runs_new, self.data_is_new) = (false, false);
                }
            }
        }
    }

    #[test]
    fn upgrade_that_goes_well_takes_three_stages() {
        assert_eq!(next(Stage::Fetching, Told::Done), Act::Enter(Stage::Stopping));
        assert_eq!(next(Stage::Stopping, Told::Done), Act::Enter(Stage::Trying { tries: 0 }));
        assert_eq!(next(Stage::Trying { tries: 0 }, Told::Done), Act::Finish(End::Done));
    }

    #[test]
    fn image_that_is_not_healthy_is_rolled_back_and_blamed() {
        let back = Stage::RollingBack { cancelled: false };
        assert_eq!(next(Stage::Trying { tries: 1 }, Told::Failed), Act::Enter(back));
        assert_eq!(next(back, Told::Cancelled), Act::Enter(back));
        assert_eq!(next(back, Told::Done), Act::Finish(End::RolledBack));
        let cancelled = Stage::RollingBack { cancelled: true };
        assert_eq!(next(Stage::Trying { tries: 0 }, Told::Cancelled), Act::Enter(cancelled));
        assert_eq!(next(cancelled, Told::Done), Act::Finish(End::Cancelled));
    }

    #[test]
    fn process_that_cannot_be_stopped_is_not_stopped_again_at_every_look() {
        assert_eq!(next(Stage::Stopping, Told::Failed), Act::Finish(End::Refused));
        assert_eq!(next(Stage::Stopping, Told::Cancelled), Act::Finish(End::Cancelled));
    }

    #[test]
    fn trials_that_crashes_cut_short_are_counted() {
        let mut stage = Stage::Trying { tries: 0 };
        for tries in 1..TRIES_MAX {
            let again = Stage::Trying { tries };
            assert_eq!(next(stage, Told::Found), Act::Enter(again));
            stage = again;
        }
        assert_eq!(next(stage, Told::Found), Act::Enter(Stage::RollingBack { cancelled: false }));
    }

    proptest! {
        /// Whatever happens, an upgrade ends with one image and its own data, and new data under the old
        /// image never.
        #[test]
        fn old_image_never_runs_on_new_data(told in proptest::collection::vec(0..TOLD.len(), 0..40)) {
            let (mut stage, mut world) = (Stage::Fetching, World::default());
            let told = told.into_iter().map(|number| TOLD[number]).chain(std::iter::repeat_n(Told::Done, 4));
            for told in told {
                // A stage counts as done only if it was; before anything else it may be half done.
                if told == Told::Done {
                    world.carry_out(stage);
                } else if matches!(stage, Stage::Trying { .. }) {
                    world.data_is_new = true;
                }
                match next(stage, told) {
                    Act::Enter(entered) => stage = entered,
                    Act::Finish(end) => {
                        prop_assert_eq!(world.runs_new, end == End::Done);
                        prop_assert_eq!(world.data_is_new, end == End::Done, "{:?} ends in {:?}", stage, world);
                        return Ok(());
                    }
                }
            }
            prop_assert!(false, "no end: {:?}", stage);
        }
    }
}
