//! What a launch asks for, from the command line.

use std::collections::BTreeMap;

use protocol::manifest::Salt;
use protocol::rpc::enclaved::LaunchParams;
use serde_json::{Value, json};
use service::SecretRef;

use crate::args::Deploy;
use crate::error::Failure;
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
        "env": environment(args)?,
        "ports": args.port.iter().map(|port| number(port)).collect::<Vec<_>>(),
        "volumes": args.volume,
        "egress": args.egress,
        "upgrade": args.upgrade,
        "salt": Salt::new(key::random()?),
    });
    if let Some(name) = &args.name {
        fields["name"] = Value::from(name.as_str());
    }
    if !args.args.is_empty() {
        fields["args"] = Value::from(args.args.clone());
    }
    Ok(LaunchParams::parse(&fields)?)
}

/// A number if it is one; the launch's rules say what is wrong with anything else.
fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| Value::from(text), Value::from)
}

fn environment(args: &Deploy) -> Result<BTreeMap<String, String>, Failure> {
    let mut environment = BTreeMap::new();
    for given in &args.env {
        let (name, value) = variable(&given.0)?;
        if environment.insert(name.clone(), value).is_some() {
            return Err(Failure::usage("usage", format!("--env gives {name} twice; give it once")));
        }
    }
    Ok(environment)
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
            refused(&["a", "--units", units], "units_invalid", 1);
        }
        refused(&["a", "--port", "0"], "params_invalid", 1);
        refused(&["a", "--port", "x"], "params_invalid", 1);
        refused(&["a", "--port", "70000"], "params_invalid", 1);
        refused(&["a", "--volume", "data"], "params_invalid", 1);
        refused(&["a", "--egress", "some"], "egress_unsupported", 1);
        refused(&["a", "--upgrade", "auto"], "upgrade_unsupported", 1);
        refused(&["a", "--env", "1A=hunter2"], "env_invalid", 1);
        refused(&["a", "--env", "A=hunter2\nB=c"], "env_invalid", 1);
        refused(&["a", "--env", "ENCLAVED_TOKEN=hunter2"], "env_invalid", 1);
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
