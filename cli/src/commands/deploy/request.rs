//! What a launch asks for, from the command line.

use std::collections::BTreeMap;
use std::path::Path;

use protocol::manifest::Salt;
use protocol::rpc::enclaved::LaunchParams;
use protocol::secrets::{RegistryLogin, Secrets};
use protocol::statement::Base64;
use serde_json::{Value, json};
use service::SecretRef;

use crate::args::{Deploy, RegistryAccount, Unseen};
use crate::error::Failure;
use crate::image::{DOCKER_HUB, ImageName};
use crate::{key, secrets};

/// The parameters of the launch, with a salt of our own. They are judged by the rules of the launch
/// itself, before anything is sent.
///
/// # Errors
/// With the launch's own codes: `units_invalid`, `env_invalid`, `params_invalid` and so on.
pub(super) fn params(args: &Deploy) -> Result<LaunchParams, Failure> {
    let mut fields = json!({
        "docker": args.image,
        "units": number(&args.units),
        "env": environment(&args.env)?,
        "ports": args.port.iter().map(|port| number(port)).collect::<Vec<_>>(),
        "volumes": args.volume,
        "egress": args.egress,
        "upgrade": args.upgrade,
        "exec": args.exec,
        "salt": Salt::new(key::random()?),
    });
    if let Some(name) = &args.name {
        fields["name"] = Value::from(name.as_str());
    }
    if !args.args.is_empty() {
        fields["args"] = Value::from(args.args.clone());
    }
    LaunchParams::parse(&fields).map_err(|failure| Failure::from(failure).into_usage())
}

/// A number if it is one; the launch's rules say what is wrong with anything else.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

/// The variables that were given.
///
/// # Errors
/// `usage` or `secret_unreadable`.
pub(crate) fn environment(given: &[Unseen]) -> Result<BTreeMap<String, String>, Failure> {
    let mut environment = BTreeMap::new();
    for given in given {
        let (name, value) = variable(&given.0)?;
        if environment.insert(name.clone(), value).is_some() {
            return Err(Failure::usage("usage", format!("--env gives {name} twice; give it once")));
        }
    }
    Ok(environment)
}

/// What only the container is to see, and how the server is admitted to its image's registry.
///
/// # Errors
/// As [`hidden`].
pub(super) fn hidden_of_launch(args: &Deploy) -> Result<Secrets, Failure> {
    let mut hidden = hidden(&args.secret, &args.secret_file)?;
    hidden.registry = login(&args.account, &args.image)?;
    hidden.check()?;
    Ok(hidden)
}

/// The account that was given, at the registry of this image.
///
/// # Errors
/// `usage` or `secret_unreadable`.
pub(crate) fn login(account: &RegistryAccount, image: &str) -> Result<Option<RegistryLogin>, Failure> {
    let (Some(username), Some(place)) = (&account.registry_user, &account.registry_password) else {
        return Ok(None);
    };
    let option = "--registry-password";
    let password = secrets::read(option, &secrets::place(option, &place.0)?)?;
    // A file ends with a line break that belongs to no password.
    let password = password.expose().trim_end().to_owned();
    let host = ImageName::of(image).registry().to_owned();
    let realm = account.registry_realm.clone().or_else(|| token_host(&host));
    Ok(Some(RegistryLogin { host, username: username.clone(), password, realm }))
}

/// Docker's own registry has its tokens handed out by a host of another name.
fn token_host(registry: &str) -> Option<String> {
    (registry == DOCKER_HUB).then(|| "auth.docker.io".to_owned())
}

/// What only the container is to see. It is checked by the rules of the launch, and sealed later, when it
/// is known to whom.
///
/// # Errors
/// `usage`, `secret_unreadable`, or with the launch's own codes.
pub(crate) fn hidden(variables: &[Unseen], files: &[Unseen]) -> Result<Secrets, Failure> {
    let mut hidden = Secrets::default();
    for given in variables {
        let (name, value) = secret(&given.0)?;
        if hidden.env.insert(name.clone(), value).is_some() {
            return Err(Failure::usage("usage", format!("--secret gives {name} twice; give it once")));
        }
    }
    for given in files {
        let form = || Failure::usage("usage", "--secret-file: give a file as NAME@FILE");
        let (name, path) =
            given.0.split_once('@').filter(|(n, p)| !n.is_empty() && !p.is_empty()).ok_or_else(form)?;
        let content = Base64(crate::files::read(Path::new(path))?);
        if hidden.files.insert(name.to_owned(), content).is_some() {
            return Err(Failure::usage("usage", format!("--secret-file gives {name} twice; give it once")));
        }
    }
    hidden.check()?;
    Ok(hidden)
}

/// Reads `K@FILE` or `K=env:NAME`: a secret never stands on a command line.
fn secret(given: &str) -> Result<(String, String), Failure> {
    let is_place = given
        .find(['=', '@'])
        .is_some_and(|at| given[at..].starts_with('@') || given[at..].starts_with("=env:"));
    if !is_place {
        return Err(Failure::usage("usage", "--secret: say where it is, K@FILE or K=env:NAME"));
    }
    variable(given)
}

/// Reads `K=V`, `K@FILE` or `K=env:NAME`. No error repeats a value.
fn variable(given: &str) -> Result<(String, String), Failure> {
    let form = || Failure::usage("usage", "--env: give a variable as K=V, K@FILE or K=env:NAME");
    let at = given.find(['=', '@']).filter(|at| *at > 0).ok_or_else(form)?;
    let (name, rest) = given.split_at(at);
    let option = format!("--env {name}");
    let place = match (rest.strip_prefix('@'), rest.strip_prefix("=env:")) {
        (Some(""), _) | (_, Some("")) => return Err(form()),
        (Some(path), _) => SecretRef::File(path.into()),
        (None, Some(variable)) => SecretRef::Env(variable.to_owned()),
        (None, None) => return Ok((name.to_owned(), rest.get(1..).unwrap_or_default().to_owned())),
    };
    Ok((name.to_owned(), secrets::read(&option, &place)?.expose().to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(line: &[&str]) -> Deploy {
        let words = ["encli", "deploy"].iter().chain(line);
        let Command::Deploy(deploy) = Cli::try_parse_from(words).unwrap().command else { panic!("{line:?}") };
        *deploy
    }

    #[track_caller]
    fn refused(line: &[&str], code: &str, exit: u8) {
        let failure = params(&parse(line)).unwrap_err();
        assert_eq!((failure.code(), failure.exit().code()), (code, exit), "{failure}");
        assert!(!failure.message().contains("hunter2"), "{failure}");
    }

    #[test]
    fn everything_that_was_asked_is_in_the_launch() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "from a file\n").unwrap();
        let from_file = format!("TOKEN@{}", file.display());
        let params = params(&parse(&[
            "r.example/a:1",
            "--units",
            "3",
            "--name",
            "mine",
            "--env",
            "A=b=c@d",
            "--env",
            &from_file,
            "--env",
            "HERE=env:PATH",
            "--port",
            "8080",
            "--port",
            "80",
            "--volume",
            "/data",
            "--egress",
            "none",
            "--",
            "serve",
            "--env",
            "x",
        ]))
        .unwrap();
        assert_eq!((params.docker.as_str(), params.units.get()), ("r.example/a:1", 3));
        assert_eq!(params.name.as_deref(), Some("mine"));
        assert_eq!(params.env["A"], "b=c@d");
        assert_eq!(params.env["TOKEN"], "from a file");
        assert!(!params.env["HERE"].is_empty());
        assert_eq!(params.ports, [8080, 80]);
        assert_eq!(params.volumes, ["/data"]);
        assert_eq!(params.args.unwrap(), ["serve", "--env", "x"]);
        assert!(params.salt.is_some() && params.logs);
    }

    #[test]
    fn salt_is_new_each_time_and_args_are_the_images_own_unless_given() {
        let (a, b) = (params(&parse(&["a"])).unwrap(), params(&parse(&["a"])).unwrap());
        assert_ne!(a.salt.unwrap().hmac("K", "v"), b.salt.unwrap().hmac("K", "v"));
        assert_eq!((a.args, a.units.get(), a.env.len()), (None, 1, 0));
    }

    #[test]
    fn faults_have_the_codes_of_the_launch() {
        for units in ["0", "51", "abc", "1e9", "1000000000", "1.5"] {
            refused(&["a", "--units", units], "units_invalid", 64);
        }
        refused(&["a", "--port", "0"], "params_invalid", 64);
        refused(&["a", "--port", "x"], "params_invalid", 64);
        refused(&["a", "--port", "70000"], "params_invalid", 64);
        refused(&["a", "--volume", "data"], "params_invalid", 64);
        refused(&["a", "--egress", "some"], "egress_unsupported", 64);
        refused(&["a", "--upgrade", "sometimes"], "upgrade_unsupported", 64);
        refused(&["a", "--env", "1A=hunter2"], "env_invalid", 64);
        refused(&["a", "--env", "A=hunter2\nB=c"], "env_invalid", 64);
        refused(&["a", "--env", "ENCLAVED_TOKEN=hunter2"], "env_invalid", 64);
    }

    #[test]
    fn secrets_are_read_from_where_they_are_and_never_from_the_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "hunter2\n").unwrap();
        let (token, raw) = (format!("TOKEN@{}", file.display()), format!("raw.bin@{}", file.display()));
        let parsed = parse(&["a", "--secret", &token, "--secret-file", &raw]);
        let hidden = hidden(&parsed.secret, &parsed.secret_file).unwrap();
        assert_eq!(
            (hidden.env["TOKEN"].as_str(), hidden.files["raw.bin"].0.as_slice()),
            ("hunter2", &b"hunter2\n"[..])
        );
        assert!(params(&parsed).unwrap().env.is_empty());
        let refused = |line: &[&str], code: &str| {
            let parsed = parse(line);
            let failure = super::hidden(&parsed.secret, &parsed.secret_file).unwrap_err();
            assert_eq!(failure.code(), code, "{line:?}: {failure}");
            assert!(!failure.message().contains("hunter2"), "{failure}");
        };
        for bad in ["TOKEN=hunter2", "hunter2", "TOKEN@", "=env:hunter2"] {
            refused(&["a", "--secret", bad], "usage");
        }
        refused(&["a", "--secret", "A@/nowhere/at/all"], "secret_unreadable");
        refused(&["a", "--secret", &token, "--secret", &token], "usage");
        refused(&["a", "--secret-file", "hunter2"], "usage");
        refused(&["a", "--secret-file", &raw.replace("raw.bin", "../raw")], "secrets_invalid");
        refused(&["a", "--secret", &token.replace("TOKEN", "ENCLAVED_X")], "env_invalid");
    }

    #[test]
    fn variables_must_have_a_form_and_a_source() {
        for bad in ["hunter2", "=hunter2", "@hunter2", "", "A@", "A=env:"] {
            refused(&["a", "--env", bad], "usage", 64);
        }
        refused(&["a", "--env", "A=1", "--env", "A=hunter2"], "usage", 64);
        refused(&["a", "--env", "A@/nowhere/at/all"], "secret_unreadable", 64);
        refused(&["a", "--env", "A=env:ENCLI_NO_SUCH_VARIABLE"], "secret_unreadable", 64);
    }
}
