//! Instances that a sceptic must not believe, and where they are found out.

use attestation::{Pcr, pcr_digest};
use attestation_sim::{BasicConstraints, SimKey};
use nostr::event::Kind;
use rcgen::DnType;

use crate::faults::flip;
use crate::foreign_root;
use crate::recipe::{Certificates, Recipe};
use crate::stage::{IMAGE, Stage, npub};

type Spoil = fn(&mut Recipe, &Stage);

/// One of them.
pub(crate) struct Spoilt {
    pub(crate) name: &'static str,
    /// The section of the page; none for what is believed.
    pub(crate) stops_at: Option<u32>,
    pub(crate) announcement: Spoil,
    pub(crate) container: Spoil,
}

const OTHER_REPO: &str = "https://example.com/other";

fn nothing(_: &mut Recipe, _: &Stage) {}

/// All of them.
pub(crate) fn all() -> Vec<Spoilt> {
    let mut all = vec![Spoilt { name: "good", stops_at: None, announcement: nothing, container: nothing }];
    for (section, name, announcement) in ANNOUNCEMENTS {
        all.push(Spoilt { name, stops_at: Some(*section), announcement: *announcement, container: nothing });
    }
    for (name, container) in CONTAINERS {
        all.push(Spoilt { name, stops_at: Some(10), announcement: nothing, container: *container });
    }
    all
}

const ANNOUNCEMENTS: &[(u32, &str, Spoil)] = &[
    (1, "id flipped", |it, _| it.event.twist(flip("id"))),
    (1, "signature flipped", |it, _| it.event.twist(flip("sig"))),
    (1, "content changed", |it, _| it.event.twist(|event| event["content"] = "pay me".into())),
    (1, "release's signature flipped", |it, _| it.releases[1].twist(flip("sig"))),
    (1, "two attestations", |it, _| it.event.double("tee_root", None)),
    (1, "of another kind", |it, _| it.event.kind = Kind::Custom(13_794)),
    (2, "attestation of another kind", |it, _| it.root.kind = Kind::Custom(23_797)),
    (2, "document cut short", |it, _| it.document.push(Box::new(|raw| raw.truncate(raw.len() - 1)))),
    (2, "document goes on", |it, _| it.document.push(Box::new(|raw| raw.push(0)))),
    (2, "signed with ES256", |it, _| it.document.push(Box::new(|raw| raw[5] = 0x26))),
    (2, "register twice", |it, _| it.forge.payload.pcrs.push((0, vec![1; 48]))),
    (2, "made tomorrow", |it, _| it.forge.payload.timestamp_ms += 86_400_000),
    (3, "another root", |it, _| it.issuer = Some(foreign_root::of_the_same_name())),
    (3, "another root of the same serial number", |it, stage| {
        it.issuer = Some(foreign_root::of_the_same_serial(&stage.root));
    }),
    (3, "another root behind the trusted one", |it, stage| {
        it.issuer = Some(foreign_root::of_the_same_name());
        let trusted = stage.root.der().to_vec();
        it.certificates.push(Box::new(|chain: &mut Certificates| chain.bundle[0] = trusted));
    }),
    (3, "leaf ended", |it, stage| it.forge.chain.leaf.not_after = stage.now.minus_secs(1)),
    (3, "zone not begun", |it, stage| it.forge.chain.authorities[1].not_before = stage.now.plus_secs(600)),
    (3, "zone missing", |it, _| {
        it.certificates.push(Box::new(|chain: &mut Certificates| drop(chain.bundle.remove(2))));
    }),
    (3, "zone is no authority", |it, _| {
        let constraints = BasicConstraints { is_authority: false, path_length: None };
        it.forge.chain.authorities[1].basic_constraints = Some(constraints);
    }),
    (4, "signed by another key", |it, _| it.signer = Some(SimKey::generate().unwrap())),
    (4, "signature flipped in its last bit", |it, _| {
        it.document.push(Box::new(|raw| *raw.last_mut().unwrap() ^= 1));
    }),
    (4, "payload changed after it was signed", |it, _| {
        it.document.push(Box::new(|raw| {
            let at = raw.windows(6).position(|window| window == b"SHA384").unwrap();
            raw[at + 3..at + 6].copy_from_slice(b"512");
        }));
    }),
    (5, "document of another key", |it, _| it.forge.payload.public_key = Some(vec![7; 32])),
    (5, "published by a stranger", |it, stage| it.event.keys = stage.stranger.clone()),
    (5, "expired", |it, stage| it.event.set("expiration", stage.now.minus_secs(60))),
    (5, "outlives its attestation", |it, _| it.event.set("expiration", u32::MAX)),
    (5, "attestation outlives its leaf", |it, _| {
        it.event.set("expiration", u32::MAX);
        it.root.set("expiration", u32::MAX);
    }),
    (6, "debug mode", |it, _| (0..3).for_each(|index| it.set_pcr(index, Pcr::ZERO))),
    (6, "announces another build", |it, _| it.event.set_marked("x", "PCR2", pcr_digest(b"other"))),
    (6, "announces another use", |it, _| it.event.set("t", "prod")),
    (7, "certificate of a stranger", |it, stage| {
        it.sign_image_with(&stage.certificate(|signing| signing.names[0].1 = npub(&stage.stranger)));
    }),
    (7, "certificate not for Nostr", |it, stage| {
        it.sign_image_with(&stage.certificate(|signing| signing.names[1].1 = "Noster".to_owned()));
    }),
    (7, "certificate names the builder as OU", |it, stage| {
        let in_unit =
            |signing: &mut crate::stage::Signing| signing.names[0].0 = DnType::OrganizationalUnitName;
        it.sign_image_with(&stage.certificate(in_unit));
    }),
    (7, "certificate signed by another key", |it, stage| {
        it.sign_image_with(&stage.certificate(|signing| signing.by_another_key = true));
    }),
    (7, "certificate ended", |it, stage| {
        it.sign_image_with(&stage.certificate(|signing| signing.years = (2020, 2021)));
    }),
    (7, "certificate of another image", |it, _| {
        it.forge.payload.pcrs[8].1 = pcr_digest(b"other").as_bytes().to_vec();
    }),
    (7, "builder's signature of another kind", |it, _| it.build.kind = Kind::Custom(63_795)),
    (7, "builder's signature for another repository", |it, _| it.build.set("r", OTHER_REPO)),
    (7, "builder's signature for another use", |it, _| it.build.set("t", "prod")),
    (8, "launcher of another machine", |it, _| it.instance.set("PCR4", pcr_digest(b"i-elsewhere"))),
    (8, "launcher's signature of another kind", |it, _| it.instance.kind = Kind::Custom(63_796)),
    (9, "release of another build", |it, _| {
        it.releases[1].set_marked("x", "PCR0", pcr_digest(b"other"));
    }),
    (9, "release of another kind", |it, _| it.releases[0].kind = Kind::Custom(63_792)),
    (9, "release for another repository", |it, _| it.releases[0].set("r", OTHER_REPO)),
    (9, "release for another use", |it, _| it.releases[0].set("t", "prod")),
    (9, "releases by strangers", |it, stage| {
        it.releases.iter_mut().for_each(|release| release.keys = stage.stranger.clone());
    }),
    (9, "no releases", |it, _| it.event.drop("release")),
];

const CONTAINERS: &[(&str, Spoil)] = &[
    ("container's signature flipped", |it, _| it.event.twist(flip("sig"))),
    ("container of another kind", |it, _| it.event.kind = Kind::TextNote),
    ("container published by a stranger", |it, stage| it.event.keys = stage.stranger.clone()),
    ("container of another server", |it, stage| it.root.keys = stage.stranger.clone()),
    ("certificate of another kind", |it, _| it.certificate.kind = Kind::TextNote),
    ("certificate by a stranger", |it, stage| it.certificate.keys = stage.stranger.clone()),
    ("certificate for another key", |it, _| it.certificate.set("p", "11".repeat(32))),
    ("certificate ended", |it, stage| it.certificate.set("expiration", stage.now.minus_secs(60))),
    ("image by its tag", |it, _| it.certificate.set("r", "docker://registry.example/echo:latest")),
    ("two images", |it, _| it.certificate.double("r", Some("docker://registry.example/other"))),
    ("announces another image", |it, _| it.event.set_marked("r", "docker", IMAGE.replace("cd", "ef"))),
];
