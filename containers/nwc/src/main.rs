//! The built-in wallet service. `nwc --help` says how it is configured.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use guard::AddressGuard;
use nostr::key::{Keys, SecretKey};
use nwc::app::App;
use nwc::config::Config;
use nwc::keys::WalletKeys;
use nwc::service::Wallet;
use nwc::transport::{Host, Parts, Transport};
use service::{EXIT_USAGE, Readiness, Termination, VERSION};
use tracing_subscriber::EnvFilter;
use transport::GuestClient;
use units::{Clock, SystemClock};

/// A custodial Lightning wallet for any Nostr key, over NIP-47.
#[derive(Debug, Parser)]
#[command(name = "nwc", disable_version_flag = true, after_help = ENVIRONMENT)]
struct Args {
    /// Read and check the configuration, print it, and exit
    #[arg(long)]
    check_config: bool,
    /// Print version and commit, and exit
    #[arg(long)]
    version: bool,
}

const ENVIRONMENT: &str = "\
Environment:
  NWC_RELAYS                       relays to listen on, comma separated (required)
  NWC_NETWORK                      mainnet, testnet, signet or regtest (required)
  NWC_BACKEND                      internal: settles between this wallet's own accounts (required)
  NWC_DATA_DIR                     keys and books [/data]
  NWC_ADMIN_PUBKEY                 if set, only keys that this one admits can be paid
  NWC_FAUCET_PUBKEY                development: this key's wallet starts with ...
  NWC_FAUCET_MSAT                  ... so much
  NWC_MAX_INVOICE_MSAT             largest invoice [100000000000]
  NWC_DEFAULT_EXPIRY_SECS          expiry of an invoice that asks for none [600]
  NWC_MAX_EXPIRY_SECS              longest expiry [86400]
  NWC_LATE_ACCEPT_SECS             how long after expiry a payment is honoured [0]
  NWC_MAX_OPEN_INVOICES_PER_KEY    unpaid invoices of one payee [100]
  NWC_MAX_OPEN_INVOICES_UNFUNDED   of all payees who hold no money [1000]
  NWC_MAX_OPEN_INVOICES            of all others [2000]
  NWC_MAX_BALANCE_MSAT             what one wallet may hold [1000000000000]
  NWC_MAX_WALLETS                  wallets that hold money [10000]
  NWC_MIN_FIRST_MSAT               least first payment to a key [1000]
  NWC_MAX_ANON_EXPIRY_SECS         longest expiry if another key asks than is paid,
                                   or one that holds no money [600]
  NWC_MAX_IN_FLIGHT_PER_KEY, NWC_MAX_IN_FLIGHT
                                   payments on their way [10, 200]
  NWC_MAX_HOLDS_PER_KEY, NWC_MAX_HOLDS, NWC_MAX_HOLD_SECS
                                   hold invoices with money locked in, and for how long [10, 200, 86400]
  NWC_MAX_CONNECTIONS_PER_KEY, NWC_MAX_CONNECTIONS
                                   further keys of a wallet [16, 1000]
  NWC_BOOKS_BYTES_MAX              largest size of the books [200000000, or what the volume has]
  NWC_MAX_ANSWERS_PER_KEY          requests of one key remembered for twenty minutes [2000]
  NWC_MAX_WAITING_PER_PAYMENT, NWC_MAX_WAITING
                                   requests that wait for one payment, that join any [32, 2000]
  NWC_RATE_PER_SEC, NWC_RATE_BURST requests of one key [20, 100]
  NWC_RELAY_RATE_PER_SEC, NWC_RELAY_RATE_BURST
                                   requests through one relay [2000, 5000]
  NWC_LNURL_RATE_PER_SEC, NWC_LNURL_RATE_BURST
                                   requests of one address over HTTP [5, 50]
  NWC_LNURL_INVOICES_PER_CLIENT    invoices of one payee for one address over HTTP at a time [10]
  NWC_MAX_NAMES_PER_KEY, NWC_MAX_NAMES
                                   names of Lightning addresses [3, 1000000]
  NWC_MAX_CONCURRENT, NWC_MAX_HTTP_CONNECTIONS
                                   requests and HTTP connections at once [256, 256]
  NWC_HISTORY_MAX, NWC_HISTORY_DAYS
                                   finished payments of one key, and for how long [2000, 400]
  NWC_JOURNAL_MAX                  transactions kept one by one [50000]
  NWC_MAX_HISTORY                  how far lists page by offset [10000]
  NWC_MAX_REPLY_BYTES              longest list in a reply [40000]
  NWC_FEE_RESERVE_PPM, NWC_FEE_RESERVE_MSAT
                                   set aside for routing, and at least [10000, 10000]
  NWC_FEE_PAYMENT_MSAT, NWC_FEE_PAYMENT_PPM
                                   what a payment costs [0, 0]
  NWC_FEE_HOLDING_MSAT, NWC_FEE_HOLDING_SECS
                                   what holding money costs, once a period [nothing]
  NWC_LNURL_LISTEN, NWC_LNURL_URL  development: where Lightning addresses are served, and their URL
  NWC_RELAY_ADDRESSES              development: networks that relays of zap requests may be in
  NWC_METRICS                      loopback address for health and metrics
  ENCLAVED_ENDPOINT, ENCLAVED_TOKEN, ENCLAVED_INTERNAL_RELAY
                                   set by the server that runs this wallet as a built-in
  LOG_FORMAT                       text or json [text]
  RUST_LOG                         what to log [info]

Example:
  NWC_RELAYS=ws://127.0.0.1:7000 NWC_NETWORK=regtest NWC_BACKEND=internal NWC_DATA_DIR=/var/lib/nwc nwc";

fn main() -> ExitCode {
    service::init_tls();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let help = error.exit_code() == 0;
            return if error.print().is_ok() && help {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(EXIT_USAGE)
            };
        }
    };
    if args.version {
        return say(&format!("nwc {VERSION}\n"));
    }
    let config = match Config::from_process() {
        Ok(config) => config,
        Err(error) => {
            // Nobody is left to tell if even this cannot be written.
            let _unheard = writeln!(io::stderr(), "nwc: {error}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if args.check_config {
        return say(&config.to_string());
    }
    start_log(&config);
    match serve(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> ExitCode {
    if io::stdout().write_all(text.as_bytes()).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn start_log(config: &Config) {
    let subscriber = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&config.log_filter));
    if config.log_json {
        subscriber.json().init();
    } else {
        subscriber.with_ansi(false).init();
    }
}

#[tokio::main]
async fn serve(config: &Config) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let readiness = Readiness::default();
    if let Some(address) = config.metrics {
        service::serve_health(address, readiness.clone()).await?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let App { keys, wallet, lock } = App::open(config, clock.now())?;
    tracing::info!(service = %keys.service_pubkey(), node = %keys.node_id(), network = %config.network, "wallet open");
    let transport = Transport::new(transport_parts(config, &keys, &wallet, Arc::clone(&clock))?).await?;
    if let Some(lnurl) = &config.lnurl {
        let address = nwc::web::serve(lnurl.listen, Arc::clone(&wallet), clock).await?;
        tracing::warn!(%address, url = %lnurl.site, "Lightning addresses are served, for development");
    }
    let watching = tokio::spawn(follow_solvency(wallet.solvent(), readiness));
    let outcome = tokio::select! {
        _ = termination.wait() => Ok(()),
        served = transport.run() => served.context("the relays"),
        () = wallet.store().stopped() => {
            Err(anyhow::anyhow!("a commit failed")).context("the wallet's database stopped; starting again opens it afresh")
        }
    };
    watching.abort();
    // Whatever was queued is written before the lock is given up.
    drop(wallet);
    drop(lock);
    outcome
}

/// Ready means: takes requests and can pay what it owes.
async fn follow_solvency(mut solvent: tokio::sync::watch::Receiver<bool>, readiness: Readiness) {
    loop {
        readiness.set(*solvent.borrow_and_update());
        if solvent.changed().await.is_err() {
            return;
        }
    }
}

fn transport_parts(
    config: &Config,
    keys: &WalletKeys,
    wallet: &Arc<Wallet>,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Parts> {
    let host = config.host.as_ref().map(|host| Host {
        guest: GuestClient::new(host.endpoint.clone(), host.token.to_string()),
        internal_relay: host.internal_relay.to_string(),
    });
    Ok(Parts {
        wallet: Arc::clone(wallet),
        keys: Keys::new(SecretKey::from_slice(keys.service().as_slice())?),
        relays: config.relays.clone(),
        host,
        guard: AddressGuard::with_exceptions(config.relay_exceptions.clone()),
        clock,
    })
}
