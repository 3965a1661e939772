//! A family of faulty events: each a good one, spoilt in one named way.

mod chain;
mod containers;
mod document;
mod embedded;
mod events;
mod older;
mod policy;
mod signatures;
mod tags;

use protocol::event::CheckedEvent;
use protocol::nec::{Policy, VerifiedContainer, VerifiedInstance};

use crate::recipe::Recipe;
use crate::stage::Stage;

pub(crate) use events::flip;

/// The code of an event that passes.
pub(crate) const ACCEPTED: &str = "accepted";
/// Refused, with a code that depends on where random bytes happen to lie.
pub(crate) const REFUSED: &str = "refused";

/// What is spoilt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Form {
    /// Kind 13793.
    Announcement,
    /// Kind 63793.
    Old,
    /// Kind 63797.
    Container,
}

type Spoil = Box<dyn Fn(&mut Recipe, &Stage)>;

/// One way of spoiling an event. Some do no harm; their code is [`ACCEPTED`].
pub(crate) struct Fault {
    pub(crate) name: String,
    pub(crate) form: Form,
    /// The code with which we must answer.
    pub(crate) code: &'static str,
    spoil: Spoil,
}

/// A spoilt event, ready to be judged.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) form: Form,
    pub(crate) code: &'static str,
    pub(crate) policy: Policy,
    pub(crate) text: String,
}

impl Fault {
    /// Spoils a good event.
    pub(crate) fn case(&self, stage: &Stage) -> Case {
        let mut recipe = self.good(stage);
        (self.spoil)(&mut recipe, stage);
        self.finished(recipe, stage)
    }

    /// Spoils a good event that is as small as one can be, without the signatures on which its
    /// refusal does not hang.
    pub(crate) fn small_case(&self, stage: &Stage) -> Case {
        let mut recipe = self.good(stage);
        recipe.shorten();
        (self.spoil)(&mut recipe, stage);
        let signatures = [
            ("build", self.code == ACCEPTED || self.code == "builder_invalid"),
            ("instance", self.code == ACCEPTED || self.code == "launcher_invalid"),
            ("release", self.code == ACCEPTED || self.code.starts_with("release")),
        ];
        for (name, _) in signatures.iter().filter(|(_, is_needed)| !is_needed) {
            recipe.event.tags.retain(|tag| tag[0] != *name);
        }
        self.finished(recipe, stage)
    }

    fn good(&self, stage: &Stage) -> Recipe {
        match self.form {
            Form::Announcement => Recipe::announcement(stage),
            Form::Old => Recipe::old(stage),
            Form::Container => Recipe::container(stage),
        }
    }

    fn finished(&self, recipe: Recipe, stage: &Stage) -> Case {
        let policy = recipe.policy.clone();
        let text = recipe.finish(stage);
        Case { name: self.name.clone(), form: self.form, code: self.code, policy, text }
    }
}

impl Case {
    /// Our verdict: [`ACCEPTED`], or the code of the refusal; and the whole refusal.
    pub(crate) fn verdict(&self) -> (&'static str, String) {
        let event = match CheckedEvent::parse(&self.text) {
            Ok(event) => event,
            Err(e) => return ("event_invalid", e.to_string()),
        };
        let verdict = match self.form {
            Form::Announcement | Form::Old => VerifiedInstance::verify(&event, &self.policy).map(drop),
            Form::Container => VerifiedContainer::verify(&event, &self.policy).map(drop),
        };
        match verdict {
            Ok(()) => (ACCEPTED, String::new()),
            Err(e) => (e.code(), e.to_string()),
        }
    }
}

/// The faults of one part.
pub(crate) struct Family {
    form: Form,
    part: &'static str,
    faults: Vec<Fault>,
}

impl Family {
    fn new(form: Form, part: &'static str) -> Self {
        Self { form, part, faults: Vec::new() }
    }

    fn add(&mut self, name: &str, code: &'static str, spoil: impl Fn(&mut Recipe, &Stage) + 'static) {
        let name = format!("{}: {name}", self.part);
        self.faults.push(Fault { name, form: self.form, code, spoil: Box::new(spoil) });
    }
}

/// All that others can be asked about.
pub(crate) fn all() -> Vec<Fault> {
    let families = [
        vec![events::family()],
        embedded::families(),
        tags::families(),
        chain::families(),
        document::families(),
        signatures::families(),
        vec![policy::family()],
        older::families(),
        containers::families(),
    ];
    let faults: Vec<_> = families.into_iter().flatten().flat_map(|family| family.faults).collect();
    let mut names: Vec<_> = faults.iter().map(|fault| &fault.name).collect();
    names.sort();
    let doubled: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    assert!(doubled.is_empty(), "two faults have one name: {doubled:?}");
    faults
}

/// Those about policies that only we know.
pub(crate) fn of_our_own() -> Vec<Fault> {
    policy::of_our_own().faults
}
