//! The parent API: what the enclave asks of the host that it does not trust.
//!
//! Frames on the control port: 4-byte big-endian length, then JSON. Requests carry an id, replies
//! repeat it; the parent pushes events without one.

pub mod backup;

use nostr::event::Event;
use serde::{Deserialize, Serialize};

use self::backup::InstanceId;

/// Longest frame, in bytes. The largest message is an answer to `get_meta` with its release events.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// From the enclave.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Request {
    /// Chosen by the enclave.
    pub id: u64,
    /// What it wants.
    #[serde(flatten)]
    pub call: Call,
}

/// What the enclave wants.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "method", content = "params", rename_all = "snake_case")]
pub enum Call {
    /// The events that vouch for this build and machine, for the attestation document given.
    GetMeta {
        /// The raw document, base64.
        attestation: String,
    },
    /// The address at which the parent is reached from outside.
    GetIp,
    /// Whether the parent holds backups of an instance.
    HasBackup {
        /// Whose.
        instance: InstanceId,
    },
    /// A line for the operator's log.
    Log {
        /// The line.
        message: String,
    },
}

/// From the parent.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// Answers a request.
    Reply {
        /// The request's id.
        id: u64,
        /// What came of it.
        #[serde(flatten)]
        outcome: Outcome,
    },
    /// Pushed.
    Push {
        /// What happened.
        event: Push,
    },
}

/// What came of a request.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It worked.
    Result(serde_json::Value),
    /// It did not.
    Error(String),
}

/// What the parent pushes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Push {
    /// The enclave is about to be stopped.
    Shutdown {
        /// Seconds until it will be killed.
        deadline_secs: u64,
    },
}

/// Answer to `get_meta`. Every event in it is checked by the enclave against its own document.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Meta {
    /// Builder's signature, kind 23794.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Event>,
    /// Launcher's signature, kind 23795.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Event>,
    /// Launcher's permission of a fresh start, kind 23796. It names the record for good: it stays where
    /// it is for as long as the record is to be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub genesis: Option<Event>,
    /// Maintainers' signatures of this release, kind 63794.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<Event>,
    /// Relays to announce on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<String>,
    /// The operator calls this a production instance.
    #[serde(default)]
    pub prod: bool,
}

/// Answer to `get_ip`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct IpAddress {
    /// The address.
    pub ip: std::net::IpAddr,
}

/// Answer to `has_backup`. A hint for the operator's log and no more: a parent that says "none" while
/// a head exists hides it, and is not believed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BackupHint {
    /// The parent holds at least one committed generation.
    pub has_backup: bool,
    /// The newest it knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_pinned() {
        let check = |value: serde_json::Value, text: &str| assert_eq!(value.to_string(), text);
        let request = Request { id: 1, call: Call::Log { message: "hi".into() } };
        check(serde_json::to_value(request).unwrap(), r#"{"id":1,"method":"log","params":{"message":"hi"}}"#);
        let push = Message::Push { event: Push::Shutdown { deadline_secs: 30 } };
        check(serde_json::to_value(push).unwrap(), r#"{"event":{"deadline_secs":30,"type":"shutdown"}}"#);
        let reply = Message::Reply { id: 1, outcome: Outcome::Error("no".into()) };
        check(serde_json::to_value(reply).unwrap(), r#"{"error":"no","id":1}"#);
        let ip: Request = serde_json::from_str(r#"{"id":2,"method":"get_ip"}"#).unwrap();
        assert!(matches!(ip.call, Call::GetIp));
        let has = Request { id: 3, call: Call::HasBackup { instance: InstanceId([0xab; 16]) } };
        check(
            serde_json::to_value(has).unwrap(),
            r#"{"id":3,"method":"has_backup","params":{"instance":"abababababababababababababababab"}}"#,
        );
        let hint = BackupHint { has_backup: true, generation: Some(7) };
        check(serde_json::to_value(hint).unwrap(), r#"{"generation":7,"has_backup":true}"#);
    }
}
