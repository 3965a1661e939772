use nostr::key::Keys;
use protocol::rpc::Code;
use protocol::rpc::enclaved::{LogLine, LogStream, StateReason};
use serde_json::json;
use units::UnitSize;

use super::*;

const NOW: UnixSecs = UnixSecs(1_800_000_000);

fn info(name: Option<&str>, state: &str) -> ContainerInfo {
    let pubkey = Keys::parse(&"01".repeat(32)).unwrap().public_key();
    serde_json::from_value(json!({
        "pubkey": pubkey, "name": name, "state": state, "image": "r.example/app@sha256:ab", "manifest_sha256": "cd",
        "units": 2, "price_msat_per_hour": 10_000, "created_at": 1,
        "endpoints": [{"container_port": 80, "host": "192.0.2.1", "port": 5000}],
    }))
    .unwrap()
}

fn made() -> Invoice {
    serde_json::from_value(json!({
        "type": "incoming", "invoice": "lnbc1", "payment_hash": "aa", "amount": 10_500,
        "created_at": NOW, "expires_at": NOW.plus_secs(600),
    }))
    .unwrap()
}

fn a_status(name: &str, state: &str) -> ContainerStatus {
    let manifest = json!({
        "version": 1, "image": "i", "args": null, "env": {}, "units": 2, "ports": [], "volumes": [],
        "egress": "all", "upgrade": "none", "owner": info(None, "").pubkey, "logs": true, "exec": false,
    });
    let mut value = serde_json::to_value(info(Some(name), state)).unwrap();
    for (field, one) in [
        ("balance_msat", json!(7_000)),
        ("owner_paused", json!(false)),
        ("exits", json!(0)),
        ("manifest", manifest),
        ("salt", json!("00".repeat(32))),
        ("limits_not_enforced", json!([])),
    ] {
        value[field] = one;
    }
    serde_json::from_value(value).unwrap()
}

#[test]
fn invoice_comes_to_copy_and_to_tap() {
    let text = topup(&made(), NOW);
    assert_eq!(text, "Pay 10.5 sat within 10 min, and they are on its balance.\n\nlnbc1\n\nlightning:lnbc1");
}

#[test]
fn state_says_what_to_do() {
    let mut paused = a_status("blog", "paused");
    paused.paid_until = Some(NOW.minus_secs(60));
    paused.data_kept_until = Some(NOW.plus_secs(604_800));
    paused.reason =
        Some(StateReason { code: "unpaid".into(), message: "its balance is empty; top it up".into() });
    let text = status(&paused, NOW);
    for part in [
        "blog is paused.\n",
        "Why: its balance is empty; top it up. [unpaid]",
        "2027-01-15 07:59:00 UTC (1 min ago); balance 7 sat",
        "data is kept until 2027-01-22 08:00:00 UTC (in 7 d). Write topup",
        "Port 80: 192.0.2.1:5000",
        "2 units at 10 sat an hour",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("lightning:"));
    let waiting = ContainerStatus { invoice: Some(made()), ..a_status("blog", "waiting") };
    let text = status(&waiting, NOW);
    assert!(
        text.starts_with("blog waits for its first payment.") && text.ends_with("lightning:lnbc1"),
        "{text}"
    );
    let asked = ContainerStatus { owner_paused: true, ..a_status("blog", "paused") };
    assert!(status(&asked, NOW).starts_with("blog is paused, as you asked."));
    assert!(!status(&asked, NOW).contains(&"00".repeat(32)), "the salt is a secret");
}

#[test]
fn list_has_a_line_for_each() {
    let some = |containers: &[ContainerSummary], next| {
        list(&ContainerList { containers: containers.to_vec(), next }, NOW)
    };
    assert!(some(&[], None).contains("deploy IMAGE"));
    let one = |name, state, paid_until| ContainerSummary {
        info: info(name, state),
        balance_msat: Msat::new(1_500),
        paid_until,
    };
    let two = [one(Some("a"), "deployed", Some(NOW.plus_secs(60))), one(None, "paused", Some(NOW))];
    let text = some(&two, None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2);
    let more = some(&two, Some(two[1].info.pubkey));
    assert!(more.starts_with(&text) && more.ends_with("shows them all."), "{more}");
    assert_eq!(lines[0], "a — deployed, balance 1.5 sat, paid until 2027-01-15 08:01:00 UTC (in 1 min)");
    assert!(
        lines[1].starts_with("npub1") && lines[1].ends_with(" — paused, balance 1.5 sat"),
        "{}",
        lines[1]
    );
}

#[test]
fn newest_lines_that_fit_are_shown() {
    let line = |text: &str| LogLine { at: String::new(), stream: LogStream::Stdout, text: text.to_owned() };
    let some = Logs { lines: vec![line("first"), line("second"), line("third")], truncated: false };
    assert_eq!(logs(&some, 100), "first\nsecond\nthird");
    assert_eq!(logs(&some, 13), "second\nthird");
    assert!(logs(&some, 3).contains("too long"));
    // Fewer of those that take more room in a message.
    let control = Logs { lines: vec![line(&"\u{1}".repeat(1_000)); 8], truncated: false };
    let text = logs(&control, 8_100);
    assert!(escaped_bytes(&text) <= TEXT_BYTES_MAX && text.lines().count() == 4, "{}", text.lines().count());
    assert!(logs(&Logs { lines: vec![], truncated: false }, 3).contains("nothing"));
}

#[test]
fn public_quote_names_no_image_and_no_invoice() {
    let quote: Quote = serde_json::from_value(json!({
        "image": "spam.example/buy@sha256:ab", "image_bytes": 1, "units": 2, "units_free": 9,
        "price_msat_per_hour": 10_000, "price_msat_per_period": 10_000, "period_secs": 3_600,
    }))
    .unwrap();
    let public = quote_in_public(&quote);
    assert!(public.contains("10 sat an hour") && !public.contains("spam"), "{public}");
    let asked = |more: &str| match protocol::dm::parse(&format!("deploy buy units 2{more}")) {
        Ok(protocol::dm::Command::Deploy(asked)) => *asked,
        other => panic!("{other:?}"),
    };
    let private = quote_in_private(&quote, asked(""));
    assert!(private.ends_with("\n\ndeploy spam.example/buy@sha256:ab units 2"), "{private}");
    // The launch that is answered with is the launch that was asked for.
    let more = " name blog env A=1 port 80 volume /data egress none upgrade owner args serve";
    let private = quote_in_private(&quote, asked(more));
    assert!(
        private.contains(&format!("\n\ndeploy spam.example/buy@sha256:ab units 2{more}\n\n")),
        "{private}"
    );
    assert!(private.contains("put others in place"), "{private}");
    let long = quote_in_private(&quote, asked(&format!(" args {}", "\u{1}".repeat(5_000))));
    assert!(long.contains("what stood in your note") && escaped_bytes(&long) < TEXT_BYTES_MAX, "{long}");
}

#[test]
fn terms_hide_nothing() {
    let mut sold = Terms {
        open: true,
        ends_at: None,
        unit_hour_msat: Msat::new(5_000),
        period_secs: 3_600,
        unit_size: UnitSize::default(),
        units_free: 4,
        units: 100,
        overcommit_percent: 100,
        retention_secs: 604_800,
        limits_not_enforced: vec![],
        free_work_bits: 20,
    };
    let text = terms(&sold);
    assert!(
        text.contains("10 % of a CPU, 50 MB of memory") && text.contains("4 of 100 units are free"),
        "{text}"
    );
    assert!(!text.contains("Not enforced") && !text.contains("sold") && !text.contains("No new"));
    sold = Terms { open: false, overcommit_percent: 150, limits_not_enforced: vec!["disk".into()], ..sold };
    let text = terms(&sold);
    assert!(
        text.contains("sold 150 %") && text.contains("Not enforced here: disk") && text.contains("No new")
    );
    assert!(!text.contains("replaced"), "{text}");
    sold.ends_at = Some(UnixSecs(1_800_000_000));
    let text = terms(&sold);
    assert!(text.contains("ends at 2027-01-15 08:00:00 UTC to be replaced by another version"), "{text}");
}

#[test]
fn failure_carries_its_code() {
    let text = failure(&Failure::new(Code::ServerFull, "2 units are asked for, 1 is free; ask for less."));
    assert_eq!(text, "That did not work: 2 units are asked for, 1 is free; ask for less. [server_full]");
    assert!(help("enclaved").contains("deploy IMAGE") && not_understood().contains("help"));
}
