//! Releases of container images: what is made, what passes, and every way in which one is refused.

use std::collections::BTreeMap;

use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::{CheckedEvent, sign, tags_named};
use protocol::kinds::{IMAGE_RELEASE, IMAGE_RELEASE_SIGNATURE};
use protocol::nec::Env;
use protocol::nec::image_release::{
    ImageLabels, ReleaseDigest, ReleaseTerms, release_draft, signature_draft, verify,
};
use units::UnixSecs;

use crate::fixtures::read;

const REPO: &str = "https://example.com/app";
const AT: UnixSecs = UnixSecs(1_750_000_000);
const KEPT: &str = "image/release.json";

fn keys(seed: u8) -> Keys {
    Keys::parse(&hex::encode([seed; 32])).unwrap()
}

fn signers() -> [Keys; 2] {
    [keys(11), keys(12)]
}

fn digest(seed: &str) -> String {
    format!("sha256:{}", seed.repeat(32))
}

fn image(seed: &str) -> String {
    format!("registry.example/app@{}", digest(seed))
}

fn terms(version: &str) -> ReleaseTerms {
    ReleaseTerms {
        repo: REPO.to_owned(),
        version: version.parse().unwrap(),
        digest: ReleaseDigest::read(&digest("ab")).unwrap(),
        env: Env::Dev,
    }
}

fn labels(version: &str) -> ImageLabels {
    let keys = signers().map(|signer| signer.public_key().to_hex()).join(",");
    let labels =
        [("repo", REPO), ("version", version), ("signers", &keys), ("signer_relays", "wss://r.example")];
    let labels: BTreeMap<_, _> =
        labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    ImageLabels::read(&labels).unwrap()
}

fn signatures(terms: &ReleaseTerms) -> Vec<CheckedEvent> {
    signers().iter().map(|signer| signature_draft(terms, AT).sign(signer).unwrap()).collect()
}

fn release(version: &str) -> CheckedEvent {
    let terms = terms(version);
    release_draft(&terms, &image("ab"), &signatures(&terms), None, AT).unwrap().sign(&signers()[0]).unwrap()
}

#[track_caller]
fn refused(event: &CheckedEvent, code: &str) {
    let error = verify(event, &labels("1.2.3"), None).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
}

type Tags = Vec<Vec<String>>;

/// A release with its tags changed, signed anew by the first signer.
fn changed(change: impl FnOnce(&mut Tags)) -> CheckedEvent {
    let good = release("1.3.0");
    let mut tags: Tags = good.tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    change(&mut tags);
    sign(&signers()[0], IMAGE_RELEASE, AT, tags, String::new()).unwrap()
}

fn tag(name: &str, value: &str) -> Vec<String> {
    vec![name.to_owned(), value.to_owned()]
}

fn set(tags: &mut Tags, name: &str, value: &str) {
    tags.iter_mut().find(|tag| tag[0] == name).unwrap()[1] = value.to_owned();
}

#[test]
fn release_by_all_signers_passes() {
    let event = release("1.3.0");
    let release = verify(&event, &labels("1.2.3"), Some(Env::Dev)).unwrap();
    assert_eq!((release.id(), release.version().to_string().as_str()), (event.id, "1.3.0"));
    assert_eq!((release.image(), release.digest().as_tag()), (image("ab").as_str(), digest("ab").as_str()));
    release.check_image(&labels("1.3.0")).unwrap();
    // A signature by somebody else besides does no harm: signers may hand over.
    let stranger = signature_draft(&terms("1.3.0"), AT).sign(&keys(13)).unwrap();
    verify(&changed(|tags| tags.push(tag("release", &stranger.as_json()))), &labels("1.2.3"), None).unwrap();
}

#[test]
fn release_is_made_as_before() {
    let kept = CheckedEvent::parse(&read(KEPT)).unwrap();
    let signed: Vec<_> =
        tags_named(&kept, "release").map(|tag| CheckedEvent::parse(&tag[1]).unwrap()).collect();
    let terms = terms("1.3.0");
    for (signer, signed) in signers().iter().zip(&signed) {
        // The id is the hash of every byte but the signature's, which is drawn.
        assert_eq!(signature_draft(&terms, AT).sign(signer).unwrap().id, signed.id);
    }
    let draft = release_draft(&terms, &image("ab"), &signed, Some(&digest("cd")), AT).unwrap();
    assert_eq!(draft.sign(&signers()[0]).unwrap().id, kept.id);
    verify(&kept, &labels("1.2.3"), Some(Env::Dev)).unwrap();
}

#[test]
fn digest_of_the_configuration_is_taken_as_existing_programs_write_it() {
    let mut terms = terms("1.3.0");
    terms.digest = ReleaseDigest::read(&"cd".repeat(32)).unwrap();
    assert_eq!(terms.digest, ReleaseDigest::Config(digest("cd")));
    let signed = signatures(&terms);
    let event = release_draft(&terms, &image("ab"), &signed, None, AT).unwrap().sign(&signers()[1]).unwrap();
    assert_eq!(verify(&event, &labels("1.2.3"), None).unwrap().digest(), &terms.digest);
}

#[test]
fn release_that_lacks_a_signer_is_missing_it() {
    for left in [0, 1] {
        let event = changed(|tags| {
            let all: Vec<_> = tags.iter().filter(|tag| tag[0] == "release").cloned().collect();
            tags.retain(|tag| tag[0] != "release");
            // Twice the same counts once.
            tags.extend([all[left].clone(), all[left].clone()]);
        });
        refused(&event, "release_missing");
    }
    refused(&changed(|tags| tags.retain(|tag| tag[0] != "release")), "release_missing");
}

#[test]
fn version_that_is_not_higher_is_too_old() {
    for version in ["1.2.3", "1.2.2", "1.2.3+build", "0.9.9", "1.2.3-rc.1"] {
        refused(&release(version), "version_too_old");
    }
}

#[test]
fn release_for_something_else_is_refused() {
    refused(&changed(|tags| set(tags, "r", "https://example.com/other")), "ref_mismatch");
    let error = verify(&release("1.3.0"), &labels("1.2.3"), Some(Env::Prod)).unwrap_err();
    assert_eq!(error.code(), "release_invalid");
    let stranger = {
        let terms = terms("1.3.0");
        release_draft(&terms, &image("ab"), &signatures(&terms), None, AT).unwrap().sign(&keys(13)).unwrap()
    };
    refused(&stranger, "release_invalid");
}

#[test]
fn image_that_lies_about_itself_is_refused() {
    let release = verify(&release("1.3.0"), &labels("1.2.3"), None).unwrap();
    let code = |labels: &ImageLabels| release.check_image(labels).unwrap_err().code();
    assert_eq!(code(&labels("1.2.9")), "image_mismatch");
    assert_eq!(code(&labels("1.3.0+other")), "image_mismatch");
    assert_eq!(
        code(&ImageLabels { repo: "https://example.com/other".into(), ..labels("1.3.0") }),
        "image_mismatch"
    );
}

/// Every tag must be there once and be what it should; so must each signature's.
#[test]
fn release_that_is_not_whole_is_invalid() {
    let invalid = |change: &dyn Fn(&mut Tags)| refused(&changed(change), "release_invalid");
    for name in ["r", "v", "x", "t", "u"] {
        invalid(&|tags| tags.retain(|tag| tag[0] != name));
        invalid(&|tags| {
            let again = tags.iter().find(|tag| tag[0] == name).unwrap().clone();
            tags.push(again);
        });
        invalid(&|tags| set(tags, name, ""));
    }
    for (name, value) in [
        ("v", "1.3"),
        ("v", "latest"),
        ("t", "debug"),
        ("t", "production"),
        ("x", "sha256:AB"),
        ("x", "md5:ab"),
        ("x", &digest("AB")),
        ("x", &digest("cd")),
        ("u", "registry.example/app:1.3.0"),
        ("u", &image("cd")),
        ("u", "registry.example/app@sha256:ab"),
        ("u", "registry.example/app@md5:ab"),
        ("release", "{}"),
        ("release", "[]"),
    ] {
        invalid(&|tags| set(tags, name, value));
    }
    // What each signature must say alike.
    let other = |change: &dyn Fn(&mut ReleaseTerms)| {
        let mut terms = terms("1.3.0");
        change(&mut terms);
        let signed = signature_draft(&terms, AT).sign(&signers()[1]).unwrap();
        invalid(&|tags| {
            tags.iter_mut().filter(|tag| tag[0] == "release").for_each(|tag| tag[1] = signed.as_json())
        });
    };
    other(&|terms| terms.version = "1.3.1".parse().unwrap());
    other(&|terms| terms.version = "1.3.0+b".parse().unwrap());
    other(&|terms| terms.repo = "https://example.com/other".into());
    other(&|terms| terms.digest = ReleaseDigest::read(&digest("cd")).unwrap());
    other(&|terms| terms.digest = ReleaseDigest::read(&"ab".repeat(32)).unwrap());
    other(&|terms| terms.env = Env::Prod);
    // One that nobody signed, one of another kind, and too many of them.
    let good = signatures(&terms("1.3.0")).remove(1);
    let mut forged = good.clone().into_event();
    forged.pubkey = keys(13).public_key();
    invalid(&|tags| set(tags, "release", &forged.as_json()));
    let tags_of_good: Tags = good.tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    let note = sign(&signers()[1], Kind::TextNote, AT, tags_of_good.clone(), String::new()).unwrap();
    invalid(&|tags| set(tags, "release", &note.as_json()));
    invalid(&|tags| tags.extend(std::iter::repeat_n(tag("release", &good.as_json()), 16)));
    let doubled = [tags_of_good, vec![tag("v", "1.3.0")]].concat();
    let doubled = sign(&signers()[1], IMAGE_RELEASE_SIGNATURE, AT, doubled, String::new()).unwrap();
    invalid(&|tags| set(tags, "release", &doubled.as_json()));
    // A signature alone is no release, and a release is no signature.
    refused(&good, "release_invalid");
    let release = release("1.3.0");
    invalid(&|tags| set(tags, "release", &release.as_json()));
}

#[test]
fn draft_of_a_release_takes_no_other_signatures() {
    let (this, other) = (terms("1.3.0"), signatures(&terms("1.3.1")));
    assert_eq!(release_draft(&this, &image("ab"), &other, None, AT).unwrap_err().code(), "release_invalid");
    assert_eq!(release_draft(&this, &image("cd"), &[], None, AT).unwrap_err().code(), "release_invalid");
    assert_eq!(
        release_draft(&this, "registry.example/app:1", &[], None, AT).unwrap_err().code(),
        "release_invalid"
    );
}
