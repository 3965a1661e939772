//! Maintainers' approval of another policy.

use nostr::event::Kind;
use nostr::key::Keys;
use protocol::event::sign;
use protocol::kinds::RELEASE_SIGNATURE;
use protocol::nec::approval::{PolicyApproval, PolicyChange, draft};
use protocol::nec::release::Release;
use protocol::nec::{Env, NecError};
use protocol::tag;
use units::UnixSecs;

const REPO: &str = "https://example.com/enclaved";
const AT: UnixSecs = UnixSecs(1_750_000_000);
const CHANGE: PolicyChange = PolicyChange { from: [1; 32], to: [0xab; 32] };

#[test]
fn approval_is_pinned_and_no_release() {
    let keys = Keys::generate();
    let event = draft(REPO, Env::Prod, &CHANGE, AT).sign(&keys).unwrap();
    let tags: Vec<_> = event.tags.iter().map(|tag| tag.as_slice().to_vec()).collect();
    let expected = vec![tag!["r", REPO], tag!["t", "prod"], tag!["policy", "ab".repeat(32), "01".repeat(32)]];
    assert_eq!((event.kind.as_u16(), tags), (63_794, expected));
    let read = PolicyApproval::read(&event).unwrap();
    let expected =
        PolicyApproval { signer: keys.public_key(), repo: REPO.into(), env: Env::Prod, change: CHANGE };
    assert_eq!(read, expected);
    assert_eq!(Release::read(&event).unwrap_err().code(), "release_invalid");
}

#[test]
fn approval_that_is_not_whole_is_refused() {
    let policy = || tag!["policy", "ab".repeat(32), "01".repeat(32)];
    let check = |kind: Kind, tags: Vec<Vec<String>>, problem: &str| {
        let event = sign(&Keys::generate(), kind, AT, tags, String::new()).unwrap();
        let error = PolicyApproval::read(&event).unwrap_err();
        assert!(matches!(error, NecError::Release(_)), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    };
    let (r, t) = (|| tag!["r", REPO], || tag!["t", "prod"]);
    let kind = RELEASE_SIGNATURE;
    check(Kind::TextNote, vec![r(), t(), policy()], "kind 1");
    check(kind, vec![t(), policy()], "no `r` tag");
    check(kind, vec![r(), policy()], "no `t` tag");
    check(kind, vec![r(), t()], "no `policy` tag");
    check(kind, vec![r(), t(), policy(), policy()], "more than one tag `policy`");
    check(kind, vec![r(), t(), tag!["policy", "ab".repeat(32)]], "which one it replaces");
    check(kind, vec![r(), t(), tag!["policy", "AB".repeat(32), "01".repeat(32)]], "SHA-256");
    check(kind, vec![r(), t(), tag!["policy", "ab".repeat(32), "01"]], "SHA-256");
    check(kind, vec![r(), t(), policy(), tag!["x", "00", "PCR0"]], "names no registers");
}
