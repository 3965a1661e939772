//! `deploy IMAGE …`.

use serde_json::{Map, Value, json};

use super::words::{Words, closing};
use super::{ParseError, shown};
use crate::manifest::{Egress, Upgrade};
use crate::rpc::enclaved::LaunchParams;

/// The words that begin a part, and the parts.
const PARTS: [(&str, &str); 12] = [
    ("units", "units"),
    ("unit", "units"),
    ("name", "name"),
    ("env", "env"),
    ("port", "ports"),
    ("ports", "ports"),
    ("volume", "volumes"),
    ("volumes", "volumes"),
    ("egress", "egress"),
    ("upgrade", "upgrade"),
    ("logs", "logs"),
    ("exec", "exec"),
];

/// Longest sentence about a launch that cannot be, in characters.
const REFUSAL_CHARS_MAX: usize = 600;
/// Units of a launch that does not say.
const UNITS: u32 = 1;

pub(super) fn parse(mut words: Words) -> Result<LaunchParams, ParseError> {
    let Some(image) = words.next() else {
        return Err(ParseError::wrong("say which image: deploy IMAGE, for example deploy ghcr.io/you/app:1"));
    };
    let mut params =
        Map::from_iter([("docker".to_owned(), json!(image)), ("units".to_owned(), json!(UNITS))]);
    let mut given = Vec::new();
    while let Some(word) = words.next() {
        let part = word.to_lowercase();
        if part == "args" || part == "--" {
            params.insert("args".to_owned(), json!(words.rest()));
            break;
        }
        let Some((_, name)) = PARTS.iter().find(|(known, _)| *known == part) else {
            let message = format!(
                "{:?} is not a part of a launch; there are units, name, env, port, volume, egress, upgrade, \
                 logs, exec and args",
                shown(&word)
            );
            return Err(ParseError::wrong(message));
        };
        let name = *name;
        // `env` may come again, as people write one per line; what has one value has one.
        if !matches!(name, "env" | "ports" | "volumes") && given.contains(&name) {
            return Err(ParseError::wrong(format!("{part} is given twice")));
        }
        given.push(name);
        read_part(name, &mut words, &mut params)?;
    }
    LaunchParams::parse(&Value::Object(params)).map_err(|mut failure| {
        // It may repeat a word, which may be the whole message.
        failure.message = failure.message.chars().take(REFUSAL_CHARS_MAX).collect();
        ParseError::Wrong(failure)
    })
}

fn read_part(
    name: &'static str,
    words: &mut Words,
    params: &mut Map<String, Value>,
) -> Result<(), ParseError> {
    match name {
        "units" => {
            let units: u64 = number(name, words)?;
            params.insert(name.to_owned(), json!(units));
        }
        "env" => {
            let variables =
                many(words, |word| word.split_once('=').is_some_and(|(name, _)| !name.is_empty()));
            if variables.is_empty() {
                return Err(ParseError::wrong("env: write NAME=VALUE, with quotes around spaces"));
            }
            let env = params.entry("env").or_insert_with(|| json!({}));
            for variable in variables {
                let (name, value) = variable.split_once('=').unwrap_or_default();
                if env.get(name).is_some() {
                    return Err(ParseError::wrong(format!("env: {} is given twice", shown(name))));
                }
                env[name] = json!(value);
            }
        }
        "ports" => {
            let ports = many(words, |word| word.parse::<u16>().is_ok());
            let ports: Vec<u16> = ports.iter().filter_map(|port| port.parse().ok()).collect();
            append(name, "port: write a number from 1 to 65535", params, ports)?;
        }
        "volumes" => {
            let paths = many(words, |word| word.starts_with('/'));
            append(name, "volume: write a path that begins with /", params, paths)?;
        }
        "logs" | "exec" => {
            let on = match next(name, words)?.to_lowercase().as_str() {
                "on" | "yes" | "true" => true,
                "off" | "no" | "false" => false,
                _ => return Err(ParseError::wrong(format!("{name}: write on or off"))),
            };
            params.insert(name.to_owned(), json!(on));
        }
        // A name is shown as it is written; policies are words of ours.
        "name" => {
            params.insert(name.to_owned(), json!(next(name, words)?));
        }
        _ => {
            params.insert(name.to_owned(), json!(next(name, words)?.to_lowercase()));
        }
    }
    Ok(())
}

/// The message that asks for this launch. Its secrets and its salt, which no message carries, are left out.
#[must_use]
pub fn write(launch: &LaunchParams) -> String {
    let mut words = vec!["deploy".to_owned(), quoted(&launch.docker)];
    let mut part = |name: &str, values: &mut dyn Iterator<Item = String>| {
        let mut values = values.peekable();
        if values.peek().is_some() {
            words.push(name.to_owned());
            words.extend(values);
        }
    };
    let one = |value: Option<&str>| value.map(quoted).into_iter();
    part("units", &mut one(Some(&launch.units.get().to_string())));
    part("name", &mut one(launch.name.as_deref()));
    part("env", &mut launch.env.iter().map(|(name, value)| format!("{name}={}", quoted(value))));
    part("port", &mut launch.ports.iter().map(u16::to_string));
    part("volume", &mut launch.volumes.iter().map(|path| quoted(path)));
    let egress = match launch.egress {
        Egress::All => None,
        Egress::None => Some("none"),
    };
    part("egress", &mut one(egress));
    part("upgrade", &mut one(Some(launch.upgrade.as_str()).filter(|_| launch.upgrade != Upgrade::None)));
    part("logs", &mut one((!launch.logs).then_some("off")));
    part("exec", &mut one(launch.exec.then_some("on")));
    if let Some(args) = &launch.args {
        words.push("args".to_owned());
        words.extend(args.iter().map(|arg| quoted(arg)));
    }
    words.join(" ")
}

/// A word so that it is read as one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| !c.is_whitespace() && closing(c).is_none();
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    // Each kind of quotes keeps all but itself together.
    let parts: Vec<_> = word.split('"').map(|part| format!("\"{part}\"")).collect();
    parts.join("'\"'")
}

fn next(name: &str, words: &mut Words) -> Result<String, ParseError> {
    words.next().ok_or_else(|| ParseError::wrong(format!("{name}: say what")))
}

fn number<T: std::str::FromStr>(name: &str, words: &mut Words) -> Result<T, ParseError> {
    let word = next(name, words)?;
    word.parse().map_err(|_| ParseError::wrong(format!("{name}: {:?} is not a whole number", shown(&word))))
}

/// The words that follow and fit.
fn many(words: &mut Words, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    while words.peek().is_some_and(&fits) {
        found.extend(words.next());
    }
    found
}

fn append<T: serde::Serialize>(
    field: &str,
    remedy: &str,
    params: &mut Map<String, Value>,
    values: Vec<T>,
) -> Result<(), ParseError> {
    if values.is_empty() {
        return Err(ParseError::wrong(remedy));
    }
    if let Value::Array(list) = params.entry(field).or_insert_with(|| json!([])) {
        list.extend(values.into_iter().map(|value| json!(value)));
    }
    Ok(())
}
