//! Inside a server: its internal relay beside a public one. What comes through the one takes nothing of the other.

use nostr::key::Keys;
use protocol::kinds::NWC_NOTIFICATION;
use protocol::nwc::*;
use units::Msat;

use super::world::{Client, Served, TestRelay};

/// A wallet inside a server, with bounds that strangers reach at once.
async fn inside(public: &TestRelay, internal: &TestRelay) -> Served {
    let settings = [
        ("ENCLAVED_ENDPOINT", "ws://127.0.0.1:9/"),
        ("ENCLAVED_TOKEN", "token"),
        ("ENCLAVED_INTERNAL_RELAY", &internal.url()),
        ("NWC_RATE_PER_SEC", "1"),
        ("NWC_RATE_BURST", "2"),
        ("NWC_MAX_OPEN_INVOICES_UNFUNDED", "3"),
        ("NWC_MAX_OPEN_INVOICES", "8"),
        ("NWC_MAX_WALLETS", "2"),
        ("NWC_MIN_FIRST_MSAT", "1000"),
    ];
    Served::start(&[public], &settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_use_up_is_not_the_servers() {
    let (public, internal) = (TestRelay::start(), TestRelay::start());
    let served = inside(&public, &internal).await;
    let door = [internal.url()];
    let mut daemon = Client::new(&door, Keys::generate(), served.service()).await;
    // Strangers take all three invoices that are for strangers, each key within its rate: who asks for a second one while
    // nobody has more is refused for that bound.
    let mut last = None;
    for n in 0..3 {
        let mut stranger = served.client().await;
        last = Some(stranger.call(&MakeInvoice::of(Msat::new(1_000))).await.unwrap());
        let second = stranger.call(&MakeInvoice::of(Msat::new(1_000))).await;
        match second {
            Ok(_) => assert_eq!(n, 0, "the first of them has two"),
            Err(error) => assert!(n > 0 && error.message.contains("unpaid invoices"), "{n}: {error}"),
        }
    }
    // And the one place for a wallet beside the faucet's owner.
    let mut rich = served.rich_client().await;
    rich.call(&PayInvoice::of(last.unwrap().invoice.unwrap())).await.unwrap();
    let one_more = served.client().await.call(&MakeInvoice::of(Msat::new(1_000))).await.unwrap_err();
    assert!(one_more.message.contains("as many wallets"), "{one_more}");
    // The server asks as often as it likes, for keys that were never paid, and less than a first payment.
    let mut container = Client::new(&door, Keys::generate(), served.service()).await;
    let mut invoices = Vec::new();
    for _ in 0..6 {
        invoices.push(daemon.call(&MakeInvoice::of(Msat::new(5))).await.unwrap());
    }
    let launch = container.call(&MakeInvoice::of(Msat::new(7))).await.unwrap();
    rich.call(&PayInvoice::of(launch.invoice.unwrap())).await.unwrap();
    assert_eq!(served.balance(container.key()), 7);
    // It hears of it behind its own door.
    let Notification::PaymentReceived(told) = container.notification(NWC_NOTIFICATION).await else {
        panic!("told of something else")
    };
    assert_eq!(told.amount, Msat::new(7));
    served.wallet.store().audit().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_go_back_through_the_door_that_was_asked_at() {
    let (public, internal) = (TestRelay::start(), TestRelay::start());
    let served = inside(&public, &internal).await;
    let keys = Keys::generate();
    let mut outside = served.client().await;
    outside.call(&GetBalance {}).await.unwrap();
    let mut daemon = Client::new(&[internal.url()], keys.clone(), served.service()).await;
    let mut listening = Client::new(&[public.url()], keys, served.service()).await;
    daemon.call(&GetBalance {}).await.unwrap();
    listening.assert_quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_is_answered_while_the_public_relay_is_gone() {
    let (public, internal) = (TestRelay::start(), TestRelay::start());
    let served = inside(&public, &internal).await;
    let mut daemon = Client::new(&[internal.url()], Keys::generate(), served.service()).await;
    daemon.call(&GetBalance {}).await.unwrap();
    drop(public);
    for _ in 0..5 {
        daemon.call(&GetBalance {}).await.unwrap();
    }
}
