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
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "debug"),
    ];
    let config = parse(&all).unwrap();
    let limits = config.limits;
    assert_eq!((limits.expiry_default_secs, limits.expiry_max_secs, limits.late_accept_secs), (60, 120, 30));
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
    check_refused(&[("LOG_FORMAT", "xml")], "LOG_FORMAT", "text or json");
    check_refused(&[("RUST_LOG", "nwc=loud")], "RUST_LOG", "filter");
}

#[test]
fn an_unknown_variable_of_ours_is_refused() {
    check_refused(&[("NWC_FAUCET_MSATS", "5")], "NWC_FAUCET_MSATS", "no variable");
    check_refused(&[("NWC_", "5")], "NWC_", "no variable");
}
