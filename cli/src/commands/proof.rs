//! What was proved of a server, as several commands show it.

use std::collections::BTreeMap;

use attestation::VerifiedDocument;
use nostr::key::PublicKey;
use protocol::nec::announcement::{PriceTag, WalletTag};
use protocol::nec::{Env, VerifiedInstance, VerifiedRoot};
use serde::Serialize;
use units::UnixSecs;

use crate::output::Page;

/// What was proved of a server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InstanceProof {
    pub(crate) service_pubkey: PublicKey,
    pub(crate) env: Env,
    pub(crate) pcrs: BTreeMap<u8, String>,
    pub(crate) builder: Option<PublicKey>,
    pub(crate) launcher: Option<PublicKey>,
    pub(crate) releasers: Vec<PublicKey>,
    pub(crate) expires_at: UnixSecs,
}

/// What a server says of itself.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Announced {
    pub(crate) repo: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) relays: Vec<String>,
    pub(crate) open: bool,
    pub(crate) price: Option<PriceTag>,
    pub(crate) units_free: Option<u32>,
    pub(crate) units_total: Option<u32>,
    pub(crate) wallet: Option<WalletTag>,
}

impl InstanceProof {
    /// What the attestation alone proves: no signature of people.
    pub(crate) fn of_root(root: &VerifiedRoot, releasers: impl IntoIterator<Item = PublicKey>) -> Self {
        Self {
            service_pubkey: root.service(),
            env: root.env(),
            pcrs: pcrs(root.document()),
            builder: None,
            launcher: None,
            releasers: releasers.into_iter().collect(),
            expires_at: root.expires_at(),
        }
    }

    /// Shows it.
    pub(crate) fn show(&self, page: &mut Page) {
        page.key("server", &self.service_pubkey);
        page.field("env", self.env);
        page.maybe("builder", self.builder.as_ref().map(crate::output::page::npub));
        page.maybe("launcher", self.launcher.as_ref().map(crate::output::page::npub));
        for releaser in &self.releasers {
            page.key("released by", releaser);
        }
        show_pcrs(page, &self.pcrs);
        page.time("proved until", self.expires_at);
    }
}

impl From<&VerifiedInstance> for InstanceProof {
    fn from(instance: &VerifiedInstance) -> Self {
        Self {
            builder: instance.builder(),
            launcher: instance.launcher(),
            expires_at: instance.expires_at(),
            ..Self::of_root(instance.root(), instance.releasers().iter().copied())
        }
    }
}

impl From<&VerifiedInstance> for Announced {
    fn from(instance: &VerifiedInstance) -> Self {
        let said = instance.announced();
        Self {
            repo: said.repo.clone(),
            name: said.name.clone(),
            version: said.version.clone(),
            relays: said.relays.clone(),
            open: said.open,
            price: said.price,
            units_free: said.units_free.map(|(free, _)| free),
            units_total: said.units_free.map(|(_, total)| total),
            wallet: said.wallet.clone(),
        }
    }
}

impl Announced {
    /// Shows it.
    pub(crate) fn show(&self, page: &mut Page) {
        page.maybe("name", self.name.as_ref());
        page.maybe("version", self.version.as_ref());
        page.maybe("repository", self.repo.as_ref());
        page.field("open", if self.open { "takes new containers" } else { "takes no new containers" });
        page.maybe("price", self.price.map(|price| price_text(&price)));
        page.maybe("units free", self.units_text());
        if let Some(wallet) = &self.wallet {
            page.key("wallet", &wallet.service);
            page.field("wallet's node", &wallet.node);
        }
        for relay in &self.relays {
            page.field("relay", relay);
        }
    }

    /// Units free and in all.
    pub(crate) fn units_text(&self) -> Option<String> {
        Some(format!("{}/{}", self.units_free?, self.units_total?))
    }
}

/// A price for people.
pub(crate) fn price_text(price: &PriceTag) -> String {
    let period = crate::output::time::duration(u64::from(price.period_secs));
    format!("{} sat per unit and hour, paid for {period} at a time", price.unit_hour_msat)
}

/// The registers of a document.
pub(crate) fn pcrs(document: &VerifiedDocument) -> BTreeMap<u8, String> {
    document.pcrs().map(|(index, value)| (index, hex::encode(value))).collect()
}

/// Shows the registers that say something.
pub(crate) fn show_pcrs(page: &mut Page, pcrs: &BTreeMap<u8, String>) {
    for (index, value) in pcrs.iter().filter(|(_, value)| value.bytes().any(|digit| digit != b'0')) {
        page.field(&format!("PCR{index}"), value);
    }
}

/// Says what is missing where nothing was pinned.
pub(crate) fn show_pinned(page: &mut Page, pinned: bool) {
    if !pinned {
        page.warn("Not pinned: any code passes. Say with --maintainer or --pcr which code you expect.");
    }
}
