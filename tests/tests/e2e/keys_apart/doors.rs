//! Every way in.

use anyhow::{Result, bail};
use devnet::world::World;
use relay::rpc::RpcError;
use serde_json::Value;

use crate::doors::http::Http;
use crate::doors::letters::Letters;
use crate::stranger::{SOON, Stranger};

/// A way in.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Door {
    Rpc,
    Http,
    Message,
}

impl Door {
    pub(super) const ALL: [Self; 3] = [Self::Rpc, Self::Http, Self::Message];

    /// Whether a method can be asked for by it.
    pub(super) fn has(self, method: &str) -> bool {
        match self {
            Self::Rpc => !matches!(method, "watch" | "follow"),
            Self::Http => method != "ping",
            Self::Message => message(method, "", &Value::Null).is_some(),
        }
    }
}

/// What was answered.
pub(super) struct Said {
    pub(super) text: String,
    /// Why it was refused, if it was.
    pub(super) code: Option<String>,
}

/// All of them, for one key.
pub(super) struct Doors {
    rpc: relay::rpc::RpcClient,
    http: Http,
    letters: Letters,
}

impl Doors {
    pub(super) async fn open(world: &World, who: &Stranger) -> Result<Self> {
        let rpc = world.rpc(&who.keys).await?;
        Ok(Self { rpc, http: Http::new(world, who), letters: Letters::open(world, who).await? })
    }

    /// Asks for one method; nothing, if this way does not have it.
    pub(super) async fn ask(
        &mut self,
        door: Door,
        method: &str,
        params: &Value,
        id: &str,
    ) -> Result<Option<Said>> {
        if !door.has(method) {
            return Ok(None);
        }
        let key = params["pubkey"].as_str().unwrap_or_default();
        Ok(Some(match door {
            Door::Rpc => match self.rpc.call_as::<Value>(id, method, params, SOON).await {
                Ok(value) => Said { text: value.to_string(), code: None },
                Err(RpcError::Refused(refusal)) => {
                    Said { text: refusal.message.clone(), code: Some(refusal.code) }
                }
                Err(other) => bail!("{method}: {other}"),
            },
            Door::Http => {
                let (path, is_get) = path(method, key);
                let (status, value) = if is_get {
                    self.http.get(&path).await?
                } else {
                    let mut body = params.clone();
                    body.as_object_mut().map(|fields| fields.remove("pubkey"));
                    self.http.post(&path, &body, Some(id)).await?
                };
                let code = value["error"]["code"].as_str().map(str::to_owned);
                anyhow::ensure!((status == 200) == code.is_none(), "{path}: {status} {value}");
                Said { text: value.to_string(), code }
            }
            Door::Message => {
                let text = self.letters.say(&message(method, key, params).unwrap_or_default()).await?;
                let code =
                    text.strip_suffix(']').and_then(|text| text.rsplit_once('[')).map(|(_, code)| code);
                let code = code.filter(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
                Said { code: code.map(str::to_owned), text }
            }
        }))
    }
}

/// Where a method is over HTTP, and whether it is asked for by GET.
fn path(method: &str, key: &str) -> (String, bool) {
    let of = |what: &str| format!("/v1/containers/{key}{what}");
    match method {
        "price" => ("/v1/price".to_owned(), true),
        "quote" => ("/v1/quotes".to_owned(), false),
        "launch" => ("/v1/containers".to_owned(), false),
        "list" => ("/v1/containers".to_owned(), true),
        "status" => (of(""), true),
        "follow" => (of("/logs/follow"), true),
        "set_env" => (of("/env"), false),
        "logs" | "stats" | "events" | "receipts" | "upgrades" | "watch" | "info" => {
            (of(&format!("/{method}")), true)
        }
        _ => (of(&format!("/{method}")), false),
    }
}

/// How a method is asked for in a message.
fn message(method: &str, key: &str, params: &Value) -> Option<String> {
    let image = params["docker"].as_str().unwrap_or_default();
    Some(match method {
        "price" | "list" => method.to_owned(),
        "launch" => format!("deploy {image}"),
        "info" => format!("verify {key}"),
        "topup" => format!("topup 5 on {key}"),
        "logs" => format!("logs 20 on {key}"),
        "upgrade" => format!("upgrade {image} on {key}"),
        "status" | "pause" | "resume" | "terminate" => format!("{method} {key}"),
        _ => return None,
    })
}
