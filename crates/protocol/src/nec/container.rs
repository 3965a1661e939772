//! The public event of a container, kind 63797: state, balance, and the evidence of what runs.

use std::collections::BTreeSet;

use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use units::{ComputeUnits, Msat, UnixSecs};

use super::announcement::{Claims, Form};
use super::certificate::CertifiedContainer;
use super::{Env, NecError, Policy, VerifiedChain, all_embedded, embedded, release, tags};
use crate::event::{CheckedEvent, SignError, expiration, sign, tag_value, tags_named};
use crate::kinds::CONTAINER;
use crate::rpc::enclaved::Endpoint;
use crate::tag;

/// What a container's event tells.
#[derive(Clone, Debug)]
pub struct ContainerEvent<'a> {
    /// A name for people.
    pub name: Option<&'a str>,
    /// `deployed`, `paused` and so on.
    pub state: &'a str,
    /// When the data of an unpaid container is wiped.
    pub data_kept_until: Option<UnixSecs>,
    /// What it has to pay with.
    pub balance: Msat,
    /// Compute units.
    pub units: ComputeUnits,
    /// `registry/repository@sha256:…`.
    pub image: &'a str,
    /// Who may change its image.
    pub upgrade: &'a str,
    /// The key that commands it; none for a built-in.
    pub owner: Option<&'a PublicKey>,
    /// The key that the app told.
    pub app: Option<&'a PublicKey>,
    /// Where its ports are reached.
    pub endpoints: &'a [Endpoint],
    /// The attestation of the service.
    pub root: &'a CheckedEvent,
    /// The service's certificate for the container.
    pub certificate: &'a CheckedEvent,
    /// The repository of the service's code.
    pub service_repo: &'a str,
    /// The maintainers' signatures of the service's build.
    pub releases: &'a [Event],
}

/// Signs a container's event. It expires with its evidence.
///
/// # Errors
/// [`SignError`].
pub fn build(container: &Keys, event: &ContainerEvent<'_>, now: UnixSecs) -> Result<CheckedEvent, SignError> {
    let e = event;
    let end = |evidence: &CheckedEvent| expiration(evidence).ok().flatten().unwrap_or(now);
    let mut tags = vec![
        tag!["p", e.root.pubkey.to_hex(), "enclaved"],
        tag!["tee_root", e.root.as_json()],
        tag!["tee_cert", e.certificate.as_json()],
        tag!["expiration", end(e.root).min(end(e.certificate))],
        tag!["alt", "enclaved container"],
        tag!["state", e.state],
        tag!["balance", e.balance.whole_sats()],
        tag!["units", e.units],
        tag!["upgrade", e.upgrade],
        tag!["t", tag_value(e.root, "t").unwrap_or("dev")],
        tag!["r", e.image, "docker"],
        tag!["r", e.service_repo, "enclaved"],
    ];
    tags.extend(e.data_kept_until.map(|at| tag!["data_kept_until", at]));
    tags.extend(e.name.map(|name| tag!["name", name]));
    tags.extend(e.owner.map(|owner| tag!["p", owner.to_hex(), "admin"]));
    tags.extend(e.app.map(|app| tag!["p", app.to_hex(), "app"]));
    tags.extend(e.endpoints.iter().map(|at| tag!["endpoint", at.container_port, at.host, at.port]));
    tags.extend(e.releases.iter().map(|release| tag!["release", release.as_json()]));
    sign(container, CONTAINER, now, tags, String::new())
}

/// A container's event that was verified, from the attestation down to the image's digest.
#[derive(Clone, Debug)]
pub struct VerifiedContainer {
    chain: VerifiedChain,
    certified: CertifiedContainer,
    app: Option<PublicKey>,
    owner: Option<PublicKey>,
    state: Option<String>,
    endpoints: Vec<Endpoint>,
    releasers: BTreeSet<PublicKey>,
    expires_at: UnixSecs,
    pinned: bool,
}

impl VerifiedContainer {
    /// Verifies a container's event.
    ///
    /// # Errors
    /// [`NecError`] with the first reason to refuse.
    pub fn verify(event: &CheckedEvent, policy: &Policy) -> Result<Self, NecError> {
        if event.kind != CONTAINER {
            return Err(NecError::Event(format!("kind {} is not a container's event", event.kind)));
        }
        let root = embedded(event, "tee_root")?.ok_or_else(|| NecError::event("it has no `tee_root` tag"))?;
        let certificates = all_embedded(event, "tee_cert")?;
        let chain = VerifiedChain::verify(&root, &certificates, &event.pubkey, policy)?;
        let Some(certified) = chain.container().filter(|_| certificates.len() == 1).cloned() else {
            return Err(NecError::event("it must have one `tee_cert`, from the service to the container"));
        };
        if tags::marked(event, "r", "docker")? != Some(certified.image.as_str()) {
            return Err(NecError::event("its image is not the one in its certificate"));
        }
        let expires_at = check_expiration(event, &chain, policy.at)?;
        let claims = Claims {
            form: Form::Current,
            repo: tags::marked(event, "r", "enclaved")?,
            env: chain.root().env(),
            version: None,
        };
        if Env::among_topics(event)? != claims.env {
            return Err(NecError::event("its `t` tag is not the one of its `tee_root`"));
        }
        claims.check_policy(policy)?;
        let releasers = all_embedded(event, "release")
            .map_err(|e| NecError::Release(e.problem()))?
            .iter()
            .map(|signature| release::verify(signature, chain.root().document(), &claims, policy))
            .collect::<Result<BTreeSet<_>, _>>()?;
        release::check_threshold(&releasers, policy)?;
        if key_of(event, "enclaved")?.is_some_and(|service| service != chain.root().service()) {
            return Err(NecError::Key("it names another service than its `tee_root`".to_owned()));
        }
        Ok(Self {
            app: key_of(event, "app")?,
            owner: key_of(event, "admin")?,
            state: tag_value(event, "state").map(ToOwned::to_owned),
            endpoints: read_endpoints(event),
            pinned: policy.pins_code(),
            chain,
            certified,
            releasers,
            expires_at,
        })
    }

    /// The chain from the attestation to the container's key.
    #[must_use]
    pub const fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    /// The container, as the service certified it.
    #[must_use]
    pub const fn certified(&self) -> &CertifiedContainer {
        &self.certified
    }

    /// The key that the app told.
    #[must_use]
    pub const fn app(&self) -> Option<PublicKey> {
        self.app
    }

    /// The key that commands it.
    #[must_use]
    pub const fn owner(&self) -> Option<PublicKey> {
        self.owner
    }

    /// Its state when the event was made.
    #[must_use]
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Where its ports are reached.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whose release signatures of the service it shows.
    #[must_use]
    pub const fn releasers(&self) -> &BTreeSet<PublicKey> {
        &self.releasers
    }

    /// When this evidence ends.
    #[must_use]
    pub const fn expires_at(&self) -> UnixSecs {
        self.expires_at
    }

    /// True if the policy said which code may run.
    #[must_use]
    pub const fn is_pinned(&self) -> bool {
        self.pinned
    }
}

fn check_expiration(event: &CheckedEvent, chain: &VerifiedChain, at: UnixSecs) -> Result<UnixSecs, NecError> {
    // The reference's containers leave it out.
    let until = tags::optional_expiration(event)?.unwrap_or_else(|| chain.expires_at());
    if until > chain.expires_at() {
        return Err(NecError::event("the container's event claims to outlive its evidence"));
    }
    if at > until {
        return Err(NecError::Expired { what: "the container's event", until });
    }
    Ok(until)
}

/// The key that the event names in this role.
fn key_of(event: &CheckedEvent, role: &str) -> Result<Option<PublicKey>, NecError> {
    let Some(hex) = tags::marked(event, "p", role)? else { return Ok(None) };
    let unreadable = |_| NecError::Event(format!("its `p` tag for {role:?} is no key"));
    PublicKey::from_hex(hex).map(Some).map_err(unreadable)
}

fn read_endpoints(event: &CheckedEvent) -> Vec<Endpoint> {
    tags_named(event, "endpoint")
        .filter_map(|tag| {
            Some(Endpoint {
                container_port: tag.get(1)?.parse().ok()?,
                host: tag.get(2)?.clone(),
                port: tag.get(3)?.parse().ok()?,
            })
        })
        .collect()
}
