//! Codes and exit codes of what others refuse.

use std::time::Duration;

use units::UnixSecs;

use super::*;

#[track_caller]
fn check(failure: impl Into<Failure>, code: &str, exit: u8) -> String {
    let failure = failure.into();
    assert_eq!((failure.code(), failure.exit().code()), (code, exit), "{failure}");
    failure.message().to_owned()
}

fn refusal(code: &str, message: &str) -> RpcError {
    RpcError::Refused(Refusal { code: code.to_owned(), message: message.to_owned() })
}

#[test]
fn server_codes_pass_if_they_look_like_codes() {
    let message = check(refusal("server_full", "no units; try later"), "server_full", 1);
    assert_eq!(message, "the instance refuses: no units; try later");
    for odd in ["", "Server Full", "\u{1b}[2J", "a\nb", &"x".repeat(65)] {
        check(refusal(odd, "no"), "refused", 1);
    }
}

#[test]
fn silence_is_69_and_refusal_is_1() {
    check(RpcError::NoAnswer(Duration::from_secs(3)), "no_answer", 69);
    check(RpcError::Malformed("x".into()), "bad_reply", 1);
    check(RpcError::Pool(PoolError::NoRelay), "relay_invalid", 64);
    check(NwcError::NoAnswer(Duration::from_secs(3)), "wallet_no_answer", 69);
    check(PoolError::Url { url: "http://x".into() }, "relay_invalid", 64);
}

#[test]
fn wallet_codes_are_written_as_ours() {
    let error = |code, message: &str| NwcError::Wallet(WalletError::new(code, message));
    let message = check(error(ErrorCode::InsufficientBalance, "top up first"), "insufficient_balance", 1);
    assert_eq!(message, "the wallet refuses: top up first");
    check(error(ErrorCode::Unknown("BÖSE".into()), "no"), "wallet_refused", 1);
}

#[test]
fn verification_keeps_its_codes_and_says_why() {
    let expired = NecError::Expired { what: "the announcement", until: UnixSecs(7) };
    check(expired, "expired", 1);
    let missing = NecError::ReleaseMissing { found: 1, wanted: 2 };
    check(missing, "release_missing", 1);
    let malformed = attestation::decode_input(b"hello").map(drop).unwrap_err();
    let message = check(NecError::Attestation(malformed.clone()), "cose_malformed", 1);
    assert!(message.starts_with("the attestation is refused: "), "{message}");
    assert_eq!(message.matches("signed attestation document").count(), 1, "{message}");
    check(malformed, "cose_malformed", 1);
}

#[test]
fn secrets_do_not_stand_in_messages() {
    let failure = Failure::refused("x", "bad: nsec1qqqsecret and nostr+walletconnect://ab?secret=cd")
        .with_hint("not 'nsec1more'");
    assert_eq!(failure.message(), "bad: … and …; not '…'");
}
