//! rust-nostr's types (`nostr::nips::nip47`) write every request and read every reply and notification, with every
//! state of a transaction and every code but INTERNAL: that is a fault of the wallet, and none is known.

use anyhow::{Context, Result, bail, ensure};
use nostr::event::{Event, Kind};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip47::*;
use protocol::event::CheckedEvent;
use protocol::nwc::{BudgetRenewal, CreateConnection};
use relay::{Pool, Subscription};
use serde_json::{Value, json};

use super::stage::{DEADLINE, Stage, hash_of};

/// A client made of nothing but the library's types.
struct Client {
    uri: NostrWalletConnectUri,
    pool: Pool,
    replies: Subscription,
    notifications: Subscription,
    nip04: bool,
}

impl Client {
    async fn new(stage: &Stage, keys: &Keys, nip04: bool) -> Result<Self> {
        let uri = NostrWalletConnectUri::parse(stage.uri(keys)?)?;
        let pool = stage.pool().await?;
        let ours = Filter::new().author(stage.service).pubkey(keys.public_key());
        let replies = pool.subscribe(ours.clone().kind(Kind::WalletConnectResponse)).await?;
        let kind =
            if nip04 { Kind::WalletConnectNotification } else { Kind::WalletConnectNotificationNip44V2 };
        let notifications = pool.subscribe(ours.kind(kind)).await?;
        Ok(Self { uri, pool, replies, notifications, nip04 })
    }

    /// At a service key of its own, which a connection has.
    async fn at(stage: &Stage, service: PublicKey, keys: &Keys) -> Result<Self> {
        let mut client = Self::new(stage, keys, false).await?;
        client.uri.public_key = service;
        let ours = Filter::new().author(service).pubkey(keys.public_key());
        client.replies = client.pool.subscribe(ours.kind(Kind::WalletConnectResponse)).await?;
        Ok(client)
    }

    const fn cipher(&self) -> Nip47Ciphers {
        if self.nip04 { Nip47Ciphers::NIP04 } else { Nip47Ciphers::NIP44V2 }
    }

    async fn send(&self, request: Request) -> Result<Event> {
        let event = CheckedEvent::check(request.to_event(&self.uri, self.cipher())?)?;
        ensure!(self.pool.publish(&event).await.is_published(), "the relay refused the request");
        Ok(event.into_event())
    }

    async fn reply(&mut self, to: &Event) -> Result<Response> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.replies.next()).await.context("no reply")?;
            let event = next.context("no relay")?;
            if event.tags.event_ids().any(|id| id == to.id) {
                return Ok(Response::from_event(&self.uri, &event, self.cipher())?);
            }
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Response> {
        let event = self.send(request).await?;
        self.reply(&event).await
    }

    async fn result(&mut self, request: Request) -> Result<ResponseResult> {
        let reply = self.ask(request).await?;
        ensure!(reply.error.is_none(), "{reply:?}");
        reply.result.context("neither result nor error")
    }

    /// The code of what is refused.
    async fn code(&mut self, request: Request) -> Result<ErrorCode> {
        let reply = self.ask(request).await?;
        ensure!(reply.result.is_none(), "{reply:?}");
        Ok(reply.error.context("neither result nor error")?.code)
    }

    async fn state(&mut self, hash: &str) -> Result<Option<TransactionState>> {
        let looking = request("lookup_invoice", json!({"payment_hash": hash}))?;
        Ok(self.ask(looking).await?.to_lookup_invoice()?.state)
    }

    async fn heard(&mut self) -> Result<Notification> {
        let next = tokio::time::timeout(DEADLINE, self.notifications.next()).await.context("silence")?;
        let event = next.context("no relay")?.into_event();
        Ok(Notification::from_event(&self.uri, &event)?)
    }
}

fn request(method: &str, params: Value) -> Result<Request> {
    Ok(Request::from_value(json!({"method": method, "params": params}))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_nostr_reads_every_reply_over_nip44() -> Result<()> {
    play(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rust_nostr_reads_every_reply_over_nip04() -> Result<()> {
    play(true).await
}

async fn play(nip04: bool) -> Result<()> {
    let stage = Stage::start().await?;
    flows(&stage, nip04).await.with_context(|| stage.log())?;
    stage.stop().await
}

async fn flows(stage: &Stage, nip04: bool) -> Result<()> {
    let (owner, bob) = (Keys::generate(), Keys::generate());
    stage.give(&owner, 100_000).await?;
    let (mut alice, mut bob) =
        (Client::new(stage, &owner, nip04).await?, Client::new(stage, &bob, nip04).await?);
    let info = alice.ask(Request::get_info()).await?.to_get_info()?;
    ensure!(!info.methods.iter().any(|method| matches!(method, Method::Unknown(_))), "{info:?}");
    ensure!(info.methods.contains(&Method::PayInvoice), "{info:?}");
    assert_eq!(alice.ask(Request::get_balance()).await?.to_get_balance()?.balance, 100_000);

    let making = request("make_invoice", json!({"amount": 7_001, "description": "tea"}))?;
    let made = bob.ask(making).await?.to_make_invoice()?;
    assert_eq!((made.amount, made.description.as_deref()), (Some(7_001), Some("tea")));
    let paying = Request::pay_invoice(PayInvoiceRequest::new(made.invoice.clone()));
    let paid = alice.ask(paying).await?.to_pay_invoice()?;
    assert_eq!(Some(hash_of(&json!(paid.preimage))?), made.payment_hash);
    let sent = alice.heard().await?.to_pay_notification()?;
    let received = bob.heard().await?.to_pay_notification()?;
    assert_eq!((sent.amount, received.amount), (7_001, 7_001));
    assert_eq!((&sent.preimage, &received.preimage), (&paid.preimage, &paid.preimage));

    let looking = request("lookup_invoice", json!({"payment_hash": made.payment_hash}))?;
    let found = bob.ask(looking).await?.to_lookup_invoice()?;
    assert_eq!((found.state, found.preimage), (Some(TransactionState::Settled), Some(paid.preimage)));
    let listed = alice.ask(request("list_transactions", json!({}))?).await?.to_list_transactions()?;
    assert_eq!(listed.len(), 2);
    assert_eq!(listed[0].transaction_type, Some(TransactionType::Outgoing));
    errors(&mut alice).await?;
    hold(&mut alice, &mut bob).await?;
    states(&mut alice, &mut bob).await?;
    connection(stage, &owner, &mut alice, &mut bob).await?;
    flood(&mut bob).await
}

fn pay(invoice: &str) -> Request {
    Request::pay_invoice(PayInvoiceRequest::new(invoice))
}

/// Settled and accepted were seen before.
async fn states(alice: &mut Client, bob: &mut Client) -> Result<()> {
    let short = request("make_invoice", json!({"amount": 5_000, "expiry": 2}))?;
    let short = bob.ask(short).await?.to_make_invoice()?.payment_hash.context("no hash")?;
    assert_eq!(bob.state(&short).await?, Some(TransactionState::Pending));
    let hash = "dc".repeat(32);
    let making = request("make_hold_invoice", json!({"amount": 9_000, "payment_hash": hash}))?;
    let ResponseResult::MakeHoldInvoice(made) = bob.result(making).await? else { bail!("another reply") };
    let paying = alice.send(pay(&made.invoice.context("no invoice")?)).await?;
    // Behind what is told of the one that was settled.
    while bob.heard().await?.to_holdinvoice_accepted_notification().is_err() {}
    assert_eq!(bob.state(&hash).await?, Some(TransactionState::Accepted));
    bob.result(request("cancel_hold_invoice", json!({"payment_hash": hash}))?).await?;
    let refused = alice.reply(&paying).await?;
    assert_eq!(refused.error.map(|error| error.code), Some(ErrorCode::PaymentFailed));
    assert_eq!(alice.state(&hash).await?, Some(TransactionState::Failed));
    let expired = async {
        while bob.state(&short).await? != Some(TransactionState::Expired) {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(DEADLINE, expired).await.context("it does not expire")?
}

/// A connection with a budget, whose other codes are those of what it may not.
async fn connection(stage: &Stage, owner: &Keys, alice: &mut Client, bob: &mut Client) -> Result<()> {
    let mut invoices = Vec::new();
    for msat in [900_000, 9_000] {
        let made = bob.ask(request("make_invoice", json!({"amount": msat}))?).await?.to_make_invoice()?;
        invoices.push(made.invoice);
    }
    assert_eq!(alice.code(pay(&invoices[0])).await?, ErrorCode::InsufficientBalance);
    let (app, thief) = (Keys::generate(), Keys::generate());
    // The library refuses to write a method that it does not know; our own client does.
    let terms = CreateConnection {
        max_amount: Some(units::Msat::new(5_000)),
        budget_renewal: Some(BudgetRenewal::Daily),
        ..CreateConnection::of(app.public_key(), "an app", &[protocol::nwc::Method::PayInvoice])
    };
    let service = stage.client(owner).await?.call(owner, &terms, DEADLINE).await?.wallet_pubkey;
    let mut app = Client::at(stage, service, &app).await?;
    assert_eq!(app.code(pay(&invoices[1])).await?, ErrorCode::QuotaExceeded);
    assert_eq!(app.code(Request::get_balance()).await?, ErrorCode::Restricted);
    let mut thief = Client::at(stage, service, &thief).await?;
    assert_eq!(thief.code(pay(&invoices[1])).await?, ErrorCode::Unauthorized);
    Ok(())
}

/// Last: this key is not answered for a while.
async fn flood(bob: &mut Client) -> Result<()> {
    for _ in 0..300 {
        bob.send(Request::get_balance()).await?;
    }
    loop {
        let next = tokio::time::timeout(DEADLINE, bob.replies.next()).await.context("no refusal")?;
        let event = next.context("no relay")?;
        let reply = Response::from_event(&bob.uri, &event, bob.cipher())?;
        if let Some(error) = reply.error {
            assert_eq!(error.code, ErrorCode::RateLimited);
            return Ok(());
        }
    }
}

async fn errors(alice: &mut Client) -> Result<()> {
    for (method, params, code) in [
        ("pay_invoice", json!({"invoice": "lnbcrt1"}), ErrorCode::Other),
        ("lookup_invoice", json!({"payment_hash": "00".repeat(32)}), ErrorCode::NotFound),
        ("pay_keysend", json!({"amount": 5, "pubkey": "02".repeat(33)}), ErrorCode::NotImplemented),
    ] {
        let reply = alice.ask(request(method, params)?).await?;
        ensure!(reply.result.is_none(), "{reply:?}");
        assert_eq!((reply.result_type.as_str(), reply.error.map(|it| it.code)), (method, Some(code)));
    }
    Ok(())
}

async fn hold(alice: &mut Client, bob: &mut Client) -> Result<()> {
    let preimage = "3c".repeat(32);
    let hash = hash_of(&json!(preimage))?;
    let making = request("make_hold_invoice", json!({"amount": 9_000, "payment_hash": hash}))?;
    let ResponseResult::MakeHoldInvoice(made) = bob.result(making).await? else { bail!("another reply") };
    let invoice = made.invoice.context("no invoice")?;
    let paying = alice.send(Request::pay_invoice(PayInvoiceRequest::new(invoice))).await?;
    let accepted = bob.heard().await?.to_holdinvoice_accepted_notification()?;
    assert_eq!((&accepted.payment_hash, accepted.state), (&hash, Some(TransactionState::Accepted)));
    let settling = request("settle_hold_invoice", json!({"preimage": preimage}))?;
    assert_eq!(bob.result(settling).await?, ResponseResult::SettleHoldInvoice(SettleHoldInvoiceResponse {}));
    assert_eq!(alice.reply(&paying).await?.to_pay_invoice()?.preimage, preimage);
    let making = request("make_hold_invoice", json!({"amount": 9_000, "payment_hash": "ef".repeat(32)}))?;
    bob.result(making).await?;
    let cancelling = request("cancel_hold_invoice", json!({"payment_hash": "ef".repeat(32)}))?;
    let cancelled = bob.result(cancelling).await?;
    assert_eq!(cancelled, ResponseResult::CancelHoldInvoice(CancelHoldInvoiceResponse {}));
    Ok(())
}
