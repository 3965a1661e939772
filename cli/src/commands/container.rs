//! `encli container`.

mod answer;
mod list;
mod money;
mod owner;
mod verify;

pub(crate) use answer::verify_answer;
pub(crate) use list::ls;
pub(crate) use money::{given_bill, msat, show_code, topup, withdraw};
pub(crate) use owner::{command, status};
pub(crate) use verify::{show_endpoints, verify};
