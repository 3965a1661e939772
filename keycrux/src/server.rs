//! Puts the parts together, in an order in which each finds what it needs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use attestation::TrustRoot;
use attestation::nsm::Nsm;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use instance::{Attestor, Vouchers, connect_parent};
use keyholder::{Directory, Member, Trust};
use nostr::key::Keys;
use protocol::kinds::KEYCRUX_RPC;
use protocol::parent::Push;
use quorum::Joining;
use relay::Pool;
use relay::request_log::RequestLog;
use relay::rpc::{RpcServer, ServerOptions};
use service::{Readiness, Termination};
use tokio::sync::mpsc;
use units::{Clock, SystemClock};

use crate::announce::Announcer;
use crate::api::{Api, SharedStore};
use crate::config::{self, Config};
use crate::group::Joiner;
use crate::store::Store;

/// How often records whose time is up are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Runs the key store until it is told to end.
///
/// # Errors
/// What kept it from starting.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let readiness = Readiness::default();
    if let Some(address) = config.metrics {
        service::serve_health(address, readiness.clone()).await?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // Made anew at each start, and nowhere but here: who restarts is somebody else.
    let keys = Keys::generate();
    let root = trust_root(&config)?;
    // Whichever way it was named.
    config.check_root(root.is_aws())?;
    let size = config.size()?;
    let nsm = Nsm::open(&config.nsm).with_context(|| format!("nsm {}", config.nsm.display()))?;
    let attestor = Attestor::new(nsm, keys.clone(), root.clone(), Arc::clone(&clock));
    let (parent, pushes) = connect_parent(&config.parent).await?;
    let evidence = attestor.current().await?;
    let meta = parent.get_meta(STANDARD.encode(&evidence.raw)).await.context("get_meta")?;
    let attestor = attestor.production(meta.prod);
    let announce_relays = meta.relays.clone();
    let vouchers = Vouchers::from(meta);
    let announcer = Announcer::new(&config, keys.clone(), attestor, vouchers, Arc::clone(&clock)).await?;
    let announcer = Arc::new(announcer);
    let trust = Arc::new(trust(&config, &announcer, root.clone()).await?);
    let own = own_seat(&announcer, &trust, clock.as_ref()).await?;
    tracing::info!(pubkey = %keys.public_key(), launcher = %own.launcher(), "starting");
    if size.members() == 1 {
        tracing::warn!("a group of one, for development: every key is lost when this process ends");
    }

    let store = Store::new(config.records, Joining::new(size, own.id(), own.boot()));
    let store = SharedStore::new(store);
    // Relays give what is for us to us alone, if they ask who we are (NIP-42).
    let pool = Pool::builder().authenticate_as(&keys).relays(config.relays.clone()).build().await?;
    let api = Api {
        store: store.clone(),
        root,
        trust: Arc::clone(&trust),
        size,
        env: announcer.env().await?,
        clock: Arc::clone(&clock),
    };
    let server = RpcServer::new(server_options(&config, &keys, &pool, &clock)?, api);
    let requests = server.subscribe().await?;
    let answering = tokio::spawn(Arc::clone(&server).run(requests));
    let announce_pool = announce_pool(&config, announce_relays).await?;
    let told = Arc::clone(&announcer);
    let announcing = tokio::spawn(async move { told.run(&announce_pool).await });
    let directory = Directory::new(pool.clone(), trust, Arc::clone(&clock));
    let joiner = Joiner { store: store.clone(), directory, announcer, keys, pool, clock: Arc::clone(&clock) };
    let (serving, swept) = (store.clone(), store);
    let joining = tokio::spawn(async move {
        joiner.run().await;
        say_serving(&serving);
        readiness.set(true);
    });
    let sweeping = tokio::spawn(sweep(swept));

    let reason = wait_for_end(&mut termination, pushes).await;
    tracing::info!("ending: {reason}");
    for task in [answering, announcing, joining, sweeping] {
        task.abort();
    }
    server.drain().await;
    tracing::info!("ended");
    Ok(())
}

fn trust_root(config: &Config) -> anyhow::Result<TrustRoot> {
    if config.trust_root == config::AWS {
        return Ok(TrustRoot::aws());
    }
    let der =
        std::fs::read(&config.trust_root).with_context(|| format!("trust_root {}", config.trust_root))?;
    Ok(TrustRoot::from_der(&der)?)
}

/// Whom this key store believes to be one of its group: what it is itself.
async fn trust(config: &Config, announcer: &Announcer, root: TrustRoot) -> anyhow::Result<Trust> {
    Ok(Trust {
        root,
        repo: config.repo.clone(),
        env: Some(announcer.env().await?),
        maintainers: config.maintainers.clone(),
        threshold: config.threshold,
        min_version: config.version()?,
        members: config.group.members.clone(),
    })
}

/// Its own place in the group: nobody would believe it without, so it need not start.
async fn own_seat(announcer: &Announcer, trust: &Trust, clock: &dyn Clock) -> anyhow::Result<Member> {
    let announcement = announcer.for_peers().await?;
    trust.verify(&announcement, clock.now(), None).context(
        "the group would not accept this key store; check instance.json and release/*.json at the parent, \
         and maintainers and group.members in the configuration",
    )
}

fn server_options(
    config: &Config,
    keys: &Keys,
    pool: &Pool,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<ServerOptions> {
    Ok(ServerOptions {
        keys: keys.clone(),
        kind: KEYCRUX_RPC,
        pool: pool.clone(),
        // SQLite's name for a database in memory: nothing of a key store outlives it.
        log: RequestLog::open(Path::new(":memory:"))?,
        clock: Arc::clone(clock),
        rate: config.rate,
        // Whatever was asked of the one before us is not asked of us: we do not know what came of it.
        recovered_at: Some(clock.now()),
    })
}

/// The relays that the parent names besides those on which clients look anyway.
async fn announce_pool(config: &Config, more: Vec<String>) -> anyhow::Result<Pool> {
    let mut relays = config.relays.clone();
    relays.extend(more.into_iter().filter(|url| !config.relays.contains(url)));
    Ok(Pool::connect(relays).await?)
}

fn say_serving(store: &SharedStore) {
    let store = store.lock();
    metrics::gauge!("keycrux_serving").set(1.0);
    let Some(origin) = store.origin() else { return };
    let (group, records) = (hex(&origin.view.group.0), store.len());
    if origin.incarnation.count == 0 {
        tracing::warn!(
            group,
            "ready: a new group was founded; it is empty, and knows nothing of any before it"
        );
    } else {
        tracing::info!(group, records, life = origin.incarnation.count, "ready: joined the group");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

async fn sweep(store: SharedStore) {
    loop {
        let (forgotten, left) = {
            let mut store = store.lock();
            (store.sweep(), store.len())
        };
        if forgotten > 0 {
            tracing::info!(forgotten, "records that nobody used were forgotten");
        }
        metrics::gauge!("keycrux_records").set(f64::from(u32::try_from(left).unwrap_or(u32::MAX)));
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn wait_for_end(termination: &mut Termination, mut pushes: mpsc::Receiver<Push>) -> String {
    tokio::select! {
        signal = termination.wait() => signal.to_owned(),
        push = shutdown_push(&mut pushes) => push,
    }
}

/// A parent that goes away is no reason to end: it is found again when it is back, and all that it may say by now
/// is that this ends.
async fn shutdown_push(pushes: &mut mpsc::Receiver<Push>) -> String {
    match pushes.recv().await {
        Some(Push::Shutdown { deadline_secs }) => format!("the parent gives us {deadline_secs} s"),
        None => std::future::pending().await,
    }
}
