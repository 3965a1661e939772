//! Events in the making, whose every part can be spoilt.

use std::rc::Rc;

use nostr::event::{Event, Kind};
use nostr::key::Keys;
use protocol::event::sign;
use serde_json::Value;
use units::UnixSecs;

type Twist = Rc<dyn Fn(&mut Value)>;
type Rewrite = Rc<dyn Fn(String) -> String>;

/// An event before it is signed, and what happens to it afterwards.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) keys: Keys,
    pub(crate) kind: Kind,
    pub(crate) at: UnixSecs,
    pub(crate) tags: Vec<Vec<String>>,
    pub(crate) content: String,
    twists: Vec<Twist>,
    rewrites: Vec<Rewrite>,
}

impl Draft {
    /// What a builder made, to be changed and signed again.
    pub(crate) fn of(event: &Event, keys: &Keys) -> Self {
        Self {
            keys: keys.clone(),
            kind: event.kind,
            at: UnixSecs(event.created_at.as_secs()),
            tags: event.tags.iter().map(|tag| tag.as_slice().to_vec()).collect(),
            content: event.content.clone(),
            twists: Vec::new(),
            rewrites: Vec::new(),
        }
    }

    /// Signs it and returns its text, with what was to be spoilt after signing.
    pub(crate) fn text(&self) -> String {
        let event = sign(&self.keys, self.kind, self.at, self.tags.clone(), self.content.clone()).unwrap();
        let mut text = event.as_json();
        if !self.twists.is_empty() {
            let mut value: Value = serde_json::from_str(&text).unwrap();
            self.twists.iter().for_each(|twist| twist(&mut value));
            text = value.to_string();
        }
        self.rewrites.iter().fold(text, |text, rewrite| rewrite(text))
    }

    /// Changes the event after it is signed.
    pub(crate) fn twist(&mut self, change: impl Fn(&mut Value) + 'static) {
        self.twists.push(Rc::new(change));
    }

    /// Changes the text of the event.
    pub(crate) fn rewrite(&mut self, change: impl Fn(String) -> String + 'static) {
        self.rewrites.push(Rc::new(change));
    }

    /// Gives the first tag of this name another value.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.tags.iter_mut().find(|tag| tag[0] == name).unwrap()[1] = value.to_string();
    }

    /// Gives the first tag `[name, …, marker]` another value.
    pub(crate) fn set_marked(&mut self, name: &str, marker: &str, value: impl ToString) {
        let is_it = |tag: &&mut Vec<String>| tag[0] == name && tag.get(2).is_some_and(|it| it == marker);
        self.tags.iter_mut().find(is_it).unwrap()[1] = value.to_string();
    }

    /// The value of the first tag of this name.
    pub(crate) fn get(&self, name: &str) -> String {
        self.tags.iter().find(|tag| tag[0] == name).unwrap()[1].clone()
    }

    /// The value of the first tag `[name, …, marker]`.
    pub(crate) fn get_marked(&self, name: &str, marker: &str) -> String {
        let is_it = |tag: &&Vec<String>| tag[0] == name && tag.get(2).is_some_and(|it| it == marker);
        self.tags.iter().find(is_it).unwrap()[1].clone()
    }

    /// Removes the tags of this name.
    pub(crate) fn drop(&mut self, name: &str) {
        let before = self.tags.len();
        self.tags.retain(|tag| tag[0] != name);
        assert!(self.tags.len() < before, "there was no {name}");
    }

    /// Removes the tags `[name, …, marker]`.
    pub(crate) fn drop_marked(&mut self, name: &str, marker: &str) {
        let before = self.tags.len();
        self.tags.retain(|tag| tag[0] != name || tag.get(2).is_none_or(|it| it != marker));
        assert!(self.tags.len() < before, "there was no {name} {marker}");
    }

    /// Adds a tag.
    pub(crate) fn add(&mut self, tag: &[&str]) {
        self.tags.push(tag.iter().map(ToString::to_string).collect());
    }

    /// Adds a second tag of this name, equal to the first or with this value.
    pub(crate) fn double(&mut self, name: &str, value: Option<&str>) {
        let mut tag = self.tags.iter().find(|tag| tag[0] == name).unwrap().clone();
        if let Some(value) = value {
            tag[1] = value.to_owned();
        }
        self.tags.push(tag);
    }
}
