//! The wallet without relays: requests as the transport hands them over, to the answers that it would send. What the
//! books can do when nobody signs, encrypts or checks on the same two cores.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use nostr::event::EventId;
use nostr::key::{Keys, PublicKey};
use nwc::app::App;
use nwc::config::Config;
use nwc::service::{Door, Wallet};
use nwc::store::{RequestEvent, Scheme};
use protocol::nwc::{Call, MakeInvoice, PayInvoice, Request};
use units::{Clock, Msat, SystemClock};

use super::bare;
use super::stage::TERMS;
use crate::load::{Caller, run};
use crate::samples::Samples;

/// Who pay at once: as many as over a relay.
const TOGETHER: usize = super::TOGETHER;
/// Payments of each.
pub(super) const EACH: u32 = 200;
const PAYMENTS: usize = EACH as usize;

/// Pays between accounts of a wallet in `dir`; returns how long each took and how many there were in a second.
pub(super) async fn payments(dir: &Path) -> Result<(Samples, f64)> {
    let rich = Keys::generate().public_key();
    let dir = dir.join("books");
    std::fs::create_dir(&dir)?;
    let own = [
        ("NWC_RELAYS", "ws://127.0.0.1:1".to_owned()),
        ("NWC_FAUCET_PUBKEY", rich.to_hex()),
        ("NWC_DATA_DIR", dir.display().to_string()),
    ];
    let terms = TERMS.map(|(name, value)| (name.into(), value.into()));
    let own = own.map(|(name, value)| (name.into(), value.into()));
    let app = App::open(&Config::from_variables(terms.into_iter().chain(own))?, SystemClock.now())?;
    let (wallet, service) = (Arc::clone(&app.wallet), app.keys.service_pubkey());
    let events = Arc::new(AtomicU32::new(0));
    let door = |key| Account { wallet: Arc::clone(&wallet), service, key, events: Arc::clone(&events) };
    let rich = door(rich);
    let accounts: Vec<_> = (0..TOGETHER).map(|_| door(Keys::generate().public_key())).collect();
    let payers = tokio::task::spawn_blocking(move || payers(&rich, accounts)).await??;
    run(payers, PAYMENTS).await
}

/// Accounts with money, and invoices of each other for all that they will pay.
fn payers(rich: &Account, accounts: Vec<Account>) -> Result<Vec<Payer>> {
    let mut invoices = Vec::new();
    for account in &accounts {
        rich.pay(account.invoice(Msat::new(1_000_000))?)?;
        let all: Result<Vec<_>> =
            (0..PAYMENTS + PAYMENTS / 10).map(|_| account.invoice(super::AMOUNT)).collect();
        invoices.push(all?);
    }
    invoices.rotate_right(1);
    let payers = accounts.into_iter().zip(invoices);
    Ok(payers.map(|(account, invoices)| Payer { account, invoices }).collect())
}

#[derive(Clone)]
struct Account {
    wallet: Arc<Wallet>,
    service: PublicKey,
    key: PublicKey,
    /// How many events there were, of all accounts.
    events: Arc<AtomicU32>,
}

impl Account {
    /// Asks as the transport does, texts included.
    fn ask<C: Call>(&self, call: &C) -> Result<C::Reply> {
        let now = SystemClock.now();
        let event = RequestEvent {
            event: EventId::from_byte_array(bare::hash(self.events.fetch_add(1, Ordering::Relaxed))),
            client: self.key,
            service: self.service,
            scheme: Scheme::Nip44,
            signed_at: now,
        };
        let request = Request::from_json(&call.request_json()).map_err(|e| anyhow!("{e:?}"))?;
        let handled = self.wallet.handle_event(&event, Door::Public, request, now);
        Ok(C::parse_reply(&handled.text().context("an answer that waits")?)?)
    }

    fn invoice(&self, amount: Msat) -> Result<String> {
        self.ask(&MakeInvoice::of(amount))?.invoice.context("an invoice without text")
    }

    fn pay(&self, invoice: String) -> Result<()> {
        self.ask(&PayInvoice::of(invoice)).map(drop)
    }
}

struct Payer {
    account: Account,
    invoices: Vec<String>,
}

impl Caller for Payer {
    async fn call(&mut self) -> Result<()> {
        let Some(invoice) = self.invoices.pop() else { bail!("nothing is left to pay") };
        let account = self.account.clone();
        tokio::task::spawn_blocking(move || account.pay(invoice)).await?
    }
}
