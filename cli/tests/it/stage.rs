//! A server with everybody who vouches for it, made of the real builders over a simulated NSM.

use attestation::{Expectations, Pcr, VerifiedDocument, VerifyAt, pcr_digest, verify};
use attestation_sim::{Forge, SimRoot};
use nostr::event::Event;
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::event::CheckedEvent;
use protocol::nec::announcement::{Announcement, PriceTag, WalletTag};
use protocol::nec::certificate::{ContainerClaims, for_app, for_container};
use protocol::nec::container::ContainerEvent;
use protocol::nec::{Env, announcement, builder, container, launcher, release, root};
use protocol::rpc::enclaved::Endpoint;
use protocol::tag;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use units::{ComputeUnits, Msat, UnixSecs};

use crate::support::Home;

pub(crate) const REPO: &str = "https://example.com/enclaved";
pub(crate) const INSTANCE_ID: &str = "i-0123456789abcdef0";
pub(crate) const VERSION: &str = "1.2.3";

/// The people and keys.
pub(crate) struct Stage {
    pub(crate) home: Home,
    pub(crate) now: UnixSecs,
    pub(crate) root: SimRoot,
    pub(crate) service: Keys,
    pub(crate) builder: Keys,
    pub(crate) launcher: Keys,
    pub(crate) maintainers: [Keys; 2],
    pub(crate) container: Keys,
    pub(crate) app: Keys,
    pub(crate) owner: Keys,
    pub(crate) wallet: Keys,
    pub(crate) relays: Vec<String>,
    pub(crate) signing_certificate: Vec<u8>,
}

/// What a good announcement is made of, for tests to spoil.
pub(crate) struct Parts {
    pub(crate) env: Env,
    pub(crate) document: Vec<u8>,
    pub(crate) root: CheckedEvent,
    pub(crate) signer: Keys,
    pub(crate) build: Option<Event>,
    pub(crate) instance: Option<Event>,
    pub(crate) releases: Vec<Event>,
    pub(crate) name: String,
    pub(crate) open: bool,
    pub(crate) wallet: bool,
}

impl Stage {
    pub(crate) fn at(now: UnixSecs) -> Self {
        let builder = Keys::generate();
        Self {
            home: Home::new(),
            now,
            root: SimRoot::generate().unwrap(),
            service: Keys::generate(),
            signing_certificate: signing_certificate(&builder),
            builder,
            launcher: Keys::generate(),
            maintainers: [Keys::generate(), Keys::generate()],
            container: Keys::generate(),
            app: Keys::generate(),
            owner: Keys::generate(),
            wallet: Keys::generate(),
            relays: vec!["wss://relay.example".to_owned()],
        }
    }

    /// A document of the server's, spoilt.
    pub(crate) fn document(&self, spoil: impl FnOnce(&mut Forge)) -> Vec<u8> {
        let mut forge = Forge::at(self.now);
        forge.payload.public_key = Some(self.service.public_key().to_bytes().to_vec());
        set_pcr(&mut forge, 8, builder::pcr8(&self.signing_certificate));
        spoil(&mut forge);
        forge.document(&self.root).unwrap()
    }

    pub(crate) fn verified(&self, document: &[u8]) -> VerifiedDocument {
        let lax = Expectations::none().allow_debug(true);
        verify(document, &lax, self.root.trust_root(), VerifyAt::DocumentTime).unwrap()
    }

    fn image_pcrs(&self, document: &[u8]) -> [Pcr; 3] {
        let document = self.verified(document);
        [0, 1, 2].map(|index| document.pcr(index).unwrap())
    }

    pub(crate) fn tee_root(&self, document: &[u8], env: Env) -> CheckedEvent {
        let until = self.verified(document).leaf_not_after();
        root::build(&self.service, document, env, until, self.now).unwrap()
    }

    /// The parts of a good announcement around a document.
    pub(crate) fn parts_of(&self, document: Vec<u8>, env: Env) -> Parts {
        let build =
            builder::build(&self.builder, REPO, VERSION, &self.signing_certificate, env, self.now).unwrap();
        let instance = launcher::build(&self.launcher, INSTANCE_ID, env, self.now).unwrap();
        let pcrs = self.image_pcrs(&document);
        let releases = self.maintainers.iter().map(|maintainer| self.release(maintainer, &pcrs, env));
        Parts {
            env,
            root: self.tee_root(&document, env),
            signer: self.service.clone(),
            build: Some(build.into_event()),
            instance: Some(instance.into_event()),
            releases: releases.collect(),
            document,
            name: "tests".to_owned(),
            open: true,
            wallet: true,
        }
    }

    pub(crate) fn release(&self, maintainer: &Keys, pcrs: &[Pcr; 3], env: Env) -> Event {
        release::build(maintainer, REPO, VERSION, pcrs, env, self.now).unwrap().into_event()
    }

    pub(crate) fn build_by(&self, keys: &Keys) -> Event {
        let certificate = signing_certificate(keys);
        builder::build(keys, REPO, VERSION, &certificate, Env::Dev, self.now).unwrap().into_event()
    }

    pub(crate) fn announce(&self, parts: &Parts) -> CheckedEvent {
        let wallet = WalletTag { service: self.wallet.public_key(), node: format!("02{}", "11".repeat(32)) };
        let announcement = Announcement {
            description: "a server of the tests",
            repo: REPO,
            name: &parts.name,
            version: VERSION,
            env: parts.env,
            relays: &self.relays,
            open: parts.open,
            price: Some(PriceTag { unit_hour_msat: Msat::new(5_000), period_secs: 3_600 }),
            units_free: Some((98, 100)),
            overcommit_percent: None,
            ends_at: None,
            wallet: parts.wallet.then_some(wallet),
            limits_not_enforced: &[],
            build: parts.build.as_ref(),
            instance: parts.instance.as_ref(),
            releases: &parts.releases,
            history: None,
        };
        let document = self.verified(&parts.document);
        announcement::build(&parts.signer, &announcement, &parts.root, &document, self.now).unwrap()
    }

    /// An announcement, spoilt.
    pub(crate) fn announcement(&self, spoil: impl FnOnce(&mut Parts)) -> CheckedEvent {
        let mut parts = self.parts_of(self.document(|_| {}), Env::Dev);
        spoil(&mut parts);
        self.announce(&parts)
    }

    /// The server's certificate for the container.
    pub(crate) fn certificate(&self, until: UnixSecs) -> CheckedEvent {
        let image = self.image();
        let manifest = "ab".repeat(32);
        let claims = ContainerClaims { image: &image, manifest_sha256: Some(&manifest), exec: false };
        for_container(&self.service, &self.container.public_key(), claims, until, self.now).unwrap()
    }

    pub(crate) fn image(&self) -> String {
        format!("registry.example/echo@sha256:{}", "cd".repeat(32))
    }

    /// The container's public event, with these certificates and this image.
    pub(crate) fn container_event(&self, certificate: &CheckedEvent, image: &str) -> CheckedEvent {
        let document = self.document(|_| {});
        let parts = self.parts_of(document, Env::Dev);
        let event = ContainerEvent {
            name: Some("mine"),
            data_kept_until: None,
            state: "deployed",
            balance: Msat::new(7_000),
            units: ComputeUnits::new(2).unwrap(),
            image,
            upgrade: "none",
            owner: Some(&self.owner.public_key()),
            app: Some(&self.app.public_key()),
            endpoints: &[Endpoint { container_port: 8_080, host: "203.0.113.7".into(), port: 20_001 }],
            root: &parts.root,
            certificate,
            service_repo: REPO,
            releases: &parts.releases,
        };
        container::build(&self.container, &event, self.now).unwrap()
    }

    /// The app's answer to a nonce, as the echo container gives it.
    pub(crate) fn answer(&self, nonce: &str, certificates: &[CheckedEvent]) -> CheckedEvent {
        let root = self.tee_root(&self.document(|_| {}), Env::Dev);
        let mut tags = vec![tag!["tee_root", root.as_json()]];
        tags.extend(certificates.iter().map(|certificate| tag!["tee_cert", certificate.as_json()]));
        let kind = nostr::event::Kind::Custom(27_797);
        protocol::event::sign(&self.app, kind, self.now, tags, nonce.to_owned()).unwrap()
    }

    /// The two certificates of such an answer.
    pub(crate) fn app_chain(&self) -> [CheckedEvent; 2] {
        let until = self.now.plus_secs(600);
        let app = for_app(&self.container, &self.app.public_key(), until, self.now).unwrap();
        [self.certificate(until), app]
    }

    /// Writes the root's certificate and returns the options that trust it.
    pub(crate) fn trust(&self) -> Vec<String> {
        let path = self.home.write("root.der", self.root.der());
        ["--json", "--trust-root", &path].map(ToOwned::to_owned).to_vec()
    }

    /// The options that trust it at the time of the stage.
    pub(crate) fn trust_then(&self) -> Vec<String> {
        [self.trust(), vec!["--at".to_owned(), self.now.to_string()]].concat()
    }

    pub(crate) fn maintainer(&self, index: usize) -> String {
        self.maintainers[index].public_key().to_bech32().unwrap()
    }
}

/// Sets a register of a document in the making.
pub(crate) fn set_pcr(forge: &mut Forge, index: u64, value: Pcr) {
    for (at, bytes) in &mut forge.payload.pcrs {
        if *at == index {
            *bytes = value.as_bytes().to_vec();
        }
    }
}

/// Makes it a document of an enclave in debug mode.
pub(crate) fn debug(forge: &mut Forge) {
    (0..3).for_each(|index| set_pcr(forge, index, Pcr::ZERO));
}

/// A value that no register has.
pub(crate) fn other_pcr() -> Pcr {
    pcr_digest(b"something else")
}

fn signing_certificate(builder: &Keys) -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, builder.public_key().to_bech32().unwrap());
    params.distinguished_name.push(DnType::OrganizationName, "Nostr");
    params.self_signed(&key).unwrap().der().to_vec()
}
