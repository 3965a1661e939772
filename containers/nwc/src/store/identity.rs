//! Whose file it is.

use ledger::{LedgerTx, View};
use nostr::key::PublicKey;
use rusqlite::{OptionalExtension, params};

use crate::lightning::{Network, NodeId};

/// What a file belongs to. A file and keys that do not belong together are never used together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    service: String,
    node: String,
    network: String,
}

impl Identity {
    /// The identity of a wallet.
    #[must_use]
    pub fn new(service: &PublicKey, node: NodeId, network: Network) -> Self {
        Self { service: service.to_hex(), node: node.to_string(), network: network.to_string() }
    }
}

/// The file's identity, if it was ever claimed.
pub(crate) fn read(view: View<'_>) -> rusqlite::Result<Option<Identity>> {
    let value = |name: &str| -> rusqlite::Result<Option<String>> {
        view.sql().query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
    };
    let (service, node, network) = (value("service")?, value("node")?, value("network")?);
    Ok(match (service, node, network) {
        (Some(service), Some(node), Some(network)) => Some(Identity { service, node, network }),
        _ => None,
    })
}

/// Writes the identity into a file that has none, or that is blank.
pub(crate) fn claim(tx: &LedgerTx<'_>, identity: &Identity) -> rusqlite::Result<()> {
    for (name, value) in
        [("service", &identity.service), ("node", &identity.node), ("network", &identity.network)]
    {
        tx.sql()
            .execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", params![name, value])?;
    }
    Ok(())
}

/// True if nothing was ever asked of this file: no invoice, no payment, no account, no admitted key.
pub(crate) fn is_blank(view: View<'_>) -> rusqlite::Result<bool> {
    view.sql().query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM invoice) AND NOT EXISTS (SELECT 1 FROM payment)
            AND NOT EXISTS (SELECT 1 FROM ledger_account) AND NOT EXISTS (SELECT 1 FROM registration)",
        [],
        |row| row.get(0),
    )
}
