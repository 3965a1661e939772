//! The built-in wallet, seen from its first client.

mod connections;

use std::sync::{Arc, RwLock};
use std::time::Duration;

use nostr::key::{Keys, PublicKey};
use protocol::nec::announcement::WalletTag;
use protocol::nwc::{
    ErrorCode, GetBalance, GetInfo, ListTransactions, LookupInvoice, MakeInvoice, PayInvoice, PaymentHash,
    Transaction, TransactionState, TransactionType,
};
use protocol::rpc::enclaved::Invoice;
use relay::nwc::{NwcClient, NwcError, WalletNews};
use relay::{Pool, PoolError};
use thiserror::Error;
use tokio::sync::{Mutex, mpsc};
use units::{Clock, Msat, UnixSecs};

use crate::hold::Hold;

/// The wallet is on this machine; what takes longer is an outage.
const ANSWER_WAIT: Duration = Duration::from_secs(6);
/// A wallet that has just told its key answers at once, or is not listening yet.
const GREETING_WAIT: Duration = Duration::from_secs(2);
/// Transactions asked for at once; the wallet may give fewer, and has more all the same.
const PAGE: u32 = 50;
/// Pages that are read, of 20 as the wallet gives them: hours of charges of a full server.
const PAGES_MAX: u32 = 500;
/// Several readers of news: there is one.
const NEWS_MAX: usize = 1_024;

/// The wallet did not do what was asked.
#[derive(Debug, Error)]
pub enum WalletError {
    /// There is no wallet yet, or it does not answer: nothing is known.
    #[error("the wallet does not answer: {0}")]
    Silent(String),
    /// The wallet refused: nothing happened.
    #[error("the wallet refused: {message}")]
    Refused {
        /// NIP-47's code.
        code: ErrorCode,
        /// Why.
        message: String,
    },
}

impl From<NwcError> for WalletError {
    fn from(error: NwcError) -> Self {
        match error {
            NwcError::Wallet(refusal) => Self::Refused { code: refusal.code, message: refusal.message },
            other @ (NwcError::NoAnswer(_)
            | NwcError::Malformed(_)
            | NwcError::Encrypt(_)
            | NwcError::Sign(_)) => Self::Silent(other.to_string()),
        }
    }
}

/// What became of an invoice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvoiceState {
    /// Paid, at this time of the wallet.
    Paid(UnixSecs),
    /// Not paid; it may still be.
    Open,
    /// Not paid, and it can no longer be.
    Dead,
}

/// The connection to the wallet, once there is one.
#[derive(Debug)]
pub struct Wallet {
    pool: Pool,
    clock: Arc<dyn Clock>,
    connection: RwLock<Option<Arc<Connection>>>,
    connecting: Mutex<()>,
    news: mpsc::Sender<WalletNews>,
    hold: Hold,
}

#[derive(Debug)]
struct Connection {
    client: NwcClient,
    tag: WalletTag,
}

impl Wallet {
    /// A wallet that is not there yet, to be reached over the internal relay; and the stream of what it
    /// will tell.
    #[must_use]
    pub fn new(pool: Pool, clock: Arc<dyn Clock>, hold: Hold) -> (Self, mpsc::Receiver<WalletNews>) {
        let (news, receiver) = mpsc::channel(NEWS_MAX);
        let connecting = Mutex::new(());
        let wallet = Self { pool, clock, connection: RwLock::default(), connecting, news, hold };
        (wallet, receiver)
    }

    /// The wallet told its key: connects to it, and asks for its node's key.
    ///
    /// # Errors
    /// [`WalletError`]; the wallet before it stays in use.
    pub async fn appeared(&self, service: PublicKey, keys: &Keys) -> Result<(), WalletError> {
        let _one_at_a_time = self.connecting.lock().await;
        // The same wallet, restarted: our subscription is as good as before.
        if let Ok(known) = self.connection()
            && known.tag.service == service
        {
            known.client.call(keys, &GetInfo {}, GREETING_WAIT).await?;
            return Ok(());
        }
        let silent = |e: PoolError| WalletError::Silent(e.to_string());
        let clock = Arc::clone(&self.clock);
        let (client, mut news) =
            NwcClient::for_many(self.pool.clone(), service, clock).await.map_err(silent)?;
        let info = client.call(keys, &GetInfo {}, GREETING_WAIT).await?;
        let tag = WalletTag { service, node: info.pubkey.unwrap_or_default() };
        let sender = self.news.clone();
        tokio::spawn(async move {
            while let Some(item) = news.recv().await {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        });
        let mut connection = self.connection.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *connection = Some(Arc::new(Connection { client, tag }));
        Ok(())
    }

    fn connection(&self) -> Result<Arc<Connection>, WalletError> {
        let connection = self.connection.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        connection.clone().ok_or_else(|| WalletError::Silent("it has not started yet".into()))
    }

    /// The wallet's keys, once there is one.
    #[must_use]
    pub fn tag(&self) -> Option<WalletTag> {
        self.connection().ok().map(|connection| connection.tag.clone())
    }

    /// Hears of this key's payments from now on.
    pub fn listen_for(&self, keys: &Keys) {
        if let Ok(connection) = self.connection() {
            connection.client.listen_for(keys);
        }
    }

    /// Hears of this key's payments no more.
    pub fn forget(&self, key: &PublicKey) {
        if let Ok(connection) = self.connection() {
            connection.client.forget(key);
        }
    }

    /// Makes an invoice that pays into the account of `keys`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn make_invoice(
        &self,
        keys: &Keys,
        amount: Msat,
        description: String,
        expiry_secs: u32,
    ) -> Result<Invoice, WalletError> {
        let connection = self.connection()?;
        let request = MakeInvoice {
            description: Some(description),
            expiry_secs: Some(expiry_secs),
            ..MakeInvoice::of(amount)
        };
        let made = connection.client.call(keys, &request, ANSWER_WAIT).await?;
        invoice_of(made, amount)
    }

    /// Pays an invoice from the account of `keys`. Paying the same invoice again returns the same
    /// proof, and costs nothing.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn pay(&self, keys: &Keys, invoice: &str) -> Result<(String, Msat), WalletError> {
        let connection = self.connection()?;
        // The last moment at which it can still be left undone.
        if !self.hold.may_act() {
            return Err(WalletError::Silent(
                "this server may not act now, and does not ask it to pay".into(),
            ));
        }
        let paid = connection.client.call(keys, &PayInvoice::of(invoice), ANSWER_WAIT).await?;
        Ok((paid.preimage.to_hex(), paid.fees_paid))
    }

    /// What became of an invoice of the account of `keys`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn invoice_state(&self, keys: &Keys, payment_hash: &str) -> Result<InvoiceState, WalletError> {
        let connection = self.connection()?;
        let payment_hash: PaymentHash = payment_hash
            .parse()
            .map_err(|_| WalletError::Silent("the invoice on record has no payment hash".into()))?;
        let request = LookupInvoice { payment_hash: Some(payment_hash), invoice: None };
        let found = match connection.client.call(keys, &request, ANSWER_WAIT).await.map_err(WalletError::from)
        {
            // It forgets invoices that nobody paid in time, and no others.
            Err(WalletError::Refused { code: ErrorCode::NotFound, .. }) => return Ok(InvoiceState::Dead),
            found => found?,
        };
        let now = self.clock.now();
        Ok(match found.state {
            Some(TransactionState::Settled) => InvoiceState::Paid(found.settled_at.unwrap_or(now)),
            Some(TransactionState::Pending | TransactionState::Accepted) | None => InvoiceState::Open,
            Some(TransactionState::Failed | TransactionState::Expired) => InvoiceState::Dead,
        })
    }

    /// The payment hash of an invoice of the account of `keys` for exactly this amount and with exactly this
    /// description, made in this time, if one was settled.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn find_settled(
        &self,
        keys: &Keys,
        (amount, description): (Msat, &str),
        from: UnixSecs,
        until: UnixSecs,
    ) -> Result<Option<String>, WalletError> {
        let connection = self.connection()?;
        let mut offset = 0;
        for _ in 0..PAGES_MAX {
            let request = ListTransactions {
                from: Some(from),
                until: Some(until),
                limit: Some(PAGE),
                offset: Some(offset),
                unpaid: Some(false),
                direction: Some(TransactionType::Incoming),
            };
            let page = connection.client.call(keys, &request, ANSWER_WAIT).await?.transactions;
            let is_it = |one: &&Transaction| {
                one.description.as_deref() == Some(description)
                    && one.amount == amount
                    && one.state == Some(TransactionState::Settled)
            };
            if let Some(found) = page.iter().find(is_it) {
                return Ok(Some(found.payment_hash.to_hex()));
            }
            let count = u32::try_from(page.len()).unwrap_or(u32::MAX);
            if count == 0 {
                return Ok(None);
            }
            offset += count;
        }
        Err(WalletError::Silent(format!("it lists more than {offset} transactions")))
    }

    /// The Lightning address of the account of `keys`; none if the wallet serves none.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn lightning_address(&self, keys: &Keys) -> Result<Option<String>, WalletError> {
        let connection = self.connection()?;
        Ok(connection.client.call(keys, &GetInfo {}, ANSWER_WAIT).await?.lud16)
    }

    /// The balance of the account of `keys`.
    ///
    /// # Errors
    /// [`WalletError`].
    pub async fn balance(&self, keys: &Keys) -> Result<Msat, WalletError> {
        let connection = self.connection()?;
        Ok(connection.client.call(keys, &GetBalance {}, ANSWER_WAIT).await?.balance)
    }
}

/// What the wallet made must be what was asked for.
fn invoice_of(made: Transaction, amount: Msat) -> Result<Invoice, WalletError> {
    let invoice = made.invoice.filter(|_| made.amount == amount);
    let Some(invoice) = invoice else {
        return Err(WalletError::Silent("its invoice is not the one that was asked for".into()));
    };
    Ok(Invoice {
        direction: "incoming".into(),
        invoice,
        description: made.description,
        payment_hash: made.payment_hash.to_hex(),
        amount,
        created_at: made.created_at,
        expires_at: made.expires_at.unwrap_or(made.created_at),
    })
}
