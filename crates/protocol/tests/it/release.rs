//! Release signatures on their own: what they approve, and which follows which.

use attestation::{Pcr, pcr_digest};
use nostr::key::Keys;
use protocol::event::{CheckedEvent, sign};
use protocol::nec::Env;
use protocol::nec::release::{Release, build};
use units::UnixSecs;

const REPO: &str = "https://example.com/enclaved";
const AT: UnixSecs = UnixSecs(1_750_000_000);

fn pcrs() -> [Pcr; 3] {
    [b"a", b"b", b"c"].map(|part| pcr_digest(part))
}

fn signed(repo: &str, version: &str, env: Env) -> CheckedEvent {
    build(&Keys::generate(), repo, version, &pcrs(), env, AT).unwrap()
}

fn read(repo: &str, version: &str, env: Env) -> Release {
    Release::read(&signed(repo, version, env)).unwrap()
}

#[test]
fn release_says_what_it_approves() {
    let event = signed(REPO, "1.2.3", Env::Prod);
    let release = Release::read(&event).unwrap();
    assert_eq!((release.signer, release.repo.as_str(), release.env), (event.pubkey, REPO, Env::Prod));
    assert_eq!((release.version.map(|it| it.to_string()).as_deref(), release.pcrs), (Some("1.2.3"), pcrs()));
}

#[test]
fn release_that_is_not_whole_is_refused() {
    let good = signed(REPO, "1.2.3", Env::Dev).into_event();
    let tags = || good.tags.iter().map(|tag| tag.as_slice().to_vec()).collect::<Vec<_>>();
    let code = |kind, tags| {
        let event = sign(&Keys::generate(), kind, AT, tags, String::new()).unwrap();
        Release::read(&event).map(drop).map_err(|e| e.code())
    };
    assert_eq!(code(good.kind, tags()), Ok(()));
    let without = |name: &str| tags().into_iter().filter(|tag| tag[0] != name).collect::<Vec<_>>();
    let with = |name: &str, value: &str| [tags(), vec![vec![name.to_owned(), value.to_owned()]]].concat();
    let refused = Err("release_invalid");
    for spoilt in [without("r"), without("x"), with("r", REPO), with("t", "prod"), with("v", "1.2.4")] {
        assert_eq!(code(good.kind, spoilt), refused);
    }
    assert_eq!(code(protocol::kinds::BUILDER_SIGNATURE, tags()), refused);
    let version = |text: &str| [without("v"), vec![vec!["v".to_owned(), text.to_owned()]]].concat();
    assert_eq!((code(good.kind, version("latest")), code(good.kind, without("v"))), (refused, Ok(())));
    let zero = tags().into_iter().map(|mut tag| {
        if tag[0] == "x" {
            tag[1] = Pcr::ZERO.to_string();
        }
        tag
    });
    assert_eq!(code(good.kind, zero.collect()), refused);
}

#[test]
fn only_a_later_release_of_the_same_code_supersedes() {
    let running = read(REPO, "1.2.3", Env::Dev);
    let supersedes = |repo, version, env| read(repo, version, env).supersedes(&running);
    assert!(supersedes(REPO, "1.2.4", Env::Dev) && supersedes(REPO, "2.0.0-rc.1", Env::Dev));
    assert!(!supersedes(REPO, "1.2.3", Env::Dev) && !supersedes(REPO, "1.2.2", Env::Dev));
    assert!(!supersedes(REPO, "1.2.3-rc.1", Env::Dev) && !supersedes(REPO, "1.2.4", Env::Prod));
    assert!(!supersedes("https://example.com/other", "1.2.4", Env::Dev));
    let unversioned = Release { version: None, ..read(REPO, "9.0.0", Env::Dev) };
    assert!(!unversioned.supersedes(&running) && !read(REPO, "9.0.0", Env::Dev).supersedes(&unversioned));
}
