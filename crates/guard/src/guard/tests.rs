use std::io;
use std::sync::Mutex;

use super::*;
use crate::LookupFuture;

/// A name server that answers every name with the same addresses, and remembers what it was asked.
#[derive(Debug)]
struct Answers {
    addresses: Vec<IpAddr>,
    asked: Mutex<Vec<String>>,
}

impl Lookup for Answers {
    fn lookup(&self, name: &str) -> LookupFuture {
        self.asked.lock().unwrap().push(name.to_owned());
        let addresses = self.addresses.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

#[derive(Debug)]
struct Silence;

impl Lookup for Silence {
    fn lookup(&self, _name: &str) -> LookupFuture {
        Box::pin(std::future::pending())
    }
}

#[derive(Debug)]
struct NoSuchName;

impl Lookup for NoSuchName {
    fn lookup(&self, _name: &str) -> LookupFuture {
        Box::pin(async { Err(io::Error::new(io::ErrorKind::NotFound, "NXDOMAIN")) })
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn answering(addresses: &[&str]) -> (AddressGuard, Arc<Answers>) {
    let answers =
        Arc::new(Answers { addresses: addresses.iter().copied().map(ip).collect(), asked: Mutex::default() });
    (AddressGuard::public_only().with_lookup(answers.clone()), answers)
}

#[test]
fn public_addresses_pass() {
    let guard = AddressGuard::public_only();
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "3ffe::1",
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "64:ff9b::8.8.8.8",
    ] {
        assert_eq!(guard.check(ip(address)), Ok(()), "{address}");
    }
}

#[test]
fn special_addresses_are_refused() {
    let guard = AddressGuard::public_only();
    for (address, range) in [
        ("0.0.0.0", "this network"),
        ("0.255.255.255", "this network"),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("100.64.0.0", "shared"),
        ("100.127.255.255", "shared"),
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("169.254.0.0", "link-local"),
        ("169.254.169.254", "link-local"),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("192.0.0.0", "protocol assignments"),
        ("192.0.0.171", "protocol assignments"),
        ("192.0.0.192", "protocol assignments"),
        ("192.0.2.1", "documentation"),
        ("192.31.196.1", "AS112"),
        ("192.52.193.1", "AMT"),
        ("192.88.99.1", "6to4"),
        ("192.168.0.0", "private"),
        ("192.168.255.255", "private"),
        ("192.175.48.1", "AS112"),
        ("198.18.0.0", "benchmarking"),
        ("198.19.255.255", "benchmarking"),
        ("198.51.100.7", "documentation"),
        ("203.0.113.7", "documentation"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.254", "reserved"),
        ("255.255.255.255", "broadcast"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::2", "this network"),
        ("::127.0.0.1", "loopback"),
        ("::10.0.0.1", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local"),
        ("::ffff:0:10.0.0.1", "unallocated"),
        ("64:ff9b::10.0.0.1", "private"),
        ("64:ff9b::169.254.169.254", "link-local"),
        ("64:ff9b:1::8.8.8.8", "local NAT64"),
        ("64:ff9b:1:ffff::1", "local NAT64"),
        ("100::1", "discard"),
        ("100:0:0:1::1", "dummy"),
        ("2001::1", "Teredo"),
        ("2001:0:ffff::1", "Teredo"),
        ("2001:1::1", "protocol assignments"),
        ("2001:2::1", "benchmarking"),
        ("2001:2:1::1", "protocol assignments"),
        ("2001:10::1", "ORCHID"),
        ("2001:2f::1", "ORCHIDv2"),
        ("2001:30::1", "protocol assignments"),
        ("2001:1ff:ffff::1", "protocol assignments"),
        ("2001:db8::1", "documentation"),
        ("2002::1", "6to4"),
        ("2002:7f00:1::", "6to4"),
        ("2620:4f:8000::1", "AS112"),
        ("3fff::1", "documentation"),
        ("3fff:fff::1", "documentation"),
        ("4000::1", "unallocated"),
        ("5f00::1", "segment routing"),
        ("fc00::1", "unique local"),
        ("fd00:ec2::254", "unique local"),
        ("fe80::1", "link-local"),
        ("fe80::a9fe:a9fe", "link-local"),
        ("febf::1", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("1::1", "unallocated"),
    ] {
        let refused = guard.check(ip(address)).expect_err(address);
        assert_eq!(refused.address, ip(address));
        assert!(refused.range.starts_with(range), "{address}: {}", refused.range);
    }
}

#[test]
fn exceptions_open_only_what_they_name() {
    let guard =
        AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()]);
    assert!(guard.has_exceptions());
    assert!(!AddressGuard::public_only().has_exceptions());
    for (address, passes) in [
        ("127.0.0.1", true),
        ("::ffff:127.0.0.1", true),
        ("fd00::1", true),
        ("fc00::1", false),
        ("::1", false),
        ("10.0.0.1", false),
        ("169.254.169.254", false),
    ] {
        assert_eq!(guard.check(ip(address)).is_ok(), passes, "{address}");
    }
}

#[tokio::test]
async fn literal_addresses_are_judged_without_a_lookup() {
    let (guard, answers) = answering(&["8.8.8.8"]);
    for (host, expected) in [
        ("1.1.1.1", Ok("1.1.1.1:443")),
        ("[2606:4700::1111]", Ok("[2606:4700::1111]:443")),
        ("2606:4700::1111", Ok("[2606:4700::1111]:443")),
        ("127.0.0.1", Err("address_refused")),
        ("[::1]", Err("address_refused")),
        ("[::ffff:169.254.169.254]", Err("address_refused")),
        // Spellings that one parser or another reads as 127.0.0.1 or 10.0.0.1.
        ("127.1", Err("address_refused")),
        ("127.0.1", Err("address_refused")),
        ("127.0.0.1.", Err("address_refused")),
        ("2130706433", Err("address_refused")),
        ("0x7f000001", Err("address_refused")),
        ("0X7F.1", Err("address_refused")),
        ("0x7f.0x0.0x0.0x1", Err("address_refused")),
        ("0177.0.0.1", Err("address_refused")),
        ("017700000001", Err("address_refused")),
        ("127.0.0.01", Err("address_refused")),
        ("0x", Err("address_refused")),
        ("example.1", Err("address_refused")),
        ("10.0.0.256", Err("address_refused")),
        ("fe80::1%eth0", Err("name_not_resolved")),
        ("[fe80::1%25eth0]", Err("name_not_resolved")),
        ("[127.0.0.1]", Err("name_not_resolved")),
        ("[::1", Err("name_not_resolved")),
        ("１２７.0.0.1", Err("name_not_resolved")),
        ("127。0。0。1", Err("name_not_resolved")),
    ] {
        let found = guard.resolve(host, 443).await;
        match expected {
            Ok(socket) => assert_eq!(found.expect(host), [socket.parse().unwrap()], "{host}"),
            Err(code) => assert_eq!(found.expect_err(host).code(), code, "{host}"),
        }
    }
    assert_eq!(*answers.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn malformed_names_are_refused_without_a_lookup() {
    let (guard, answers) = answering(&["8.8.8.8"]);
    let long_label = format!("{}.example", "a".repeat(64));
    let long_name = format!("{}example", "a.".repeat(130));
    for host in [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "-a.b",
        "a-.b",
        "a b",
        "a/b",
        "a:80",
        "user@a",
        "a\0",
        "a\nb",
        "bücher.de",
        "*.a",
        &long_label,
        &long_name,
    ] {
        let error = guard.resolve(host, 443).await.expect_err(host);
        assert_eq!(error.code(), "name_not_resolved", "{host:?}");
        assert!(!error.to_string().contains(['\0', '\n']), "{host:?}");
    }
    assert_eq!(*answers.asked.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn name_with_public_addresses_returns_them_all() {
    let (guard, answers) = answering(&["1.1.1.1", "2606:4700::1111"]);
    let found = guard.resolve("registry.example.", 5000).await.unwrap();
    assert_eq!(found, ["1.1.1.1:5000".parse().unwrap(), "[2606:4700::1111]:5000".parse().unwrap()]);
    assert_eq!(*answers.asked.lock().unwrap(), ["registry.example."]);
}

#[tokio::test]
async fn name_with_one_private_address_is_refused_whole() {
    let mut many = vec!["1.1.1.1"; 40];
    many.push("10.0.0.7");
    for addresses in [&["10.0.0.7"][..], &["1.1.1.1", "10.0.0.7"], &["::ffff:10.0.0.7"], &many] {
        let (guard, _) = answering(addresses);
        let error = guard.resolve("registry.example", 443).await.unwrap_err();
        assert_eq!(error.code(), "address_refused", "{addresses:?}");
        let sentence = error.to_string();
        assert!(sentence.contains("registry.example") && sentence.contains("private"), "{sentence}");
        assert!(!sentence.contains("10.0.0.7"), "the reply tells an internal address: {sentence}");
    }
}

#[tokio::test]
async fn name_with_many_addresses_is_cut() {
    let (guard, _) = answering(&["1.1.1.1"; 40]);
    assert_eq!(guard.resolve("registry.example", 443).await.unwrap().len(), ADDRESSES_MAX);
}

#[tokio::test]
async fn name_without_an_address_is_not_resolved() {
    let (guard, _) = answering(&[]);
    assert_eq!(guard.resolve("registry.example", 443).await.unwrap_err().code(), "name_not_resolved");
    let guard = guard.with_lookup(Arc::new(NoSuchName));
    let error = guard.resolve("registry.example", 443).await.unwrap_err();
    assert_eq!(error.code(), "name_not_resolved");
    assert!(!error.to_string().contains("NXDOMAIN"), "a display repeats its source");
}

#[tokio::test(start_paused = true)]
async fn resolver_that_never_answers_times_out() {
    let guard = AddressGuard::public_only().with_lookup(Arc::new(Silence));
    let error = guard.resolve("registry.example", 443).await.unwrap_err();
    assert!(matches!(error, GuardError::TimedOut { .. }));
    assert_eq!(error.code(), "name_not_resolved");
}

#[tokio::test]
async fn system_resolver_finds_this_machine_and_the_guard_refuses_it() {
    let error = AddressGuard::public_only().resolve("localhost", 80).await.unwrap_err();
    assert_eq!(error.code(), "address_refused");
    let guard =
        AddressGuard::with_exceptions(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    assert!(!guard.resolve("localhost", 80).await.unwrap().is_empty());
}
