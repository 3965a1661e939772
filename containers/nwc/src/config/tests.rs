use super::*;

const KEY: &str = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
const MINIMAL: [(&str, &str); 3] =
    [("NWC_RELAYS", "ws://relay:7000"), ("NWC_NETWORK", "regtest"), ("NWC_BACKEND", "internal")];

fn parse(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let unchanged = MINIMAL.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    // The value "-" stands for an absent variable.
    let changed = changes.iter().filter(|(_, value)| *value != "-");
    Config::from_variables(unchanged.chain(changed).map(|(name, value)| (name.into(), value.into())))
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let config = parse(&[("PATH", "/bin"), ("HOME", "")]).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("/data"));
    assert_eq!((config.admin, config.faucet, config.limits), (None, None, Limits::default()));
    assert_eq!((config.log_json, config.log_filter.as_str()), (false, LOG_FILTER));
}

#[test]
fn everything_can_be_configured_and_is_shown() {
    let all = [
        ("NWC_RELAYS", "ws://relay:7000,wss://relay.example.com/"),
        ("NWC_NETWORK", "regtest"),
        ("NWC_BACKEND", "internal"),
        ("NWC_DATA_DIR", "/var/wallet"),
        ("NWC_ADMIN_PUBKEY", KEY),
        ("NWC_FAUCET_PUBKEY", KEY),
        ("NWC_FAUCET_MSAT", "5000"),
        ("NWC_MAX_INVOICE_MSAT", "7000"),
        ("NWC_DEFAULT_EXPIRY_SECS", "60"),
        ("NWC_MAX_EXPIRY_SECS", "120"),
        ("NWC_LATE_ACCEPT_SECS", "30"),
        ("NWC_MAX_OPEN_INVOICES_PER_KEY", "1"),
        ("NWC_MAX_OPEN_INVOICES_UNFUNDED", "2"),
        ("NWC_MAX_OPEN_INVOICES", "3"),
        ("NWC_MAX_BALANCE_MSAT", "9000"),
        ("NWC_MAX_WALLETS", "4"),
        ("NWC_MAX_ANON_EXPIRY_SECS", "5"),
        ("NWC_MAX_IN_FLIGHT_PER_KEY", "6"),
        ("NWC_MAX_IN_FLIGHT", "7"),
        ("NWC_MAX_HOLDS_PER_KEY", "8"),
        ("NWC_MAX_HOLDS", "9"),
        ("NWC_MAX_HOLD_SECS", "10"),
        ("NWC_MAX_CONNECTIONS_PER_KEY", "11"),
        ("NWC_MAX_CONNECTIONS", "12"),
        ("NWC_BOOKS_BYTES_MAX", "3000000"),
        ("NWC_MAX_ANSWERS_PER_KEY", "26"),
        ("NWC_MIN_FIRST_MSAT", "27"),
        ("NWC_MAX_WAITING_PER_PAYMENT", "28"),
        ("NWC_MAX_WAITING", "29"),
        ("NWC_LNURL_INVOICES_PER_CLIENT", "30"),
        ("NWC_RATE_PER_SEC", "13"),
        ("NWC_RATE_BURST", "14"),
        ("NWC_RELAY_RATE_PER_SEC", "15"),
        ("NWC_RELAY_RATE_BURST", "16"),
        ("NWC_LNURL_RATE_PER_SEC", "17"),
        ("NWC_LNURL_RATE_BURST", "18"),
        ("NWC_MAX_HISTORY", "20"),
        ("NWC_MAX_REPLY_BYTES", "20000"),
        ("NWC_FEE_RESERVE_PPM", "21"),
        ("NWC_FEE_RESERVE_MSAT", "22"),
        ("NWC_FEE_PAYMENT_MSAT", "23"),
        ("NWC_FEE_PAYMENT_PPM", "24"),
        ("NWC_FEE_HOLDING_MSAT", "25"),
        ("NWC_FEE_HOLDING_SECS", "3600"),
        ("NWC_LNURL_LISTEN", "127.0.0.1:8080"),
        ("NWC_LNURL_URL", "http://wallet.example:8080"),
        ("NWC_RELAY_ADDRESSES", "127.0.0.0/8,fd00::/8"),
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "debug"),
    ];
    let config = parse(&all).unwrap();
    let limits = config.limits;
    assert_eq!((limits.expiry_default_secs, limits.expiry_max_secs, limits.late_accept_secs), (60, 120, 30));
    assert_eq!((limits.first_msat_min, limits.lnurl_per_client), (27, 30));
    assert_eq!((limits.waiting_per_payment, limits.waiting_total), (28, 29));
    assert_eq!((limits.balance_max, limits.wallets_max), (Msat::new(9_000), 4));
    assert_eq!((limits.in_flight_per_key, limits.in_flight_total), (6, 7));
    assert_eq!((limits.holds_per_key, limits.holds_total, limits.hold_secs_max), (8, 9, 10));
    assert_eq!((limits.connections_per_key, limits.connections_total), (11, 12));
    assert_eq!((limits.rate.per_sec, limits.rate.burst), (13, 14));
    assert_eq!((limits.relay_rate.per_sec, limits.relay_rate.burst), (15, 16));
    assert_eq!((limits.anon_expiry_max_secs, limits.history_max, limits.reply_bytes_max), (5, 20, 20_000));
    assert_eq!((config.fees.reserve.share_ppm, config.fees.reserve.min), (21, Msat::new(22)));
    assert_eq!((config.fees.payment.base, config.fees.payment.share_ppm), (Msat::new(23), 24));
    assert_eq!(config.fees.holding.map(|fee| (fee.amount, fee.period_secs)), Some((Msat::new(25), 3_600)));
    assert_eq!((limits.open_per_key, limits.open_unfunded, limits.open_total), (1, 2, 3));
    assert_eq!(config.faucet.map(|faucet| faucet.amount), Some(Msat::new(5_000)));
    // What is shown is the configuration itself, and reading it back gives the same.
    let shown = config.to_string();
    let lines: Vec<(&str, &str)> = shown.lines().map(|line| line.split_once('=').unwrap()).collect();
    assert_eq!(lines.len(), all.len(), "{shown}");
    assert_eq!(parse(&lines), Ok(config));
}

/// The error names the variable and says what is wrong.
#[track_caller]
fn check_refused(changes: &[(&str, &str)], variable: &str, says: &str) {
    let error = parse(changes).unwrap_err();
    assert_eq!(error.variable, variable, "{changes:?}: {error}");
    assert!(error.to_string().contains(says), "{changes:?}: {error}");
}

#[test]
fn configuration_that_is_wrong_is_refused_by_name() {
    check_refused(&[("NWC_RELAYS", "-")], "NWC_RELAYS", "missing");
    check_refused(&[("NWC_RELAYS", "")], "NWC_RELAYS", "empty");
    check_refused(&[("NWC_RELAYS", "http://relay")], "NWC_RELAYS", "ws://");
    check_refused(&[("NWC_RELAYS", "ws://a,")], "NWC_RELAYS", "ws://");
    check_refused(&[("NWC_RELAYS", &["ws://a"; 17].join(","))], "NWC_RELAYS", "16");
    check_refused(&[("NWC_NETWORK", "-")], "NWC_NETWORK", "missing");
    check_refused(&[("NWC_NETWORK", "mars")], "NWC_NETWORK", "mainnet, testnet, signet, regtest");
    check_refused(&[("NWC_NETWORK", "mainnet")], "NWC_NETWORK", "regtest");
    check_refused(&[("NWC_BACKEND", "-")], "NWC_BACKEND", "missing");
    check_refused(&[("NWC_BACKEND", "ldk")], "NWC_BACKEND", "internal");
    check_refused(&[("NWC_DATA_DIR", "data")], "NWC_DATA_DIR", "absolute");
    check_refused(&[("NWC_ADMIN_PUBKEY", "npub1")], "NWC_ADMIN_PUBKEY", "64 hex");
    check_refused(&[("NWC_FAUCET_PUBKEY", KEY)], "NWC_FAUCET_MSAT", "missing");
    check_refused(&[("NWC_FAUCET_MSAT", "1")], "NWC_FAUCET_PUBKEY", "missing");
    let off_curve = "ff".repeat(32);
    check_refused(
        &[("NWC_FAUCET_PUBKEY", &off_curve), ("NWC_FAUCET_MSAT", "1")],
        "NWC_FAUCET_PUBKEY",
        "64 hex",
    );
    for amount in ["0", "-1", "1.5", "1e3", "100000000000000001", "99999999999999999999"] {
        check_refused(&[("NWC_FAUCET_PUBKEY", KEY), ("NWC_FAUCET_MSAT", amount)], "NWC_FAUCET_MSAT", "1 to");
        check_refused(&[("NWC_MAX_INVOICE_MSAT", amount)], "NWC_MAX_INVOICE_MSAT", "1 to");
    }
    check_refused(&[("NWC_LATE_ACCEPT_SECS", "604801")], "NWC_LATE_ACCEPT_SECS", "0 to 604800");
    check_refused(&[("NWC_MAX_EXPIRY_SECS", "0")], "NWC_MAX_EXPIRY_SECS", "1 to");
    check_refused(&[("NWC_MAX_EXPIRY_SECS", "599")], "NWC_DEFAULT_EXPIRY_SECS", "NWC_MAX_EXPIRY_SECS");
    check_refused(&[("NWC_MAX_OPEN_INVOICES", "many")], "NWC_MAX_OPEN_INVOICES", "1 to");
    check_refused(&[("NWC_MAX_REPLY_BYTES", "40001")], "NWC_MAX_REPLY_BYTES", "16000 to 40000");
    check_refused(&[("NWC_RATE_PER_SEC", "0")], "NWC_RATE_PER_SEC", "1 to");
    check_refused(&[("NWC_FEE_PAYMENT_PPM", "1000001")], "NWC_FEE_PAYMENT_PPM", "0 to 1000000");
    check_refused(&[("NWC_FEE_HOLDING_SECS", "86400")], "NWC_FEE_HOLDING_MSAT", "missing");
    check_refused(&[("LOG_FORMAT", "xml")], "LOG_FORMAT", "text or json");
    check_refused(&[("RUST_LOG", "nwc=loud")], "RUST_LOG", "filter");
}

#[test]
fn an_unknown_variable_of_ours_is_refused() {
    check_refused(&[("NWC_FAUCET_MSATS", "5")], "NWC_FAUCET_MSATS", "no variable");
    check_refused(&[("NWC_", "5")], "NWC_", "no variable");
}

#[test]
fn lightning_addresses_are_refused_outside_development() {
    let lnurl = [("NWC_LNURL_LISTEN", "0.0.0.0:8080"), ("NWC_LNURL_URL", "https://wallet.example")];
    for network in ["mainnet", "testnet", "signet"] {
        let with = |more: &[(&'static str, &'static str)]| [&[("NWC_NETWORK", network)], more].concat();
        check_refused(&with(&lnurl), "NWC_LNURL_LISTEN", "TLS that ends inside the enclave");
        check_refused(&with(&[("NWC_RELAY_ADDRESSES", "10.0.0.0/8")]), "NWC_RELAY_ADDRESSES", "development");
    }
    check_refused(&lnurl[..1], "NWC_LNURL_URL", "missing");
    check_refused(&lnurl[1..], "NWC_LNURL_LISTEN", "missing");
    check_refused(&[lnurl[0], ("NWC_LNURL_URL", "wallet.example")], "NWC_LNURL_URL", "http");
    check_refused(&[("NWC_LNURL_LISTEN", "8080"), lnurl[1]], "NWC_LNURL_LISTEN", "with a port");
    check_refused(&[("NWC_RELAY_ADDRESSES", "localhost")], "NWC_RELAY_ADDRESSES", "127.0.0.0/8");
}
