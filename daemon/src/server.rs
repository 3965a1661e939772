//! Puts the parts together, in an order in which each finds what it needs.

mod end;
mod ground;

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use attestation::TrustRoot;
use guard::{AddressGuard, SystemLookup};
use instance::{Attestor, Vouchers, connect_parent};
use lifecycle::Event;
use protocol::kinds::ENCLAVED_RPC;
use protocol::parent::Meta;
use relay::request_log::RequestLog;
use relay::rpc::{RpcServer, ServerOptions};
use relay::{LocalRelayLimits, LocalRelayServer, Pool, PoolError};
use rustls::RootCertStore;
use service::{Readiness, Termination};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use units::{Clock, SystemClock};

use crate::admission::Admission;
use crate::announce::{Announcer, Changes};
use crate::api::Api;
use crate::builtin;
use crate::capacity;
use crate::checkpoint::Checkpoints;
use crate::config::{self, Config, Development};
use crate::context::Context;
use crate::deploy::{Fleet, launch};
use crate::doors::Doors;
use crate::guest::{Fetcher, GuestServer, NAMES_AT_ONCE};
use crate::guest_wallets;
use crate::heartbeat;
use crate::image::{ImageStore, Platform, RegistryClient, RegistrySettings};
use crate::lapse;
use crate::notices::Notices;
use crate::parent::ParentLog;
use crate::rpc::RpcAdapter;
use crate::runtime::{Runtime, check_limits, watch_exits};
use crate::snapshots::{MESSAGES_DB, REQUESTS_DB, STATE_DB};
use crate::statements::Statements;
use crate::store::{Origin, Store};
use crate::strain;
use crate::topups::Topups;
use crate::upgrade::{self, Stages};
use crate::upgrades;
use crate::wallet::Wallet;
use end::{End, asked_to_end, settled, wait_for_end};
use ground::Ground;

/// Runs the server until it is told to end.
///
/// # Errors
/// What kept it from starting.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let trust_root = trust_root(&config)?;
    // Whichever way it was named.
    config.check_root(trust_root.is_aws())?;
    let readiness = Readiness::default();
    if let Some(address) = config.metrics {
        service::serve_health(address, readiness.clone()).await?;
    }
    std::fs::create_dir_all(&config.state_dir)
        .with_context(|| format!("state_dir {}", config.state_dir.display()))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    if trust_root.is_aws() {
        check_limits(&config.docker_socket).await?;
    }
    let (parent, mut pushes) = connect_parent(&config.parent).await?;
    let parent_log = ParentLog::start(parent.clone());
    let ground = tokio::select! {
        ground = Ground::open(&config, &trust_root, &clock, &parent, &parent_log) => ground?,
        end = asked_to_end(&mut termination, &mut pushes) => {
            tracing::info!("ending before the start: {end}");
            return Ok(());
        }
    };
    let Ground { keys, meta, hold, snapshots, recovered, succession } = ground;
    let attestor = attestor(&config, &keys, trust_root, &clock)?.production(meta.prod);
    let host = parent.get_ip().await.context("the parent's address")?.ip;

    // The internal relay: ours over loopback, the built-ins' over the guest port.
    let internal = LocalRelayServer::new(LocalRelayLimits::default());
    let internal_listener = TcpListener::bind("127.0.0.1:0").await?;
    let internal_url = format!("ws://{}", internal_listener.local_addr()?);
    let mut tasks = JoinSet::new();
    let own_relay = internal.clone();
    tasks.spawn(async move {
        own_relay.listen(internal_listener).await;
        Ok(())
    });

    let runtime = Runtime::open(&config, &keys, hold.clone(), attestor.trust_root().is_aws()).await?;
    let images = image_store(&config, &runtime)?;
    let (wallet, news) = Wallet::new(Pool::connect([internal_url]).await?, Arc::clone(&clock), hold.clone());
    let development = config.development.clone().unwrap_or_default();
    let fetcher = fetcher(&development)?;
    let (statements, statement_queue) = Statements::new();
    let store = Store::open(&config.data_dir().join(STATE_DB))?;
    let (notices, notice_queue) = Notices::new(config.policy());
    let ctx = Arc::new(Context {
        keys: keys.clone(),
        admission: Admission::default(),
        clock: Arc::clone(&clock),
        store,
        runtime,
        images,
        stages: Stages::default(),
        wallet,
        topups: Topups::default(),
        attestor,
        statements,
        releases: OnceLock::new(),
        changes: Changes::default(),
        checkpoints: Checkpoints::new(development.checkpoints),
        notices,
        parent_log,
        hold,
        snapshots,
        recovered,
        history: RwLock::new(succession.as_ref().map(|succession| succession.history.clone())),
        host,
        config,
    });
    tracing::info!(pubkey = %keys.public_key(), not_enforced = ?ctx.runtime.facts().not_enforced, "starting");

    // Before anything goes on or starts.
    let lapsing = Arc::clone(&ctx);
    tasks.spawn(async move {
        lapse::watch(lapsing).await;
        Ok(())
    });
    let fleet = Fleet::new(Arc::clone(&ctx));
    let guest_listener = TcpListener::bind(("0.0.0.0", ctx.config.network.guest_port)).await;
    let guest_listener = guest_listener.context("network.guest_port")?;
    let guests = GuestServer::new(Arc::clone(&fleet), internal, fetcher);
    let doors = ctx.runtime.doors().context("the guests' sockets are served twice")?;
    let (stating, serving) = (Arc::clone(&ctx), Arc::clone(&guests));
    tasks.spawn(async move {
        statement_queue.run(stating).await;
        Ok(())
    });
    tasks.spawn(async move {
        serving.serve_doors(doors).await;
        Ok(())
    });
    tasks.spawn(async move {
        guests.listen(guest_listener).await;
        Ok(())
    });

    start_containers(&ctx, &fleet).await?;
    let exits = watch_exits(ctx.runtime.docker().clone());
    let (followers, news_fleet) = (Arc::clone(&fleet), Arc::clone(&fleet));
    tasks.spawn(async move {
        followers.follow_exits(exits).await;
        Ok(())
    });
    tasks.spawn(async move {
        news_fleet.follow_wallet(news).await;
        Ok(())
    });
    let beating = Arc::clone(&ctx);
    tasks.spawn(async move {
        heartbeat::beat(beating).await;
        Ok(())
    });

    let straining = Arc::clone(&ctx);
    tasks.spawn(async move {
        strain::watch(straining).await;
        Ok(())
    });
    let telling = Arc::clone(&ctx);
    tasks.spawn(async move {
        guest_wallets::tell_ends(&telling).await;
        Ok(())
    });
    let sweeping = Arc::clone(&fleet);
    tasks.spawn(async move {
        sweeping.sweep().await;
        Ok(())
    });

    // Relays give what is for us to us alone, if they ask who we are (NIP-42).
    let pool = relays_as(&ctx, ctx.config.relays.clone()).await?;
    let server = rpc_server(&ctx, &fleet, pool.clone())?;
    // There before the first snapshot, which has it in it.
    let messages = RequestLog::open(&ctx.config.data_dir().join(MESSAGES_DB)).context(MESSAGES_DB)?;
    if let Some(end) = settled(&ctx, &mut termination, &mut pushes).await {
        return end.carry_out(&ctx, &fleet, async {}, tasks).await;
    }
    if let Some(succession) = succession {
        let (watching, parent) = (Arc::clone(&ctx), parent.clone());
        tasks.spawn(async move {
            upgrades::watch(watching, parent, succession).await;
            Ok(())
        });
    }
    let upgrading = Arc::clone(&fleet);
    tasks.spawn(async move {
        upgrade::watch(upgrading).await;
        Ok(())
    });
    let snapshotting = ctx.snapshots.clone().map(|snapshots| {
        let ctx = Arc::clone(&ctx);
        tokio::spawn(async move { snapshots.run(&ctx).await })
    });
    let requests = server.subscribe().await?;
    let answering = tokio::spawn(Arc::clone(&server).run(requests));
    let more_doors = Doors::open(&Api::new(Arc::clone(&fleet)), messages, pool.clone(), notice_queue).await?;
    let announce_pool = announce_pool(&ctx, &meta, &pool).await?;
    let vouchers = Vouchers { build: meta.build, instance: meta.instance, releases: meta.releases };
    let announcer = Announcer::new(Arc::clone(&ctx), announce_pool, vouchers).await?;
    let announcing = tokio::spawn(announcer.run());
    readiness.set(true);
    tracing::info!("ready");

    let end = tokio::select! {
        end = wait_for_end(&mut termination, &mut tasks, &mut pushes) => end,
        loss = ctx.hold.lost() => End::Lost(loss),
    };
    readiness.set(false);
    if let End::Asked { deadline_secs, .. } = &end {
        more_doors.announce_end(Duration::from_secs(deadline_secs.unwrap_or(0))).await;
    }
    answering.abort();
    announcing.abort();
    more_doors.shut();
    let drain = async {
        tokio::join!(more_doors.drain(), server.drain());
    };
    let ended = end.carry_out(&ctx, &fleet, drain, tasks).await;
    if let Some(snapshotting) = snapshotting {
        snapshotting.abort();
    }
    ended
}

fn trust_root(config: &Config) -> anyhow::Result<TrustRoot> {
    if config.trust_root == config::AWS {
        return Ok(TrustRoot::aws());
    }
    let der =
        std::fs::read(&config.trust_root).with_context(|| format!("trust_root {}", config.trust_root))?;
    Ok(TrustRoot::from_der(&der)?)
}

fn attestor(
    config: &Config,
    keys: &nostr::key::Keys,
    trust_root: TrustRoot,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Attestor> {
    Ok(Attestor::new(ground::nsm(config)?, keys.clone(), trust_root, Arc::clone(clock)))
}

fn image_store(config: &Config, runtime: &Runtime) -> anyhow::Result<ImageStore> {
    let development = config.development.clone().unwrap_or_default();
    let guard = AddressGuard::with_exceptions(development.addresses);
    let mut settings = RegistrySettings::new(guard);
    settings.plain_http = development.plain_http_registries.into_iter().collect();
    let temp_dir = config.state_dir.join("tmp");
    std::fs::create_dir_all(&temp_dir)?;
    let registry = RegistryClient::new(settings)?;
    Ok(ImageStore::new(registry, runtime.docker().clone(), Platform::default(), temp_dir))
}

fn fetcher(development: &Development) -> anyhow::Result<Fetcher> {
    let names = SystemLookup::default().with_threads(NAMES_AT_ONCE);
    let guard = AddressGuard::with_exceptions(development.addresses.clone()).with_lookup(Arc::new(names));
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &development.fetch_root {
        let der =
            std::fs::read(path).with_context(|| format!("development.fetch_root {}", path.display()))?;
        roots.add(der.into()).context("development.fetch_root")?;
    }
    Ok(Fetcher::new(guard, roots)?)
}

/// Built-ins first: the wallet must be there before anybody is charged.
async fn start_containers(ctx: &Arc<Context>, fleet: &Arc<Fleet>) -> anyhow::Result<()> {
    let mut builtins = Vec::new();
    for builtin in &ctx.config.builtin {
        builtins.push(builtin::register(ctx, builtin).await?);
    }
    let (known, launched): (Vec<_>, Vec<_>) =
        ctx.store.containers()?.into_iter().partition(crate::store::Container::is_builtin);
    for stale in known.iter().filter(|one| builtins.iter().all(|b| b.pubkey() != one.pubkey())) {
        tracing::info!(container = %stale.pubkey(), "a built-in that is no longer configured stays stopped");
        ctx.runtime.stop(stale).await?;
    }
    // What stays takes room, and nothing else.
    if let Err(e) = ctx.runtime.forget_stray_copies(&ctx.store.open_upgrades()?) {
        tracing::warn!("copies of volumes stay: {e}");
    }
    let mut all = Vec::new();
    for container in builtins.into_iter().chain(launched) {
        ctx.runtime.thaw_leftover(&container.pubkey()).await?;
        // A launch that a crash kept from its invoice is one that nobody heard of.
        if container.invoice.is_none() && !container.is_builtin() {
            ctx.store.forget_launch(&container.pubkey())?;
            continue;
        }
        // Over, wiped, released: a row that only remembers a balance.
        if container.state.is_over() && container.slot.is_none() {
            continue;
        }
        // The firewall forgot everything when it was set up; running containers must be known at once.
        ctx.runtime.readmit(&container).await?;
        launch::recall_image(ctx, &container).await;
        all.push(container);
    }
    // Behind all that can fail: what a start that failed took is given back as well.
    heartbeat::give_back(ctx)?;
    let units = ctx.config.capacity.sold_units();
    let aside = capacity::stand_aside(&all, units, ctx.config.price.period_secs);
    for container in all {
        // With the time that it was given.
        let Some(container) = ctx.store.container(&container.pubkey())? else { continue };
        // A wallet that lived through our restart has told its key already.
        if let (Origin::Builtin(name), Some(app)) = (&container.origin, container.app)
            && *name == ctx.config.wallet
        {
            let fleet = Arc::clone(fleet);
            tokio::spawn(async move { fleet.wallet_appeared(app).await });
        }
        // Nobody waits for what is prepared ahead.
        let mut events = vec![Event::ServerStarted];
        if aside.contains(&container.pubkey()) {
            tracing::warn!(container = %container.pubkey(), units, "stands aside: there are too few units");
            // Before it would be started.
            events.insert(0, Event::CapacityLost);
        }
        drop(fleet.start(container, events));
    }
    Ok(())
}

fn rpc_server(
    ctx: &Arc<Context>,
    fleet: &Arc<Fleet>,
    pool: Pool,
) -> anyhow::Result<Arc<RpcServer<RpcAdapter>>> {
    let options = ServerOptions {
        keys: ctx.keys.clone(),
        kind: ENCLAVED_RPC,
        pool,
        log: RequestLog::open(&ctx.config.data_dir().join(REQUESTS_DB))?,
        clock: Arc::clone(&ctx.clock),
        rate: ctx.config.rate,
        recovered_at: ctx.recovered.map(|recovered| recovered.at),
    };
    Ok(RpcServer::new(options, RpcAdapter(Api::new(Arc::clone(fleet)))))
}

/// The relays that the parent names, or those on which we take requests.
async fn announce_pool(ctx: &Context, meta: &Meta, pool: &Pool) -> anyhow::Result<Pool> {
    if meta.relays.is_empty() {
        return Ok(pool.clone());
    }
    relays_as(ctx, meta.relays.clone()).await.context("the relays that the parent names")
}

/// Connections to relays, to which we prove that we are this server.
async fn relays_as(ctx: &Context, relays: Vec<String>) -> Result<Pool, PoolError> {
    Pool::builder().authenticate_as(&ctx.keys).relays(relays).build().await
}
