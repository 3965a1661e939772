//! The attack cases of the research page that apply without transport and Lightning, by their numbers.
//! (1, 2 and 27 are in `concurrency`, 5, 6, 8 and 11 to 19 in `lightning`; 3 and 29 also have unit tests
//! beside the parser and the zap check.)

use protocol::nwc::*;
use units::Msat;

use crate::support::node::foreign_invoice;
use crate::support::{NOW, Setup, World, assert_refused, person};

#[test]
fn attack_03_amounts_that_are_no_amounts_never_become_requests() {
    for amount in ["-1", "0", "1.5", "\"5\"", "9223372036854775808", "1e3"] {
        for text in [
            format!(r#"{{"method":"make_invoice","params":{{"amount":{amount}}}}}"#),
            format!(r#"{{"method":"pay_invoice","params":{{"invoice":"lnbcrt1","amount":{amount}}}}}"#),
        ] {
            assert_eq!(Request::from_json(&text).unwrap_err().error.code, ErrorCode::Other, "{text}");
        }
    }
    let world = World::new();
    for too_much in [100_000_000_001, i64::MAX] {
        assert_refused(world.invoice_at(person(1), too_much, NOW), ErrorCode::Other, "100000000000 msat");
    }
}

#[test]
fn attack_03_one_millisatoshi_is_an_amount() {
    let world = World::new();
    world.pay(person(0), &world.invoice(person(1), 1)).unwrap();
    world.pay(person(1), &world.invoice(person(2), 1)).unwrap();
    world.assert_unmoved(&[person(1), person(2)], &[0, 1]);
}

#[test]
fn attack_04_an_amount_below_or_above_the_invoices_moves_nothing() {
    let world = World::new();
    let invoice = world.invoice(person(1), 1_000);
    for msat in [999, 1_001] {
        let request =
            PayInvoice { amount: Some(Msat::new(msat)), ..PayInvoice::of(invoice.invoice.clone().unwrap()) };
        assert_refused(world.ask(person(0), Request::PayInvoice(request)), ErrorCode::Other, "1000 msat");
    }
    world.assert_unmoved(&[person(1)], &[0]);
}

#[test]
fn attack_07_paying_oneself_is_refused_and_makes_no_money() {
    let world = World::new();
    let alice = person(1);
    world.give(alice, 500);
    let own = world.invoice(alice, 500);
    assert_refused(world.pay(alice, &own), ErrorCode::PaymentFailed, "your own wallet");
    world.assert_unmoved(&[alice], &[500]);
    assert_eq!(world.lookup(alice, own.payment_hash).unwrap().state, Some(TransactionState::Pending));
    // The invoice itself is good: somebody else can pay it.
    world.pay(person(0), &own).unwrap();
    world.assert_unmoved(&[alice], &[1_000]);
}

#[test]
fn attack_09_the_same_invoice_twice_is_paid_once() {
    let world = World::new();
    let (alice, bob, carol) = (person(1), person(2), person(3));
    for person in [alice, carol] {
        world.give(person, 10_000);
    }
    let invoice = world.invoice(bob, 4_000);
    let first = world.pay(alice, &invoice).unwrap();
    assert_eq!(world.pay(alice, &invoice).unwrap(), first, "the payer gets the same proof");
    assert_refused(world.pay(carol, &invoice), ErrorCode::PaymentFailed, "somebody else");
    world.assert_unmoved(&[alice, bob, carol], &[6_000, 4_000, 10_000]);
    // Told once, too.
    let request = Request::PayInvoice(PayInvoice::of(invoice.invoice.unwrap()));
    assert_eq!(world.handle(alice, request, NOW).notices, []);
}

#[test]
fn attack_09_a_payment_that_was_refused_can_be_tried_again() {
    let world = World::new();
    let (alice, bob) = (person(1), person(2));
    let invoice = world.invoice(bob, 4_000);
    assert_refused(world.pay(alice, &invoice), ErrorCode::InsufficientBalance, "balance");
    assert_refused(world.lookup(alice, invoice.payment_hash), ErrorCode::NotFound, "no such");
    world.give(alice, 4_000);
    world.pay(alice, &invoice).unwrap();
    world.assert_unmoved(&[alice, bob], &[0, 4_000]);
}

#[test]
fn attack_18_the_file_as_a_power_cut_leaves_it_is_whole() {
    let mut world = World::new();
    let (alice, bob) = (person(1), person(2));
    world.give(alice, 10_000);
    for n in 1..=5 {
        world.pay(alice, &world.invoice(bob, n)).unwrap();
        world.crash_at(NOW).unwrap();
        let paid = (1..=n).sum::<i64>();
        world.assert_unmoved(&[alice, bob], &[10_000 - paid, paid]);
    }
}

#[test]
fn attack_23_invoices_that_cannot_be_paid_here_are_refused_with_their_reason() {
    let world = World::new();
    let pay = |invoice: &str| world.ask(person(0), Request::PayInvoice(PayInvoice::of(invoice)));
    let (foreign, ..) = foreign_invoice(1, Msat::new(5), NOW);
    assert_refused(pay(&foreign), ErrorCode::PaymentFailed, "own accounts");
    // The examples of BOLT11, without amount and with one: another network.
    for mainnet in [
        "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql",
        "lnbc2500u1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdq5xysxxatsyp3k7enxv4jsxqzpu9qrsgquk0rl77nj30yxdy8j9vdx85fkpmdla2087ne0xh8nhedh8w27kyke0lp53ut353s06fv3qfegext0eh0ymjpf39tuven09sam30g4vgpfna3rh",
    ] {
        assert_refused(pay(mainnet), ErrorCode::PaymentFailed, "mainnet");
    }
    let ours = world.invoice(person(1), 5).invoice.unwrap();
    let cut = &ours[..ours.len() - 3];
    assert_refused(pay(cut), ErrorCode::Other, "BOLT11");
    assert_refused(pay(""), ErrorCode::Other, "BOLT11");
    world.assert_unmoved(&[person(1)], &[0]);
}

#[test]
fn attack_23_capitals_do_not_make_another_invoice() {
    let world = World::new();
    let invoice = world.invoice(person(1), 5);
    let capitals = PayInvoice::of(invoice.invoice.clone().unwrap().to_uppercase());
    let first = world.ask(person(0), Request::PayInvoice(capitals)).unwrap();
    let ResultBody::PayInvoice(first) = first else { panic!("not paid") };
    assert_eq!(world.pay(person(0), &invoice).unwrap(), first);
    world.assert_unmoved(&[person(1)], &[5]);
}

#[test]
fn attack_23_an_invoice_of_another_wallet_with_the_same_file_layout_is_foreign() {
    let (ours, theirs) = (World::new(), World::new());
    let invoice = theirs.invoice(person(1), 5);
    assert_refused(ours.pay(person(0), &invoice), ErrorCode::PaymentFailed, "own accounts");
    ours.assert_unmoved(&[person(1)], &[0]);
}

#[test]
fn attack_23_another_invoice_under_the_hash_of_ours_is_not_ours() {
    use nwc::lightning::{InvoiceTerms, LightningBackend, Purpose};
    let (world, node) = World::on_lightning();
    let real = world.invoice(person(1), 5_000);
    // Signed by our own node for the same hash, but cheaper: nothing that this wallet ever gave out.
    let forged = InvoiceTerms {
        payment_hash: real.payment_hash,
        amount: Msat::new(1),
        purpose: Purpose::Description(String::new()),
        created_at: NOW,
        expiry_secs: 600,
        min_cltv_delta: None,
    };
    for terms in [forged.clone(), InvoiceTerms { payment_hash: PaymentHash::from_bytes([9; 32]), ..forged }] {
        let request = PayInvoice::of(node.create_invoice(&terms).unwrap());
        let refused = world.ask(person(0), Request::PayInvoice(request));
        assert_refused(refused, ErrorCode::PaymentFailed, "not made here");
    }
    assert_eq!(node.handed_over(), [], "and never sent out to ourselves");
    world.assert_unmoved(&[person(1)], &[0]);
}

#[test]
fn attack_24_nobody_sees_or_cancels_what_is_anothers() {
    let world = World::new();
    let (payee, payer, thief) = (person(2), person(0), person(3));
    let open = world.invoice(payee, 5);
    let paid = world.invoice(payee, 6);
    world.pay(payer, &paid).unwrap();
    for unpaid in [None, Some(true)] {
        assert_eq!(world.list(thief, ListTransactions { unpaid, ..ListTransactions::default() }), []);
    }
    assert_eq!(world.balance(thief), 0);
    assert!(!world.wallet().cancel_invoice(thief, open.payment_hash, NOW).unwrap());
    // The payer sees its payment, not the payee's invoices.
    let seen = world.list(payer, ListTransactions { unpaid: Some(true), ..ListTransactions::default() });
    assert_eq!(
        seen.iter().map(|transaction| transaction.direction).collect::<Vec<_>>(),
        [TransactionType::Outgoing]
    );
}

#[test]
fn attack_25_a_flood_of_invoices_is_bounded_and_leaves_room_for_funded_wallets() {
    let mut setup = Setup::new();
    (setup.limits.open_per_key, setup.limits.open_unfunded, setup.limits.open_total) = (3, 5, 7);
    let mut world = World::with(setup);
    let funded = person(0);
    let refused = |result| assert_refused(result, ErrorCode::RateLimited, "unpaid invoices");
    // One key, then many keys without money.
    for _ in 0..3 {
        world.invoice(person(1), 5);
    }
    refused(world.invoice_at(person(1), 5, NOW));
    world.invoice(person(2), 5);
    world.invoice(person(3), 5);
    // The counts are in the file.
    world.reopen().unwrap();
    // For who has none yet, who has most gives way; who has most gets no more.
    let open = |who| {
        let unpaid = ListTransactions { unpaid: Some(true), ..ListTransactions::default() };
        world
            .list(person(who), unpaid)
            .iter()
            .filter(|one| one.state == Some(TransactionState::Pending))
            .count()
    };
    assert_eq!([1, 2, 3, 4].map(open), [3, 1, 1, 0]);
    world.invoice(person(4), 5);
    assert_eq!([1, 2, 3, 4].map(open), [2, 1, 1, 1]);
    refused(world.invoice_at(person(1), 5, NOW));
    assert_eq!([1, 2, 3, 4].map(open), [2, 1, 1, 1]);
    // Who was paid before has room of its own, up to what a key may have, and takes none of theirs.
    for _ in 0..3 {
        world.invoice(funded, 5);
    }
    refused(world.invoice_at(funded, 5, NOW));
    assert_eq!([0, 1, 2, 3, 4].map(open), [3, 2, 1, 1, 1]);
    world.audit();
    // Expiry makes room again without anybody's help.
    let later = NOW.plus_secs(601);
    for n in 10..15 {
        world.invoice_at(person(n), 5, later).unwrap();
    }
    world.audit();
}

#[test]
fn attack_25_a_backlog_of_expired_invoices_blocks_nobody() {
    let mut setup = Setup::new();
    setup.limits.open_unfunded = 5;
    let world = World::with(setup);
    // More invoices expire earlier than are swept in passing.
    for _ in 0..30 {
        world.invoice(person(0), 5);
    }
    for n in 1..=5 {
        world.invoice_at(person(n), 5, NOW.plus_secs(10)).unwrap();
    }
    let later = NOW.plus_secs(1_000);
    for n in 1..=5 {
        world.invoice_at(person(n), 5, later).unwrap();
    }
    world.audit();
}

#[test]
fn attack_25_invoices_that_nobody_paid_are_forgotten_after_a_day() {
    let world = World::new();
    let dead = world.invoice(person(1), 5);
    let paid = world.invoice(person(1), 6);
    world.pay(person(0), &paid).unwrap();
    let after_a_day = NOW.plus_secs(600 + 24 * 3_600 + 1);
    // The first new invoice marks it, the second may delete it.
    world.invoice_at(person(2), 5, NOW.plus_secs(601)).unwrap();
    assert!(world.lookup_at(person(1), dead.payment_hash, NOW.plus_secs(601)).is_ok());
    world.invoice_at(person(2), 5, after_a_day).unwrap();
    world.invoice_at(person(2), 5, after_a_day).unwrap();
    assert_refused(
        world.lookup_at(person(1), dead.payment_hash, after_a_day),
        ErrorCode::NotFound,
        "no such",
    );
    assert!(world.lookup_at(person(1), paid.payment_hash, after_a_day).is_ok(), "what was paid is kept");
    world.audit();
}

#[test]
fn attack_26_dust_is_exact_to_the_millisatoshi() {
    let world = World::new();
    let people: Vec<_> = (1..=7).map(person).collect();
    world.give(people[0], 1_000);
    for (index, msat) in [(0, 999), (1, 998), (2, 1), (3, 1)] {
        world.pay(people[index], &world.invoice(people[index + 1], msat)).unwrap();
    }
    world.assert_unmoved(&people[..5], &[1, 1, 997, 0, 1]);
}

#[test]
fn attack_30_money_on_hold_cannot_be_spent_and_a_top_up_meanwhile_counts() {
    let (world, node) = World::on_lightning();
    let alice = person(1);
    world.give(alice, 20_000);
    let (invoice, hash, _) = foreign_invoice(1, Msat::new(10_000), NOW);
    world.handle(alice, Request::PayInvoice(PayInvoice::of(invoice)), NOW);
    assert_eq!(world.balance(alice), 0);
    assert_refused(world.pay(alice, &world.invoice(person(2), 1)), ErrorCode::InsufficientBalance, "balance");
    world.give(alice, 5);
    let failed = nwc::lightning::NodeEvent::PaymentFailed {
        payment_hash: hash,
        attempt: node.attempt(hash),
        reason: "no route".to_owned(),
    };
    world.wallet().on_node_event(failed, node.as_ref(), NOW).unwrap();
    world.assert_unmoved(&[alice], &[20_005]);
}
