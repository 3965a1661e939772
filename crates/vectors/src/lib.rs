//! Real and broken attestation documents and Nostr events, each with the verdict that its index states.
//! For tests only.
//!
//! They are public, collected from other projects, and not part of this repository: they are looked for
//! in `$ENCLAVED_VECTORS`, or in `shared/vectors` beside the repository. Where they are not, the tests
//! say so and pass.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails where its vectors are not as they should be, and says what it leaves out"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of a part of the vectors, `nitro` or `nostr`, if this machine has it.
#[must_use]
pub fn folder(part: &str) -> Option<PathBuf> {
    let given = std::env::var_os("ENCLAVED_VECTORS").map(PathBuf::from);
    let base = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors"));
    let folder = base.join(part);
    if folder.join("index.json").is_file() {
        return folder.canonicalize().ok();
    }
    println!("skipped: there are no test vectors at {}", folder.display());
    None
}

/// The rows of an index, of which there are some.
///
/// # Panics
/// If it cannot be read, or is empty.
#[must_use]
pub fn rows(folder: &Path, index: &str) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.join(index)).unwrap()).unwrap();
    assert!(!rows.is_empty(), "{index} is empty");
    rows
}

/// A row's text.
///
/// # Panics
/// If the row has no such text.
#[must_use]
pub fn text<'v>(row: &'v Value, field: &str) -> &'v str {
    row[field].as_str().unwrap_or_else(|| panic!("{row} has no {field}"))
}

/// Unix milliseconds of `2026-01-15T12:00:00.123000+00:00`.
///
/// # Panics
/// If the date has another form.
#[must_use]
pub fn unix_millis(date: &str) -> u64 {
    let number = |from: usize, to: usize| date[from..to].parse::<u64>().unwrap();
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    // Years are counted from March, so that a leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let secs = days * 86_400 + number(11, 13) * 3_600 + number(14, 16) * 60 + number(17, 19);
    let millis = date[19..].strip_prefix('.').map_or(0, |fraction| fraction[..3].parse().unwrap());
    assert!(date.ends_with("+00:00"), "{date} is not in UTC");
    secs * 1_000 + millis
}

/// Our code for a collected document that its index calls broken: the signature where the index names
/// it, the form otherwise.
#[must_use]
pub fn collected_refusal(row: &Value) -> &'static str {
    if row["errors"].to_string().contains("sig:") { "signature_invalid" } else { "cose_malformed" }
}

/// Our verdict on a derived document: `accepted`, or the code for the reason that its index gives.
///
/// # Panics
/// If the index has a verdict or a reason that is not known here.
#[must_use]
pub fn derived_verdict(row: &Value) -> &'static str {
    let reason = text(row, "reason");
    match text(row, "expect") {
        "reject-without-leeway" => "certificate_not_yet_valid",
        "reject" | "reject-recommended" => {
            let named = REASONS.iter().find(|(word, _)| reason.contains(word));
            named.unwrap_or_else(|| panic!("the reason of {row} is not known here")).1
        }
        // Tag 18 and unknown fields are accepted: our reading of what the index leaves open.
        "accept" | "accept-or-reject-by-policy" => "accepted",
        other if other.starts_with("accept (") => "accepted",
        other => panic!("the verdict {other} is not known here"),
    }
}

/// Codes that name the reason of a derived document, by a word of the index's reason.
const REASONS: [(&str, &str); 20] = [
    ("root has the AWS subject name", "chain_untrusted"),
    ("next certificate only names it", "chain_untrusted"),
    ("cabundle leaf-first", "chain_untrusted"),
    ("pathLenConstraint", "chain_untrusted"),
    ("CA:TRUE", "chain_untrusted"),
    ("truncated", "cose_malformed"),
    ("DER signature", "cose_malformed"),
    ("unprotected header", "cose_malformed"),
    ("certificate missing", "payload_malformed"),
    ("missing from the map", "payload_malformed"),
    ("over 1024 bytes", "payload_malformed"),
    ("after the payload map", "payload_malformed"),
    ("nested", "payload_malformed"),
    ("PCR index 32", "payload_malformed"),
    ("text keys", "payload_malformed"),
    ("text string", "payload_malformed"),
    ("without break", "payload_malformed"),
    ("altered", "signature_invalid"),
    ("timestamp", "timestamp_invalid"),
    ("notAfter+1s", "certificate_expired"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_are_read() {
        assert_eq!(unix_millis("1970-01-01T00:00:00+00:00"), 0);
        assert_eq!(unix_millis("2024-02-29T23:59:59+00:00"), 1_709_251_199_000);
        assert_eq!(unix_millis("2025-12-25T13:15:37.578000+00:00"), 1_766_668_537_578);
    }

    #[test]
    fn reason_that_is_not_known_fails_its_test() {
        let row = |expect: &str, reason: &str| json!({"expect": expect, "reason": reason});
        assert_eq!(derived_verdict(&row("reject", "the payload is altered")), "signature_invalid");
        assert_eq!(derived_verdict(&row("accept (unknown field)", "")), "accepted");
        for (expect, reason) in [("reject", "something new"), ("perhaps", "altered")] {
            let row = row(expect, reason);
            assert!(std::panic::catch_unwind(|| derived_verdict(&row)).is_err(), "{row}");
        }
    }
}
