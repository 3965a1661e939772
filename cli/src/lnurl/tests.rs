use super::*;

#[track_caller]
fn check_url(text: &str, expected: &str) {
    let address = Address::parse(text).unwrap().unwrap();
    assert_eq!(address.url().unwrap().as_str(), expected, "{text}");
}

#[test]
fn address_is_asked_over_https_unless_it_is_in_the_own_network() {
    check_url("bob@Wallet.Example", "https://wallet.example/.well-known/lnurlp/bob");
    check_url("lightning:bob@wallet.example:8443", "https://wallet.example:8443/.well-known/lnurlp/bob");
    check_url("bob@127.0.0.1:8080", "http://127.0.0.1:8080/.well-known/lnurlp/bob");
    check_url("bob@[::1]:8080", "http://[::1]:8080/.well-known/lnurlp/bob");
    check_url("bob@8.8.8.8", "https://8.8.8.8/.well-known/lnurlp/bob");
    // A name is resolved by whomever it likes; it is not the own network's.
    check_url("bob@localhost", "https://localhost/.well-known/lnurlp/bob");
    check_url("npub1a@npub1b@wallet.example", "https://wallet.example/.well-known/lnurlp/npub1a@npub1b");
}

#[test]
fn text_that_is_no_address_is_told_from_one_that_is_wrong() {
    for text in ["lnbc1", "npub1x", "-", ""] {
        assert!(Address::parse(text).is_none(), "{text}");
    }
    for text in ["@host", "bob@", "bob@a/b", "bob@a?b", "bob@a#b", "b/../c@a", "bob@a b", "b%41@a"] {
        assert_eq!(Address::parse(text).unwrap().unwrap_err().code(), "address_invalid", "{text}");
    }
}

#[test]
fn address_names_a_key_by_itself_or_not_at_all() {
    let npub = "npub10xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqpkge6d";
    let key = |text: &str| Address::parse(text).unwrap().unwrap().key();
    assert_eq!(key(&format!("{npub}@a.example")), PublicKey::parse(npub).ok());
    assert_eq!(key(&format!("{npub}@npub1other@a.example")), PublicKey::parse(npub).ok());
    assert_eq!(key("bob@a.example"), None);
}

#[tokio::test]
async fn server_cannot_send_this_machine_to_its_neighbours() {
    let web = Web::of(&Url::parse("https://wallet.example").unwrap());
    for url in [
        "http://wallet.example/",
        "http://8.8.8.8/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
    ] {
        let refused = web.get(&Url::parse(url).unwrap()).await.unwrap_err();
        assert!(refused.message().contains("public internet"), "{url}: {refused}");
    }
    // A name is judged by where it leads.
    let refused = web.get(&Url::parse("https://localhost/").unwrap()).await.unwrap_err();
    assert!(refused.message().contains("not public"), "{refused}");
}
