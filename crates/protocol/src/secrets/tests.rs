use nostr::key::Keys;
use serde_json::json;

use super::*;

fn secrets() -> Secrets {
    serde_json::from_value(json!({"env": {"TOKEN": "hunter2"}, "files": {"key.pem": "aHVudGVyMw=="}}))
        .unwrap()
}

#[test]
fn what_is_sealed_is_opened_by_the_service_alone() {
    let (owner, service, other) = (Keys::generate(), Keys::generate(), Keys::generate());
    let sealed = secrets().seal(owner.secret_key(), &service.public_key()).unwrap();
    assert_eq!(sealed.open(service.secret_key(), &owner.public_key()).unwrap(), secrets());
    let text = serde_json::to_string(&sealed).unwrap();
    assert!(!text.contains("hunter") && !text.contains("TOKEN"), "{text}");
    for (to, from) in [(&other, &owner), (&service, &other)] {
        let refused = sealed.open(to.secret_key(), &from.public_key()).unwrap_err();
        assert_eq!(refused.code, Code::SecretsInvalid);
    }
}

#[test]
fn secrets_become_files_and_variables_that_name_them() {
    let secrets = secrets();
    let contents: Vec<_> = secrets.contents().collect();
    assert_eq!(contents, [("TOKEN", &b"hunter2"[..]), ("key.pem", b"hunter3")]);
    let variables: Vec<_> = secrets.variables().collect();
    assert_eq!(variables, [("TOKEN_FILE".to_owned(), "/run/enclaved/secrets/TOKEN".to_owned())]);
    assert_eq!(format!("{secrets:?}"), r#"Secrets { env: ["TOKEN"], files: ["key.pem"] }"#);
}

#[test]
fn hmacs_depend_on_salt_name_and_content() {
    let hmacs = secrets().hmacs(&Salt::new([1; 32]));
    assert_eq!(hmacs.keys().collect::<Vec<_>>(), ["TOKEN", "key.pem"]);
    assert_eq!(hmacs["TOKEN"], Salt::new([1; 32]).hmac("TOKEN", "hunter2"));
    assert_ne!(hmacs, secrets().hmacs(&Salt::new([2; 32])));
    let mut other = secrets();
    other.env.insert("TOKEN".into(), "hunter4".into());
    assert_ne!(other.hmacs(&Salt::new([1; 32]))["TOKEN"], hmacs["TOKEN"]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let refused = |value: serde_json::Value| {
        let secrets: Secrets = serde_json::from_value(value).unwrap();
        let failure = secrets.check().unwrap_err();
        assert!(!failure.message.contains("hunter"), "{failure}");
        failure.code
    };
    for name in ["", ".", "..", ".new", "../x", "a/b", "/etc/passwd", "a b", "a\n", &"a".repeat(129)] {
        assert_eq!(refused(json!({"files": {name: "aHVudGVyMg=="}})), Code::SecretsInvalid, "{name:?}");
    }
    for name in ["", "1A", "A-B", "A/B", "ENCLAVED_TOKEN", "A=B"] {
        assert_eq!(refused(json!({"env": {name: "hunter2"}})), Code::EnvInvalid, "{name:?}");
    }
    assert_eq!(refused(json!({"env": {"A": "hunter2"}, "files": {"A": ""}})), Code::SecretsInvalid);
    let long = "x".repeat(SECRETS_BYTES_MAX);
    assert_eq!(refused(json!({"env": {"A": long}})), Code::SecretsInvalid);
    let many: BTreeMap<_, _> = (0..=SECRETS_MAX).map(|n| (format!("A{n}"), "")).collect();
    assert_eq!(refused(json!({"env": many})), Code::SecretsInvalid);
}

#[test]
fn variable_in_clear_does_not_take_a_secrets_place() {
    let env = |name: &str| BTreeMap::from([(name.to_owned(), "x".to_owned())]);
    for name in ["TOKEN", "TOKEN_FILE"] {
        assert_eq!(check_beside(&secrets(), &env(name)).unwrap_err().code, Code::EnvInvalid);
    }
    assert!(check_beside(&secrets(), &env("key.pem")).is_ok());
}

#[test]
fn account_at_the_registry_is_checked_and_reaches_neither_container_nor_manifest() {
    let login = |username: &str, password: &str, realm: Option<&str>| -> Secrets {
        let registry =
            json!({"host": "r.example:5000", "username": username, "password": password, "realm": realm});
        serde_json::from_value(json!({"registry": registry})).unwrap()
    };
    let good = login("me", "hunter2", Some("auth.example:5000"));
    assert!(good.check().is_ok() && !good.is_empty());
    assert_eq!((good.contents().count(), good.hmacs(&Salt::new([1; 32])).len()), (0, 0));
    assert!(!format!("{:?} {good:?}", good.registry).contains("hunter2"));
    let long = "x".repeat(5_000);
    for (username, password, realm) in [
        ("", "hunter2", None),
        ("me:you", "hunter2", None),
        ("me\n", "hunter2", None),
        ("me", "", None),
        ("me", "hunter2\r\nX: y", None),
        ("me", &long, None),
        ("me", "hunter2", Some("")),
        ("me", "hunter2", Some("https://auth.example")),
        ("me", "hunter2", Some("auth.example/token")),
    ] {
        let failure = login(username, password, realm).check().unwrap_err();
        assert_eq!(failure.code, Code::SecretsInvalid, "{username:?} {realm:?}");
        assert!(!failure.message.contains("hunter2"), "{failure}");
    }
}

#[test]
fn account_names_its_registry() {
    let read = |host: Option<&str>| -> Result<Secrets, String> {
        let mut registry = json!({"username": "me", "password": "hunter2"});
        if let Some(host) = host {
            registry["host"] = json!(host);
        }
        let secrets: Secrets =
            serde_json::from_value(json!({"registry": registry})).map_err(|e| e.to_string())?;
        secrets.check().map(|()| secrets).map_err(|failure| failure.message)
    };
    for bad in [None, Some(""), Some("https://r.example"), Some("r.example/team"), Some("r.example ")] {
        let refused = read(bad).unwrap_err();
        assert!(refused.contains("host") && !refused.contains("hunter2"), "{bad:?}: {refused}");
    }
    let login = read(Some("r.example:5000")).unwrap().registry.clone().unwrap();
    assert!(login.is_at("r.example:5000") && login.is_at("R.example:5000"));
    for other in ["r.example", "r.example:5001", "a.r.example:5000", "example:5000", ""] {
        assert!(!login.is_at(other), "{other}");
    }
}
