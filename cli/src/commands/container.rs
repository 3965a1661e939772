//! `encli container`.

mod answer;
mod env;
mod list;
mod money;
mod observe;
mod owner;
mod receipts;
mod statement;
mod upgrade;
mod verify;

pub(crate) use answer::verify_answer;
pub(crate) use env::set_env;
pub(crate) use list::ls;
pub(crate) use money::{given_bill, msat, show_code, topup, withdraw};
pub(crate) use observe::{events, exec, logs, stats, transfer};
pub(crate) use owner::{command, status};
pub(crate) use receipts::receipts;
pub(crate) use statement::verify as verify_statement;
pub(crate) use upgrade::{upgrade, upgrades};
pub(crate) use verify::{show_endpoints, verify};
