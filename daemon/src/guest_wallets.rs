//! The connection to a container's account that its app is given: a key of its own that the wallet knows as a
//! connection of that account, never the container's key, which signs for the container and owns the account.
//!
//! It ends with what it was given to: the image that ran then, and the owner. On record it ends in the same
//! transaction in which the other image or the other owner comes; the wallet is told at once, and again until
//! it has heard. All connections of a container's account are made here, so whichever the record does not
//! have is ended, too.

use std::time::Duration;

use nostr::key::{Keys, PublicKey, SecretKey};
use nostr::nips::nip44;
use nostr::types::RelayUrl;
use protocol::nwc::{ConnectionUri, ConnectionUriError, CreateConnection, Method};
use protocol::rpc::Failure;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::store::{Container, GuestWallet, StoreError};
use crate::wallet::WalletError;

/// Its name at the wallet.
const NAME: &str = "app";
/// What an app may do with its account. The account's own rule, who else may use it, stays with the server.
const METHODS: [Method; 5] = [
    Method::GetInfo,
    Method::GetBalance,
    Method::MakeInvoice,
    Method::LookupInvoice,
    Method::ListTransactions,
];
/// How often it is looked for connections of whose end the wallet has not heard.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Containers that are looked after each time.
const TELL_MAX: u32 = 64;

/// An app gets no connection, or one could not be ended.
#[derive(Debug, Error)]
pub(crate) enum GuestWalletError {
    /// There is no wallet yet.
    #[error("the server's wallet is not there yet; ask again in a minute")]
    NoWallet,
    /// This server may not act.
    #[error("{}", .0.message)]
    NotHolding(Failure),
    /// The wallet said no, or nothing.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret could not be sealed or opened.
    #[error("the secret of a connection cannot be {0}")]
    Sealing(&'static str),
    /// The connection makes no string.
    #[error(transparent)]
    Uri(#[from] ConnectionUriError),
    /// The configured relays make no string.
    #[error("a configured relay is not understood")]
    Relay,
}

/// The connection of a container's app: the one that it has, or a new one. The caller lets nobody else ask for
/// the same container meanwhile.
///
/// # Errors
/// [`GuestWalletError`].
pub(crate) async fn connection(
    ctx: &Context,
    container: &Container,
) -> Result<ConnectionUri, GuestWalletError> {
    ctx.hold.require().map_err(GuestWalletError::NotHolding)?;
    let wallet = ctx.wallet.tag().ok_or(GuestWalletError::NoWallet)?.service;
    let pubkey = container.pubkey();
    let made = ctx.wallet.connections(&container.keys).await?;
    let known = ctx.store.guest_wallet(&pubkey)?.filter(|known| known.wallet == wallet);
    if let Some(known) = &known
        && let Some(item) = made.iter().find(|item| item.pubkey == known.client)
    {
        return uri(ctx, item.wallet_pubkey, open(ctx, known)?);
    }
    // One that the wallet does not have, after a crash or with books of before, is made under another key.
    let keys = Keys::generate();
    let sealed = seal(ctx, keys.secret_key())?;
    ctx.store.save_guest_wallet(&pubkey, &GuestWallet { wallet, client: keys.public_key(), sealed })?;
    let mut request_methods = METHODS.to_vec();
    // Money must not leave a server whose books could be rolled back (blueprint, section 6).
    if !ctx.attestor.trust_root().is_aws() {
        request_methods.push(Method::PayInvoice);
    }
    let wanted = CreateConnection::of(keys.public_key(), NAME, &request_methods);
    let service = ctx.wallet.connect(&container.keys, &wanted).await?;
    metrics::counter!("guest_wallets_total", "what" => "made").increment(1);
    tracing::info!(container = %pubkey, "its app has a connection to its account");
    uri(ctx, service, Zeroizing::new(keys.secret_key().to_secret_bytes()))
}

/// Has the wallet end every connection of a container's account but the one on record.
///
/// # Errors
/// [`GuestWalletError`]; to be done again.
pub(crate) async fn end_others(ctx: &Context, container: &Container) -> Result<(), GuestWalletError> {
    ctx.hold.require().map_err(GuestWalletError::NotHolding)?;
    let pubkey = container.pubkey();
    // Read before the wallet is asked: what ends meanwhile is for the next time.
    let ended = ctx.store.ended_clients(&pubkey)?;
    let made = ctx.wallet.connections(&container.keys).await?;
    let kept = ctx.store.guest_wallet(&pubkey)?.map(|known| known.client);
    for item in made.iter().filter(|item| Some(item.pubkey) != kept) {
        ctx.wallet.disconnect(&container.keys, item.wallet_pubkey).await?;
        metrics::counter!("guest_wallets_total", "what" => "ended").increment(1);
        tracing::info!(container = %pubkey, "a connection of its app has ended");
    }
    for client in ended {
        ctx.store.forget_guest_wallet(&client)?;
    }
    Ok(())
}

/// Checks that the wallet hears what is said of a container's connections. Nothing changes.
///
/// # Errors
/// [`GuestWalletError`]; it would not hear that they end.
pub(crate) async fn check_heard(ctx: &Context, container: &Container) -> Result<(), GuestWalletError> {
    ctx.hold.require().map_err(GuestWalletError::NotHolding)?;
    ctx.wallet.connections(&container.keys).await?;
    Ok(())
}

/// Tells the wallet of ended connections until the future is dropped.
pub(crate) async fn tell_ends(ctx: &Context) {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        if !ctx.hold.may_act() || ctx.wallet.tag().is_none() {
            continue;
        }
        match ctx.store.ended_guest_wallets(TELL_MAX) {
            Ok(ended) => tell_each(&ended, |pubkey| tell(ctx, pubkey)).await,
            Err(e) => tracing::error!("connections that ended are not read: {e}"),
        }
    }
}

/// Whatever the wallet answers of one, the others' are not to go on.
async fn tell_each<F>(ended: &[PublicKey], tell: impl Fn(PublicKey) -> F)
where
    F: Future<Output = Result<(), GuestWalletError>>,
{
    for pubkey in ended {
        if let Err(e) = tell(*pubkey).await {
            tracing::warn!(container = %pubkey, "the wallet has not heard that connections ended: {e}; trying again");
        }
    }
}

async fn tell(ctx: &Context, pubkey: PublicKey) -> Result<(), GuestWalletError> {
    match ctx.store.container(&pubkey)? {
        Some(container) => end_others(ctx, &container).await,
        None => Ok(()),
    }
}

fn uri(
    ctx: &Context,
    service: PublicKey,
    secret: Zeroizing<[u8; 32]>,
) -> Result<ConnectionUri, GuestWalletError> {
    let relays = ctx.config.relays.iter().map(|url| RelayUrl::parse(url)).collect::<Result<Vec<_>, _>>();
    let relays = relays.map_err(|_| GuestWalletError::Relay)?;
    Ok(ConnectionUri::new(service, relays, secret, None)?)
}

/// To the service key, by itself, as other secrets lie in the database.
fn seal(ctx: &Context, secret: &SecretKey) -> Result<String, GuestWalletError> {
    let text = Zeroizing::new(secret.to_secret_hex());
    nip44::encrypt(ctx.keys.secret_key(), &ctx.keys.public_key(), text.as_str(), nip44::Version::V2)
        .map_err(|_| GuestWalletError::Sealing("sealed"))
}

fn open(ctx: &Context, known: &GuestWallet) -> Result<Zeroizing<[u8; 32]>, GuestWalletError> {
    let failed = || GuestWalletError::Sealing("opened");
    let text = nip44::decrypt(ctx.keys.secret_key(), &ctx.keys.public_key(), &known.sealed)
        .map(Zeroizing::new)
        .map_err(|_| failed())?;
    let mut secret = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.as_bytes(), secret.as_mut_slice()).map_err(|_| failed())?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn connection_that_cannot_be_ended_holds_up_no_others() {
        let ended = [(); 3].map(|()| Keys::generate().public_key());
        let asked = Mutex::new(Vec::new());
        tell_each(&ended, |pubkey| {
            asked.lock().unwrap().push(pubkey);
            std::future::ready(if pubkey == ended[0] { Err(GuestWalletError::NoWallet) } else { Ok(()) })
        })
        .await;
        assert_eq!(*asked.lock().unwrap(), ended);
    }
}
