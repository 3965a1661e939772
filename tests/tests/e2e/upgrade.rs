//! Upgrades of containers' images, with a real registry, a real engine and real volumes: one that
//! succeeds, and every way in which one does not, each of which leaves the old image on its own data.

pub(crate) mod app;
mod by_owner;
mod by_release;
mod crash;
mod cut_short;
mod held_mount;
mod outgrown;
mod receipts;
mod volume;

pub(crate) use app::{App, ended};
