//! How an announcement or a container's event is put together, from the document up: by the project's
//! builders, then taken apart so that every part can be spoilt.

use attestation::{Expectations, Pcr, VerifyAt, verify};
use attestation_sim::{Forge, SimKey, sign};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Kind;
use protocol::event::CheckedEvent;
use protocol::nec::announcement::{Announcement, build as announce};
use protocol::nec::certificate::{ContainerClaims, for_container};
use protocol::nec::container::{ContainerEvent, build as build_container};
use protocol::nec::{Env, Policy, builder, launcher, release, root};
use units::{ComputeUnits, Msat, UnixSecs};

use crate::draft::Draft;
use crate::stage::{IMAGE, REPO, Stage, VERSION};

type Spoil<T> = Vec<Box<dyn FnOnce(&mut T)>>;

/// The certificates of a document.
pub(crate) struct Certificates {
    pub(crate) leaf: Vec<u8>,
    pub(crate) bundle: Vec<Vec<u8>>,
}

/// The parts.
pub(crate) struct Recipe {
    pub(crate) policy: Policy,
    pub(crate) forge: Forge,
    /// Signs the document in place of the leaf's key.
    pub(crate) signer: Option<SimKey>,
    /// Issues the chain in place of the stage's root.
    pub(crate) issuer: Option<attestation_sim::SimRoot>,
    pub(crate) certificates: Spoil<Certificates>,
    pub(crate) payload: Spoil<Vec<u8>>,
    pub(crate) document: Spoil<Vec<u8>>,
    pub(crate) base64: Spoil<String>,
    pub(crate) root: Draft,
    pub(crate) build: Draft,
    pub(crate) instance: Draft,
    pub(crate) releases: Vec<Draft>,
    pub(crate) event: Draft,
    /// Of a container's event: the service's certificate.
    pub(crate) certificate: Draft,
    /// The event carries the document in its content, as the older announcements do.
    is_old: bool,
}

/// Where a part goes into the event.
const SLOTS: [&str; 5] = ["tee_root", "build", "instance", "release", "tee_cert"];

impl Recipe {
    /// A good announcement.
    pub(crate) fn announcement(stage: &Stage) -> Self {
        let now = stage.now;
        let certificate = stage.certificate(|_| {});
        let mut forge = Forge::at(now);
        forge.payload.public_key = Some(stage.service.public_key().to_bytes().to_vec());
        forge.payload.pcrs[8].1 = builder::pcr8(&certificate).as_bytes().to_vec();
        let raw = forge.document(&stage.root).unwrap();
        let expectations = Expectations::none();
        let document = verify(&raw, &expectations, stage.root.trust_root(), VerifyAt::DocumentTime).unwrap();
        let root = root::build(&stage.service, &raw, Env::Dev, document.leaf_not_after(), now).unwrap();
        let build = builder::build(&stage.builder, REPO, VERSION, &certificate, Env::Dev, now).unwrap();
        let machine = launcher::build(&stage.launcher, "i-0123456789abcdef0", Env::Dev, now).unwrap();
        let pcrs = [0, 1, 2].map(|index| document.pcr(index).unwrap());
        let releases = stage
            .maintainers
            .each_ref()
            .map(|keys| release::build(keys, REPO, VERSION, &pcrs, Env::Dev, now).unwrap().into_event());
        let said = Announcement {
            description: "a server of these tests",
            repo: REPO,
            name: "stage",
            version: VERSION,
            env: Env::Dev,
            relays: &["wss://relay.example".to_owned()],
            open: true,
            price: None,
            units_free: None,
            overcommit_percent: None,
            ends_at: None,
            wallet: None,
            limits_not_enforced: &[],
            build: Some(&build),
            instance: Some(&machine),
            releases: &releases,
            history: None,
        };
        let event = announce(&stage.service, &said, &root, &document, now).unwrap();
        let claims = ContainerClaims { image: IMAGE, manifest_sha256: Some(&"ab".repeat(32)), exec: false };
        let container = stage.container.public_key();
        let until = document.leaf_not_after();
        let certificate = for_container(&stage.service, &container, claims, until, now).unwrap();
        Self {
            policy: Policy::new(stage.root.trust_root().clone(), now),
            forge,
            signer: None,
            issuer: None,
            certificates: Vec::new(),
            payload: Vec::new(),
            document: Vec::new(),
            base64: Vec::new(),
            root: Draft::of(&root, &stage.service),
            build: Draft::of(&build, &stage.builder),
            instance: Draft::of(&machine, &stage.launcher),
            releases: releases.iter().zip(&stage.maintainers).map(|(it, keys)| Draft::of(it, keys)).collect(),
            event: Self::emptied(&event, &stage.service),
            certificate: Draft::of(&certificate, &stage.service),
            is_old: false,
        }
    }

    /// A good announcement as the reference made them in 2025: kind 63793 with its own signatures.
    pub(crate) fn old(stage: &Stage) -> Self {
        let mut recipe = Self::announcement(stage);
        recipe.is_old = true;
        recipe.event.kind = Kind::Custom(63_793);
        recipe.event.drop("tee_root");
        recipe.build.kind = Kind::Custom(63_795);
        recipe.instance.kind = Kind::Custom(63_796);
        for release in &mut recipe.releases {
            release.kind = Kind::Custom(63_792);
            for tag in release.tags.iter_mut().filter(|tag| tag[0] == "x") {
                *tag = vec![tag[2].clone(), tag[1].clone()];
            }
        }
        recipe
    }

    /// A good event of a container.
    pub(crate) fn container(stage: &Stage) -> Self {
        let mut recipe = Self::announcement(stage);
        let parse = |draft: &Draft| CheckedEvent::parse(&draft.text()).unwrap();
        let releases: Vec<_> = recipe.releases.iter().map(|it| parse(it).into_event()).collect();
        let (owner, app) = (stage.owner.public_key(), stage.app.public_key());
        let said = ContainerEvent {
            name: Some("echo"),
            data_kept_until: None,
            state: "deployed",
            balance: Msat::from_sats(7).unwrap(),
            units: ComputeUnits::new(1).unwrap(),
            image: IMAGE,
            upgrade: "none",
            owner: Some(&owner),
            app: Some(&app),
            endpoints: &[],
            root: &parse(&recipe.root),
            certificate: &parse(&recipe.certificate),
            service_repo: REPO,
            releases: &releases,
        };
        let event = build_container(&stage.container, &said, stage.now).unwrap();
        recipe.event = Self::emptied(&event, &stage.container);
        recipe
    }

    /// The draft of an event whose embedded ones are put in when it is finished.
    fn emptied(event: &CheckedEvent, keys: &nostr::key::Keys) -> Draft {
        let mut draft = Draft::of(event, keys);
        for tag in draft.tags.iter_mut().filter(|tag| SLOTS.contains(&tag[0].as_str())) {
            tag[1] = format!("@{}", tag[0]);
        }
        draft
    }

    /// Sets a register in the document, and where the announcement names it.
    pub(crate) fn set_pcr(&mut self, index: usize, value: Pcr) {
        self.forge.payload.pcrs[index].1 = value.as_bytes().to_vec();
        self.event.set_marked("x", &format!("PCR{index}"), value);
    }

    /// Lets the image be signed with another certificate: document, signature and announcement agree.
    pub(crate) fn sign_image_with(&mut self, certificate: &[u8]) {
        let pcr8 = builder::pcr8(certificate);
        self.set_pcr(8, pcr8);
        self.build.set("cert", STANDARD.encode(certificate));
        self.build.set("PCR8", pcr8);
    }

    /// Makes the document.
    fn raw_document(&mut self, stage: &Stage) -> Vec<u8> {
        let chain = self.forge.chain.clone().issue(self.issuer.as_ref().unwrap_or(&stage.root)).unwrap();
        let mut certificates =
            Certificates { leaf: chain.certificate().to_vec(), bundle: chain.cabundle().to_vec() };
        spoil(&mut self.certificates, &mut certificates);
        let mut payload = self.forge.payload.encode(&certificates.leaf, &certificates.bundle);
        spoil(&mut self.payload, &mut payload);
        let mut document = sign(&payload, self.signer.as_ref().unwrap_or(chain.leaf_key())).unwrap();
        spoil(&mut self.document, &mut document);
        document
    }

    /// Leaves out what a verdict does not need: the authorities between root and leaf, and registers
    /// that nobody reads.
    pub(crate) fn shorten(&mut self) {
        self.forge.chain.authorities.clear();
        self.forge.payload.pcrs.truncate(9);
    }

    /// Puts everything together, and returns the event's text.
    pub(crate) fn finish(mut self, stage: &Stage) -> String {
        let mut text = STANDARD.encode(self.raw_document(stage));
        spoil(&mut self.base64, &mut text);
        if self.is_old {
            self.event.content = text;
        } else {
            self.root.content = text;
        }
        let mut releases = self.releases.iter();
        for tag in &mut self.event.tags {
            match tag.get(1).map(String::as_str) {
                Some("@tee_root") => tag[1] = self.root.text(),
                Some("@build") => tag[1] = self.build.text(),
                Some("@instance") => tag[1] = self.instance.text(),
                Some("@release") => tag[1] = releases.next().or(self.releases.first()).unwrap().text(),
                Some("@tee_cert") => tag[1] = self.certificate.text(),
                Some(_) | None => {}
            }
        }
        self.event.text()
    }

    /// Moves the moment of judgement.
    pub(crate) fn judge_at(&mut self, at: UnixSecs) {
        self.policy.at = at;
    }
}

fn spoil<T>(with: &mut Spoil<T>, what: &mut T) {
    with.drain(..).for_each(|change| change(what));
}
