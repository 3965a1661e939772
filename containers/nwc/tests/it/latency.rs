//! Point 7 of the checklist: clients wait ten seconds for reads, so no read waits for the node.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use protocol::nwc::*;
use units::{Msat, Stopwatch};

use crate::support::node::foreign_invoice;
use crate::support::{NOW, World, person};

/// What clients wait for these (the SDK's `get_info`, `get_balance`, `get_budget`, `list_transactions`, and
/// the ten seconds of the `nwc` crate for all).
const CLIENTS_WAIT: Duration = Duration::from_secs(10);
/// Payments that hang in the node, more than the disk's threads would be few.
const HANGING: u8 = 8;

#[test]
fn point_07_reads_are_answered_while_the_node_hangs_and_ask_it_nothing() {
    let (world, node) = World::on_lightning();
    let payer = person(1);
    world.give(payer, 10_000_000);
    let known = world.invoice(payer, 5_000);
    thread::scope(|scope| {
        let mut leaving = Vec::new();
        for seed in 0..HANGING {
            let (entered, has_entered) = sync_channel(1);
            let (leave, may_leave) = sync_channel(1);
            node.pause_in_next_payment(entered, may_leave);
            let (invoice, ..) = foreign_invoice(seed + 1, Msat::new(1_000), NOW);
            let world = &world;
            scope.spawn(move || {
                world.handle(payer, Request::from_json(&PayInvoice::of(invoice).request_json()).unwrap(), NOW)
            });
            has_entered.recv_timeout(CLIENTS_WAIT).unwrap();
            leaving.push(leave);
        }
        let asked = node.asked();
        let took = Stopwatch::start();
        world.call(payer, &GetInfo {}, NOW).unwrap();
        let reserved = 10_000_000 - world.balance(payer);
        assert!(reserved >= i64::from(HANGING) * 1_000, "all are on their way: {reserved}");
        world.call(payer, &GetBudget {}, NOW).unwrap();
        world.lookup(payer, known.payment_hash).unwrap();
        assert!(!world.list(payer, ListTransactions::default()).is_empty());
        assert!(took.elapsed() < CLIENTS_WAIT, "{:?}", took.elapsed());
        assert_eq!(node.asked(), asked, "a read asked the node");
        for leave in leaving {
            leave.send(()).unwrap();
        }
    });
    world.audit();
}
