use proptest::prelude::*;

use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn references_are_completed() {
    let at = format!("@sha256:{HEX}");
    for (text, expected) in [
        ("alpine".to_owned(), "docker.io/library/alpine:latest".to_owned()),
        ("docker://alpine:3.20".into(), "docker.io/library/alpine:3.20".into()),
        ("docker.io/alpine".into(), "docker.io/library/alpine:latest".into()),
        ("index.docker.io/a/b".into(), "docker.io/a/b:latest".into()),
        ("team/app".into(), "docker.io/team/app:latest".into()),
        ("ghcr.io/team/app:v1".into(), "ghcr.io/team/app:v1".into()),
        ("GHCR.io/team/app:V1".into(), "ghcr.io/team/app:V1".into()),
        ("localhost/app".into(), "localhost/app:latest".into()),
        ("localhost:5000/app".into(), "localhost:5000/app:latest".into()),
        ("127.0.0.1:5000/a/b/c:t".into(), "127.0.0.1:5000/a/b/c:t".into()),
        ("[::1]:5000/app".into(), "[::1]:5000/app:latest".into()),
        ("[2606:4700::1]/app".into(), "[2606:4700::1]/app:latest".into()),
        (format!("alpine{at}"), format!("docker.io/library/alpine{at}")),
        (format!("alpine:3{at}"), format!("docker.io/library/alpine:3{at}")),
        ("a.b/c__d/e-f---g.h_i".into(), "a.b/c__d/e-f---g.h_i:latest".into()),
        (format!("host.example/{HEX}x"), format!("host.example/{HEX}x:latest")),
    ] {
        let reference: Reference = text.parse().expect(&text);
        assert_eq!(reference.to_string(), expected);
        assert_eq!(expected.parse(), Ok(reference), "the complete form reads back");
    }
}

#[test]
fn malformed_references_are_refused() {
    let long = "a".repeat(REFERENCE_CHARS_MAX + 1);
    let long_name = format!("host.example/{}", "a".repeat(243));
    let long_tag = format!("a:{}", "t".repeat(129));
    for text in [
        "",
        "/",
        ":",
        "@",
        "a:",
        "a@",
        ":t",
        "/a",
        "a/",
        "a//b",
        "a:b:c",
        "A",
        "a/B",
        "a b",
        "a\n",
        "a\0",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a_-b",
        "_a",
        "a.",
        "a:.t",
        "a:-t",
        "a:t t",
        "a:t/b:",
        "a@sha256:",
        "a@sha256:00",
        "a@md5:00",
        "https://ghcr.io/a",
        "docker://docker://a",
        "docker://",
        "ghcr.io/",
        "ghcr.io:0/a",
        "ghcr.io:65536/a",
        "ghcr.io:+80/a",
        "ghcr.io:/a",
        "ghcr.io:80:80/a",
        "-x.io/a",
        "x-.io/a",
        "x..io/a",
        ".x.io/a",
        "a_b.io/a",
        "[::1/a",
        "[::g]/a",
        "[127.0.0.1]/a",
        "user@host.io/a",
        "host.io/a?b",
        "host.io/a#b",
        "host.io/../a",
        "host.io/a%2f",
        "bücher.de/a",
        HEX,
        &long,
        &long_name,
        &long_tag,
    ] {
        let error = text.parse::<Reference>().expect_err(text);
        assert_eq!(error.code(), "image_reference_invalid");
    }
}

#[test]
fn longest_parts_are_accepted() {
    let name = format!("host.example/{}", "a".repeat(242));
    let text = format!("{name}:{}@sha256:{HEX}", "t".repeat(128));
    assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
    assert!(format!("docker://{text}").parse::<Reference>().is_ok());
}

#[test]
fn digest_counts_before_the_tag() {
    let reference: Reference = format!("a:1@sha256:{HEX}").parse().unwrap();
    assert_eq!(reference.selector(), Selector::Digest(Digest::of(b"")));
    assert_eq!("a:1".parse::<Reference>().unwrap().selector(), Selector::Tag("1"));
    assert_eq!("a".parse::<Reference>().unwrap().selector(), Selector::Tag("latest"));
}

#[test]
fn docker_hub_is_asked_at_its_api_host() {
    assert_eq!("a".parse::<Reference>().unwrap().api_authority(), "registry-1.docker.io");
    assert_eq!("ghcr.io/a".parse::<Reference>().unwrap().api_authority(), "ghcr.io");
}

proptest! {
    #[test]
    fn parsing_any_text_does_not_panic_and_reads_back(text in "\\PC{0,80}") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }

    #[test]
    fn parsing_likely_text_reads_back(text in "(docker://)?([a-z.:\\[\\]0-9]{0,9}/)?[a-z._/-]{1,9}(:[a-z.]{1,4})?") {
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        }
    }
}
