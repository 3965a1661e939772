//! Relays and a wallet, each a process, and people with keys.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use devnet::helper::HelperBinary;
use devnet::process::{Process, ProcessSpec, Ready};
use devnet::relay_process::READY_LINE;
use nostr::key::{Keys, PublicKey};
use nostr::types::RelayUrl;
use protocol::nwc::{ConnectionUri, MakeInvoice, PayInvoice};
use relay::Pool;
use relay::nwc::NwcClient;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use units::{Msat, SystemClock};
use zeroize::Zeroizing;

/// How long anything may take on one machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// What the faucet has.
const FAUCET_MSAT: &str = "1000000000";

/// The processes. They end with it.
pub(crate) struct Stage {
    pub(crate) service: PublicKey,
    /// Where our own clients ask: the last of the relays.
    pub(crate) relay_url: String,
    /// All of them.
    relay_urls: Vec<String>,
    /// Where Lightning addresses are served.
    pub(crate) web: SocketAddr,
    faucet: Keys,
    wallet: Process,
    relays: Vec<Process>,
    _dir: TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Result<Self> {
        Self::start_on(1).await
    }

    /// The same with so many relays.
    pub(crate) async fn start_on(relays: usize) -> Result<Self> {
        let (helper, dir) = (HelperBinary::find()?, TempDir::new()?);
        let spec = ProcessSpec::new(helper.path()).args(["relay", "--listen", "127.0.0.1:0"]);
        let (mut running, mut relay_urls) = (Vec::new(), Vec::new());
        for n in 0..relays {
            let mut relay = Process::on_host(&helper, &spec, &dir.path().join(format!("relay-{n}.log")))?;
            relay.wait_ready(&Ready::LogLine(READY_LINE.into()), DEADLINE).await?;
            relay_urls.push(word_after(&relay, "is ready on ")?);
            running.push(relay);
        }
        // Another program could take the port before the wallet does; on this machine none does.
        let web = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let faucet = Keys::generate();
        let data = dir.path().join("data");
        std::fs::create_dir(&data)?;
        let settings = [
            ("NWC_RELAYS", relay_urls.join(",")),
            ("NWC_NETWORK", "regtest".to_owned()),
            ("NWC_BACKEND", "internal".to_owned()),
            ("NWC_DATA_DIR", data.display().to_string()),
            ("NWC_FAUCET_PUBKEY", faucet.public_key().to_hex()),
            ("NWC_FAUCET_MSAT", FAUCET_MSAT.to_owned()),
            ("NWC_LNURL_LISTEN", web.to_string()),
            ("NWC_LNURL_URL", format!("http://{web}")),
        ];
        let spec = settings
            .into_iter()
            .fold(ProcessSpec::new(program(&helper, "nwc")?), |spec, (name, value)| spec.env(name, value));
        let mut wallet = Process::on_host(&helper, &spec, &dir.path().join("nwc.log"))?;
        wallet.wait_ready(&Ready::LogLine("Lightning addresses are served".into()), DEADLINE).await?;
        let service = PublicKey::from_hex(&word_after(&wallet, "service=")?)?;
        let relay_url = relay_urls.last().context("no relay")?.clone();
        Ok(Self { service, relay_url, relay_urls, web, faucet, wallet, relays: running, _dir: dir })
    }

    /// Ends the first relay.
    pub(crate) async fn stop_first_relay(&mut self) -> Result<()> {
        self.relays.remove(0).stop(DEADLINE).await.map(drop)
    }

    /// Ends all processes in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let status = self.wallet.stop(DEADLINE).await?;
        ensure!(status.success(), "the wallet ended with {status}; {}", self.wallet.log_tail());
        for relay in &mut self.relays {
            relay.stop(DEADLINE).await?;
        }
        Ok(())
    }

    /// Connections to the relay.
    pub(crate) async fn pool(&self) -> Result<Pool> {
        let pool = Pool::connect([self.relay_url.clone()]).await?;
        ensure!(pool.wait_connected(DEADLINE).await, "the relay does not answer");
        Ok(pool)
    }

    /// Our own client.
    pub(crate) async fn client(&self, keys: &Keys) -> Result<NwcClient> {
        Ok(NwcClient::for_one(self.pool().await?, self.service, keys, Arc::new(SystemClock)).await?.0)
    }

    /// The connection string of a key.
    pub(crate) fn uri(&self, keys: &Keys) -> Result<String> {
        let secret = Zeroizing::new(keys.secret_key().to_secret_bytes());
        let relays = self.relay_urls.iter().map(|url| RelayUrl::parse(url)).collect::<Result<_, _>>()?;
        let uri = ConnectionUri::new(self.service, relays, secret, None)?;
        Ok(uri.reveal().to_string())
    }

    /// Moves money from the faucet to somebody.
    pub(crate) async fn give(&self, keys: &Keys, msat: i64) -> Result<()> {
        let made = self.client(keys).await?.call(keys, &MakeInvoice::of(Msat::new(msat)), DEADLINE).await?;
        self.pay(&made.invoice.context("no invoice")?).await
    }

    /// Pays an invoice from the faucet.
    pub(crate) async fn pay(&self, invoice: &str) -> Result<()> {
        let client = self.client(&self.faucet).await?;
        client.call(&self.faucet, &PayInvoice::of(invoice), DEADLINE).await?;
        Ok(())
    }

    /// What the wallet has said, for a failed test.
    pub(crate) fn log(&self) -> String {
        self.wallet.log_tail()
    }
}

/// The payment hash that a preimage in a reply proves.
pub(crate) fn hash_of(preimage: &Value) -> Result<String> {
    let preimage = hex::decode(preimage.as_str().context("no preimage")?)?;
    Ok(hex::encode(Sha256::digest(preimage)))
}

pub(crate) fn program(helper: &HelperBinary, name: &str) -> Result<PathBuf> {
    let path = helper.path().with_file_name(name);
    ensure!(path.is_file(), "{} is not there: run scripts/build", path.display());
    Ok(path)
}

fn word_after(process: &Process, text: &str) -> Result<String> {
    let log = std::fs::read_to_string(process.log_path())?;
    let rest = log.split_once(text).with_context(|| format!("no {text:?} in {log}"))?.1;
    Ok(rest.split_whitespace().next().unwrap_or_default().to_owned())
}
