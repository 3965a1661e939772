//! The configuration files of a world's services.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::json;

use super::operator::REPO;
use super::{World, sealing};

/// Containers' networks, apart from what the engine gives to others.
const CONTAINERS: &str = "10.232.0.0/16";

/// The port of the server's HTTP API.
pub(super) const HTTP_PORT: u16 = 8_088;

/// Writes the parent's configuration; returns its path and that of the socket.
pub(super) fn write_parent(world: &World) -> Result<(PathBuf, PathBuf)> {
    let (config, socket) = (world.dir().join("parent.json"), world.dir().join("parent.sock"));
    let backup =
        world.options().sealing.is_some().then(|| sealing::parent_section(world.dir(), world.backups()));
    let text = json!({
        "listen": format!("unix:{}", socket.display()),
        "instance_dir": world.operator().dir(),
        "ip": world.enclave().box_address(),
        "shutdown_secs": 30,
        "backup": backup,
    });
    std::fs::write(&config, text.to_string())?;
    Ok((config, socket))
}

/// Writes the daemon's configuration, with the wallet image of this digest as its built-in.
pub(super) fn write_daemon(world: &World, wallet_image: &str) -> Result<()> {
    let options = world.options();
    let dir = world.dir();
    let relay = world.relay_url();
    let mut wallet_env = json!({
        "NWC_RELAYS": relay,
        "NWC_NETWORK": "regtest",
        "NWC_BACKEND": "internal",
        "NWC_FAUCET_PUBKEY": world.faucet_key().public_key().to_hex(),
        "NWC_FAUCET_MSAT": options.faucet_msat.to_string(),
        "NWC_LATE_ACCEPT_SECS": options.late_accept_secs.to_string(),
    });
    if options.lightning_addresses {
        world.lightning_env().into_iter().for_each(|(name, value)| wallet_env[name] = value.into());
    }
    let mut text = json!({
        "repo": REPO,
        "relays": [relay],
        "state_dir": world.state_dir(),
        "nsm": dir.join("nsm/nsm.sock"),
        "trust_root": world.trust_root(),
        "parent": format!("unix:{}", dir.join("parent.sock").display()),
        "docker_socket": world.engine().socket(),
        "metrics": "127.0.0.1:9100",
        "http": {"listen": format!("0.0.0.0:{HTTP_PORT}")},
        // Work that a test does in a moment.
        "messages": {
            "work_bits": 12,
            "free_quotes_per_key": options.free_quotes_per_key,
            "free_quotes_per_hour": options.free_quotes_per_key * 10,
        },
        "capacity": {"units": options.units},
        "price": {"unit_hour_msat": options.unit_hour_msat, "period_secs": options.period_secs},
        "life": {
            "grace_secs": options.grace_secs,
            "retention_secs": options.retention_secs,
            "retry_secs": 1,
            "poll_secs": 5,
            "restart_secs_max": 2,
        },
        "launch": {"invoice_secs": options.invoice_secs, "unpaid_max": options.unpaid_max},
        "network": {"containers": CONTAINERS},
        "upgrade": {"poll_secs": options.release_poll_secs, "settle_secs": 1, "health_secs": 5},
        "rate": {"per_sec": options.rate_per_sec, "burst": options.rate_per_sec * 2},
        "builtin": [{
            "name": "nwc",
            "docker": wallet_image,
            "units": options.wallet_units,
            "env": wallet_env,
            "volumes": ["/data"],
        }],
        "development": {
            "addresses": ["198.18.0.0/15"],
            "plain_http_registries": [world.registry().address().to_string()],
            "fetch_root": options.fetch_root,
            "checkpoints": options.watch_steps.then(|| world.steps_socket()),
        },
    });
    if let Some(sealing) = &options.sealing {
        let sections = sealing.sections(world)?.as_object().cloned().unwrap_or_default();
        text.as_object_mut().context("an object")?.extend(sections);
    }
    std::fs::write(world.daemon_config(), serde_json::to_string_pretty(&text)?)?;
    Ok(())
}

/// Writes the daemon's configuration again, as the build has it that is measured now.
pub(super) fn rewrite_for_build(world: &World) -> Result<()> {
    let path = world.daemon_config();
    let mut text: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    text["development"]["version"] = world.operator().build().version.clone().into();
    if let Some(sealing) = &world.options().sealing {
        let sections = sealing.sections(world)?.as_object().cloned().unwrap_or_default();
        text.as_object_mut().context("an object")?.extend(sections);
    }
    std::fs::write(path, serde_json::to_string_pretty(&text)?)?;
    Ok(())
}
