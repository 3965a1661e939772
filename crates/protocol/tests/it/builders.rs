//! Builders make today what they made when the kept events were made: ids are hashes of every byte.

use attestation::{Expectations, Pcr, VerifiedDocument, VerifyAt, verify};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::event::Event;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, tag_value, tags_named};
use protocol::nec::announcement::{self, Announcement, History, Upgrade};
use protocol::nec::certificate::{ContainerClaims, for_app, for_container};
use protocol::nec::container::{self, ContainerEvent};
use protocol::nec::{Env, VerifiedChain, builder, launcher, release, root};
use protocol::rpc::enclaved::Endpoint;
use protocol::rpc::keycrux::Build;
use protocol::tag;
use units::{ComputeUnits, Msat, UnixSecs};

use crate::fixtures::{INDEX, read};

const REPO: &str = "https://example.com/enclaved";
const VERSION: &str = "1.2.3";
const AT: UnixSecs = UnixSecs(1_750_000_000);

/// The people of the fixtures have these keys.
fn keys(seed: u8) -> Keys {
    Keys::parse(&hex::encode([seed; 32])).unwrap()
}

struct Kept {
    announcement: CheckedEvent,
    root: CheckedEvent,
    document: VerifiedDocument,
}

fn kept() -> Kept {
    let announcement = CheckedEvent::parse(&read("announcement/policy-both-maintainers.json")).unwrap();
    let root = embedded(&announcement, "tee_root").remove(0);
    let raw = STANDARD.decode(&root.content).unwrap();
    let document = verify(&raw, &Expectations::none(), &INDEX.root(), VerifyAt::DocumentTime).unwrap();
    Kept { announcement, root, document }
}

fn embedded(event: &Event, name: &str) -> Vec<CheckedEvent> {
    tags_named(event, name).map(|tag| CheckedEvent::parse(&tag[1]).unwrap()).collect()
}

#[track_caller]
fn same(made: &CheckedEvent, kept: &CheckedEvent) {
    // Tag by tag, so that a failure is short.
    for (made, kept) in made.tags.iter().zip(kept.tags.iter()) {
        assert_eq!(made, kept);
    }
    assert_eq!((made.tags.len(), made.id), (kept.tags.len(), kept.id));
}

#[test]
fn attestation_and_signatures_are_made_as_before() {
    let kept = kept();
    let raw = STANDARD.decode(&kept.root.content).unwrap();
    same(&root::build(&keys(1), &raw, Env::Dev, kept.document.leaf_not_after(), AT).unwrap(), &kept.root);
    let of = |name| embedded(&kept.announcement, name);
    let certificate = STANDARD.decode(tag_value(&of("build")[0], "cert").unwrap()).unwrap();
    let build = builder::build(&keys(2), REPO, VERSION, &certificate, Env::Dev, AT).unwrap();
    same(&build, &of("build")[0]);
    let machine = launcher::build(&keys(3), "i-0123456789abcdef0", Env::Dev, AT).unwrap();
    same(&machine, &of("instance")[0]);
    let pcrs = [0, 1, 2].map(|index| kept.document.pcr(index).unwrap());
    for (seed, signed) in [4, 5].into_iter().zip(of("release")) {
        same(&release::build(&keys(seed), REPO, VERSION, &pcrs, Env::Dev, AT).unwrap(), &signed);
    }
}

#[test]
fn announcement_is_made_as_before() {
    let kept = kept();
    let of = |name| embedded(&kept.announcement, name);
    let releases: Vec<_> = of("release").into_iter().map(CheckedEvent::into_event).collect();
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
        build: Some(&of("build")[0]),
        instance: Some(&of("instance")[0]),
        releases: &releases,
        history: None,
    };
    let made = announcement::build(&keys(1), &said, &kept.root, &kept.document, AT).unwrap();
    same(&made, &kept.announcement);
}

#[test]
fn history_is_written_as_nec_07_has_it() {
    let kept = kept();
    let pcrs = [1, 2, 3].map(|byte| Pcr::from_bytes([byte; 48]));
    let builds = [Some("1.0.0".parse().unwrap()), None].map(|version| Build { pcrs, version, since: AT });
    let upgrade = Upgrade {
        version: "1.1.0".parse().unwrap(),
        pcr0: pcrs[0],
        seen_at: AT,
        not_before: UnixSecs(2_000_000_000),
    };
    let history = History { genesis: Some(kept.root.id), lineage: builds.to_vec(), upgrades: vec![upgrade] };
    let said = Announcement {
        description: "",
        repo: REPO,
        name: "",
        version: VERSION,
        env: Env::Dev,
        relays: &[],
        open: true,
        price: None,
        units_free: None,
        overcommit_percent: None,
        ends_at: None,
        wallet: None,
        limits_not_enforced: &[],
        build: None,
        instance: None,
        releases: &[],
        history: Some(&history),
    };
    let made = announcement::build(&keys(1), &said, &kept.root, &kept.document, AT).unwrap();
    let tags: Vec<_> = made.tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    let [one, two, three] = ["01", "02", "03"].map(|byte| byte.repeat(48));
    let expected = [
        tag!["genesis", kept.root.id.to_hex()],
        tag!["lineage", one, two, three, "1.0.0", "1750000000"],
        tag!["lineage", one, two, three, "", "1750000000"],
        tag!["upgrade", "1.1.0", one, "1750000000", "2000000000"],
    ];
    assert_eq!(tags[tags.len() - 4..], expected);
}

#[test]
fn container_and_its_certificate_are_made_as_before() {
    let kept = CheckedEvent::parse(&read("container/container-as-it-was.json")).unwrap();
    let (root, certificate) = (embedded(&kept, "tee_root").remove(0), embedded(&kept, "tee_cert").remove(0));
    let image = tag_value(&certificate, "r").unwrap().strip_prefix("docker://").unwrap().to_owned();
    let claims = ContainerClaims { image: &image, manifest_sha256: Some(&"ab".repeat(32)), exec: false };
    let until = UnixSecs(tag_value(&certificate, "expiration").unwrap().parse().unwrap());
    same(&for_container(&keys(1), &keys(6).public_key(), claims, until, AT).unwrap(), &certificate);
    let releases: Vec<_> = embedded(&kept, "release").into_iter().map(CheckedEvent::into_event).collect();
    let none: [Endpoint; 0] = [];
    let said = ContainerEvent {
        name: Some("echo"),
        data_kept_until: None,
        state: "deployed",
        balance: Msat::from_sats(7).unwrap(),
        units: ComputeUnits::new(1).unwrap(),
        image: &image,
        upgrade: "none",
        owner: Some(&keys(8).public_key()),
        app: Some(&keys(7).public_key()),
        endpoints: &none,
        root: &root,
        certificate: &certificate,
        service_repo: REPO,
        releases: &releases,
    };
    same(&container::build(&keys(6), &said, AT).unwrap(), &kept);
}

#[test]
fn app_is_certified_below_its_container() {
    let kept = CheckedEvent::parse(&read("container/container-as-it-was.json")).unwrap();
    let (root, certificate) = (embedded(&kept, "tee_root").remove(0), embedded(&kept, "tee_cert").remove(0));
    let (container, app, until) = (keys(6), keys(7).public_key(), AT.plus_secs(60));
    let below = for_app(&container, &app, until, AT).unwrap();
    let chain = [certificate.clone(), below.clone()];
    let verify = |chain: &[CheckedEvent]| VerifiedChain::verify(&root, chain, &app, &INDEX.policy());
    let verified = verify(&chain).unwrap();
    assert_eq!((verified.subject(), verified.expires_at()), (app, until));
    assert_eq!(verified.container().unwrap().pubkey, container.public_key());
    let code = |chain: &[CheckedEvent]| verify(chain).unwrap_err().code();
    // Certificates stand in order, each by the holder of the one above, and end with the key in question.
    assert_eq!(code(&[below.clone(), certificate.clone()]), "key_mismatch");
    assert_eq!(code(std::slice::from_ref(&below)), "key_mismatch");
    assert_eq!(code(std::slice::from_ref(&certificate)), "key_mismatch");
    let by_stranger = for_app(&keys(9), &app, until, AT).unwrap();
    assert_eq!(code(&[certificate.clone(), by_stranger]), "key_mismatch");
    let ended = for_app(&container, &app, AT.minus_secs(1), AT).unwrap();
    assert_eq!(code(&[certificate.clone(), ended]), "expired");
    let outliving = for_app(&container, &app, AT.plus_secs(86_400), AT).unwrap();
    assert_eq!(code(&[certificate.clone(), outliving]), "event_invalid");
    let long: Vec<_> = std::iter::repeat_n(certificate, 9).collect();
    assert_eq!(code(&long), "event_invalid");
}
