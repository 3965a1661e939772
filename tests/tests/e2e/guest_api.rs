//! The guest API, from inside containers and from clients that know its rules and break them.

mod abuse;
mod full_folder;
mod host;
mod secrets;
mod set_env;
mod transfer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use devnet::world::World;
use nostr::key::{Keys, PublicKey};
use protocol::guest::{Fetched, GuestInfo};
use protocol::nec::VerifiedStatement;
use protocol::nwc::{ConnectionUri, GetBalance, ListConnections, PayInvoice};
use protocol::rpc::enclaved::{ReceiptPage, ReceiptParams, TopupReply};
use protocol::statement::merkle::Hash;
use protocol::statement::{Claim, FetchedRequest, StatementProof};
use relay::nwc::{NwcClient, NwcError};
use relay::rpc::RpcError;
use serde_json::json;
use transport::GuestSocket;
use units::{Msat, SystemClock};

use crate::in_world::{calm, in_world};
use crate::netns::engine_name;
use crate::stranger::{SOON, Stranger, get};
use host::TlsHost;

const PAGE: &str = "one bitcoin is one bitcoin";

/// A container's socket, as the machine sees it: who may look there is root.
pub(crate) fn socket_path(world: &World, pubkey: &PublicKey) -> PathBuf {
    let init = world.enclave().init_pid();
    PathBuf::from(format!("/proc/{init}/root/run/enclaved/{}/guest.sock", engine_name(pubkey)))
}

pub(crate) fn socket(world: &World, pubkey: &PublicKey) -> GuestSocket {
    GuestSocket::new(socket_path(world, pubkey))
}

async fn json<T: serde::de::DeserializeOwned>(url: &str) -> Result<T> {
    let (status, text) = get(url).await?;
    assert_eq!(status, 200, "{url}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{url}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn app_has_things_stated_fetched_and_derived() -> Result<()> {
    let authority = host::Authority::new()?;
    let mut options = calm()?;
    options.fetch_root = Some(authority.root_file());
    in_world(options, async |world| {
        let host = TlsHost::serve(&authority, world.enclave().host_address(), PAGE).await?;
        let alice = Stranger::with(world, 100).await?;
        let image = world.push_echo().await?;
        let pubkey = alice.settled(&image).await?;
        let url = alice.url(&pubkey).await?;
        attested(world, &pubkey, &url).await?;
        fetched(world, &pubkey, &url, &host).await?;
        known(world, &alice, &pubkey, &url).await?;
        paid(world, &alice, &pubkey).await?;
        let bob = Stranger::with(world, 100).await?;
        let other = bob.settled(&image).await?;
        derived(world, &pubkey, &url, &bob.url(&other).await?).await?;
        receipts(world, &alice, &bob, &pubkey).await
    })
    .await
}

/// A statement over a hash verifies for a careful client, with the maintainers' signatures.
async fn attested(world: &World, pubkey: &PublicKey, url: &str) -> Result<()> {
    let digest = "5a".repeat(32);
    let proof: StatementProof = json(&format!("{url}/attest?digest={digest}")).await?;
    let verified = VerifiedStatement::verify(&proof, &world.policy()?)?;
    assert_eq!(verified.statement().claim, Claim::Attest { digest: Hash([0x5a; 32]) });
    assert_eq!((verified.certified().pubkey, verified.root().service()), (*pubkey, world.service()?));
    assert!(verified.is_pinned() && verified.releasers().len() >= 2);
    // Those that come together share a document, and each verifies by itself.
    let socket = socket(world, pubkey);
    let asked = (0..8_u8).map(|n| {
        let socket = socket.clone();
        async move { socket.attest(Hash([n; 32])).await }
    });
    let proofs = futures_util::future::try_join_all(asked).await?;
    assert!(proofs.iter().any(|proof| proof.path.size > 1), "each has a document of its own");
    for proof in &proofs {
        VerifiedStatement::verify(proof, &world.policy()?)?;
    }
    Ok(())
}

/// A fetch states what the host answered, and shows its certificate.
async fn fetched(world: &World, pubkey: &PublicKey, url: &str, host: &TlsHost) -> Result<()> {
    let page = format!("{}price?of=btc", host.url());
    let fetched: Fetched = json(&format!("{url}/fetch?url={page}")).await?;
    assert_eq!((fetched.status, fetched.body.0.as_slice()), (200, PAGE.as_bytes()));
    let verified = VerifiedStatement::verify(&fetched.proof, &world.policy()?)?;
    let Claim::Fetch(claim) = &verified.statement().claim else { panic!("{:?}", verified.statement()) };
    assert_eq!((claim.method.as_str(), claim.url.as_str(), claim.status), ("GET", page.as_str(), 200));
    assert_eq!((claim.response_sha256, claim.response_bytes), (Hash::of(PAGE.as_bytes()), 26));
    assert_eq!(claim.certificates[0].0, host.certificate());
    let request = FetchedRequest {
        salt: fetched.request_salt,
        method: "GET".into(),
        url: page.clone(),
        headers: vec![],
        body_sha256: Hash::of(b""),
    };
    assert_eq!(request.sha256()?, claim.request_sha256);
    // What is not secured, or not public, or not proved by its certificate, is not fetched.
    let socket = socket(world, pubkey);
    for (url, code) in [
        (page.replace("https", "http"), "params_invalid"),
        ("https://10.0.0.1/".to_owned(), "address_refused"),
        ("https://169.254.169.254/latest/meta-data/".to_owned(), "address_refused"),
        ("https://127.0.0.1:9100/metrics".to_owned(), "address_refused"),
        (format!("https://{}:{}/", world.enclave().host_address(), 7_777), "tls_failed"),
    ] {
        let refused = socket.call::<Fetched>("attested_fetch", &json!({"url": url})).await.unwrap_err();
        assert!(refused.to_string().contains(code), "{url}: {refused}");
    }
    Ok(())
}

/// A container knows itself.
async fn known(world: &World, alice: &Stranger, pubkey: &PublicKey, url: &str) -> Result<()> {
    let info: GuestInfo = json(&format!("{url}/info")).await?;
    let status = alice.status(pubkey).await?;
    assert_eq!((info.pubkey, info.service_pubkey), (*pubkey, world.service()?));
    assert_eq!((info.owner, info.paid_until), (Some(alice.keys.public_key()), status.paid_until));
    assert_eq!((info.image, info.endpoints), (status.info.image, status.info.endpoints));
    let manifest = socket(world, pubkey).manifest().await?;
    assert_eq!(manifest.manifest, status.manifest);
    assert_eq!(manifest.manifest.sha256()?, status.info.manifest_sha256);
    Ok(())
}

/// The app spends from the account that pays for its container, by a key of its own that can do nothing else.
async fn paid(world: &World, alice: &Stranger, pubkey: &PublicKey) -> Result<()> {
    let uri = socket(world, pubkey).wallet().await?;
    let secret = hex::encode(**uri.secret());
    let app = Keys::parse(&secret)?;
    assert_ne!(app.public_key(), *pubkey, "it is the container's own key");
    assert_ne!(uri.wallet(), world.wallet_tag().await?.service, "it is no connection");
    let again = socket(world, pubkey).wallet().await?;
    assert!(again.secret() == uri.secret() && again.wallet() == uri.wallet(), "one at a time");
    let topup: TopupReply = alice.call("topup", json!({"pubkey": pubkey, "amount_msat": 7_000})).await?;
    alice.pay(&topup.invoice.invoice).await?;
    let wallet = connect(world, &uri).await?;
    assert_eq!(wallet.call(&app, &GetBalance {}, SOON).await?.balance, Msat::new(7_000));
    let invoice = alice.invoice(2_000).await?;
    wallet.call(&app, &PayInvoice::of(invoice), SOON).await?;
    assert!(wallet.call(&app, &GetBalance {}, SOON).await?.balance <= Msat::new(5_000));
    // Who else uses the account is not the app's to say.
    let refused = wallet.call(&app, &ListConnections {}, SOON).await.unwrap_err();
    assert!(matches!(refused, NwcError::Wallet(_)), "{refused}");
    // By its own key alone it is an account like any other: the container's is not its.
    let own = world.wallet(&app).await?.call(&app, &GetBalance {}, SOON).await?;
    assert_eq!(own.balance, Msat::ZERO);
    let log = world.daemon_log()?;
    assert!(!log.contains(&secret) && !log.contains("nostr+walletconnect"));
    for file in ["state.db", "state.db-wal"] {
        let bytes = std::fs::read(world.state_dir().join(file)).unwrap_or_default();
        let shows = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        assert!(!shows(secret.as_bytes()) && !shows(uri.secret().as_slice()), "{file} holds it in clear");
    }
    Ok(())
}

/// A client of the wallet by this connection.
async fn connect(world: &World, uri: &ConnectionUri) -> Result<NwcClient> {
    let app = Keys::parse(&hex::encode(**uri.secret()))?;
    Ok(NwcClient::for_one(world.pool().await?, uri.wallet(), &app, Arc::new(SystemClock)).await?.0)
}

/// Asks the wallet by the connection of an app, as whoever has the string can.
///
/// # Errors
/// When the wallet does not serve it.
pub(crate) async fn app_wallet(world: &World, uri: &ConnectionUri) -> Result<()> {
    let app = Keys::parse(&hex::encode(**uri.secret()))?;
    // A wallet that does not know it any more may say nothing at all.
    connect(world, uri).await?.call(&app, &GetBalance {}, Duration::from_secs(5)).await?;
    Ok(())
}

/// The same key after the daemon died and came back; another one for another path or container.
async fn derived(world: &mut World, pubkey: &PublicKey, url: &str, other_url: &str) -> Result<()> {
    let key = async |url: &str, path: &str| -> Result<String> {
        Ok(get(&format!("{url}/key?path={path}")).await?.1)
    };
    let first = key(url, "disk").await?;
    assert_eq!(first.trim().len(), 64, "{first}");
    assert_ne!(key(url, "disk2").await?, first);
    assert_ne!(key(other_url, "disk").await?, first);
    world.kill_daemon().await?;
    world.start_daemon().await?;
    world.wait_for_wallet().await?;
    // The container lived through it, and finds the new daemon at the old place.
    assert_eq!(key(url, "disk").await?, first);
    socket(world, pubkey).info().await?;
    Ok(())
}

/// Every paid period has a receipt, which its owner alone can ask for.
async fn receipts(world: &World, alice: &Stranger, bob: &Stranger, pubkey: &PublicKey) -> Result<()> {
    let params = ReceiptParams { pubkey: *pubkey, from: 0 };
    let page: ReceiptPage = alice.rpc.call("receipts", &params, SOON).await?;
    let evidence = page.evidence.as_ref().context("no evidence")?;
    let verified = VerifiedStatement::verify(evidence, &world.policy()?)?;
    let receipts = verified.verify_receipts(&page.receipts)?;
    let status = alice.status(pubkey).await?;
    let [receipt] = receipts.as_slice() else { panic!("{receipts:?}") };
    assert_eq!(receipt.manifest_sha256.as_deref(), Some(status.info.manifest_sha256.as_str()));
    assert_eq!((receipt.amount_msat, receipt.period), (Msat::new(5_000), 0));
    assert_eq!(receipt.until.secs_since(receipt.from), 3_600);
    assert_eq!(receipt.payment_hash.as_ref().map(String::len), Some(64));
    match bob.rpc.call::<ReceiptPage>("receipts", &params, SOON).await {
        Err(RpcError::Refused(refusal)) => assert_eq!(refusal.code, "not_owner"),
        other => panic!("{other:?}"),
    }
    Ok(())
}
