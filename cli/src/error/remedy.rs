//! What to do next, for errors that say only what failed.

/// What follows a message with this code that has no sentence of its own about it; none where each message has.
pub(super) fn of(code: &str) -> Option<&'static str> {
    let remedy = match code {
        "usage" => "`--help` shows how it is used",
        "config_invalid" => "mend the file, or name another with --config",
        "trust_root_invalid" => "give a root certificate in DER with --trust-root",
        "key_invalid" | "secret_unreadable" => "check the place that the option names: env:NAME or file:PATH",
        "relay_invalid" => "give addresses that begin with wss:// or ws://",
        "file_unreadable" | "file_unwritable" => "check the path, and who may use it",
        "event_invalid" => "get the event anew from where it was published",
        "release_invalid" | "builder_invalid" | "genesis_invalid" | "launcher_invalid" => {
            "get it anew from whoever signed it"
        }
        "release_missing" | "ref_mismatch" | "pcr_mismatch" | "debug_mode" | "expired"
        | "timestamp_invalid" => "do not rely on it; ask its maintainers for a release that holds",
        "measurements_invalid" => {
            "build the image again with `scripts/build`, and give the file that it writes"
        }
        "no_quorum" | "not_member" | "not_maintainer" => "ask those who are named in the policy",
        "policy_unchanged" => "give the configuration that is to follow",
        "policy_invalid" => "mend the configuration that it is made from",
        "key_mismatch" | "nonce_mismatch" => "do not rely on it; check that you gave the right file or key",
        "manifest_mismatch" | "price_mismatch" => "do not pay; choose another server",
        "statement_invalid" | "digest_mismatch" | "url_mismatch" | "response_mismatch" => {
            "it proves something else; ask the app for the statement that you mean"
        }
        "receipt_invalid" => "do not rely on them; keep what the server sent, and ask it again",
        "invoice_invalid"
        | "invoice_amount_mismatch"
        | "invoice_description_mismatch"
        | "invoice_payee_mismatch" => "do not pay it; ask for another",
        "invoice_expired" => "ask for a new one",
        "launch_failed" => "nothing more is charged; mend what it names, and deploy again",
        "upgrade_refused" | "upgrade_rolled_back" | "upgrade_cancelled" => {
            "`encli container upgrades` shows what was decided"
        }
        "insufficient_balance" => "pay something in first",
        "amount_invalid" => "choose another amount",
        "comment_too_long" => "make it shorter",
        "address_invalid" | "address_refused" => "check the address with whoever gave it to you",
        "address_unreachable" | "relays_unreachable" => "check the network, and try again",
        "no_answer" => "try again in a minute",
        "wallet_no_answer" => "see that the wallet runs, and try again: what is paid is paid once",
        "wallet_invalid" => "make a connection with `encli wallet create`, or copy yours anew",
        "bunker_invalid" => "copy the bunker:// URL anew from your signer",
        "bunker_refused" => "allow it in your signer, or use another",
        "bunker_no_answer" => "see that it runs and uses the relays of its URL",
        "request_unsealed" | "request_unsigned" => "check the key that --key names",
        "bad_reply" => "try again; if it stays so, the other end does not speak as encli does",
        "command_failed" => "what it wrote says why; mend that, and try again",
        "certificate_unmade" | "no_randomness" | "runtime" | "tls" => {
            "try again; if it stays so, this machine lacks something"
        }
        "output" => "report it: this is a fault of encli",
        _ => return None,
    };
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Each message of theirs says what to do.
    const SAY_IT_THEMSELVES: [&str; 18] = [
        "address_missing",
        "bunker_unsupported",
        "file_exists",
        "file_too_large",
        "key_missing",
        "launcher_missing",
        "no_instance",
        "not_found",
        "not_published",
        "payment_unknown",
        "price_unknown",
        "ref_missing",
        "relay_missing",
        "unpinned",
        "wallet_missing",
        "wallet_refused",
        "wallet_unknown",
        "zaps_unknown",
    ];

    fn codes(dir: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes(&path, found);
            } else if !path.ends_with("tests.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for maker in ["::refused(", "::usage(", "::no_answer("] {
                    let after = text.split(maker).skip(1).map(str::trim_start);
                    let code = after.filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
                    found.extend(code.map(str::to_owned));
                }
            }
        }
    }

    #[test]
    fn each_code_says_what_to_do() {
        let mut found = BTreeSet::new();
        codes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        assert!(found.len() > 50, "{found:?}");
        let silent: Vec<_> = found
            .iter()
            .filter(|code| of(code).is_none() && !SAY_IT_THEMSELVES.contains(&code.as_str()))
            .collect();
        assert!(silent.is_empty(), "say what to do, here or in each message: {silent:?}");
    }
}
