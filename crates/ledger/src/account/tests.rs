use super::*;

#[test]
fn keys_are_stable_and_parse_back() {
    let user = format!("user:{}", "0a".repeat(32));
    for (account, key, class) in [
        (Account::User([10; 32]), user.as_str(), Class::Liability),
        (Account::Hold, "hold", Class::Liability),
        (Account::Faucet, "faucet", Class::Equity),
        (Account::ServiceFee, "service-fee", Class::Income),
        (Account::NodeLightning, "node-lightning", Class::Asset),
        (Account::NodeOnchain, "node-onchain", Class::Asset),
        (Account::RoutingFee, "routing-fee", Class::Expense),
        (Account::LiquidityCost, "liquidity-cost", Class::Expense),
        (Account::Suspense, "suspense", Class::Asset),
    ] {
        assert_eq!(account.to_string(), key);
        assert_eq!(key.parse(), Ok(account));
        assert_eq!(account.class(), class, "{key}");
    }
}

#[test]
fn texts_that_are_not_keys_are_refused() {
    let capitals = format!("user:{}", "0A".repeat(32));
    let short = format!("user:{}", "0a".repeat(31));
    for key in ["", "user", "user:", "User:00", "Hold", "hold ", "fees", capitals.as_str(), short.as_str()] {
        assert!(key.parse::<Account>().is_err(), "{key:?}");
    }
}
