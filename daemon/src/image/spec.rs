//! The configuration blob of an image (OCI image specification 1.1, `config.md`): what the image runs,
//! and the digests of its unpacked layers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

use super::digest::Digest;
use super::error::{ResolveError, shown};
use super::limits::Platform;
use super::strict_json;

const PART: &str = "configuration";

/// What the image's author set. Every text in it is a stranger's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ImageSpec {
    /// Variables, `NAME=value`.
    pub env: Vec<String>,
    /// The program that runs, and its first arguments.
    pub entrypoint: Vec<String>,
    /// The arguments that a launch may replace.
    pub cmd: Vec<String>,
    /// Ports that the image says it listens on.
    pub exposed_ports: BTreeSet<ExposedPort>,
    /// The user to run as: name or number, with group or without. Empty means root.
    pub user: String,
    /// The directory to start in. Empty means `/`.
    pub working_dir: String,
    /// Paths that the image declares as volumes. The engine makes an anonymous volume, of no limited
    /// size, for each of them that nothing is mounted on.
    pub volumes: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A port of a container.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ExposedPort {
    /// The number, not zero.
    pub port: u16,
    /// The protocol.
    pub protocol: PortProtocol,
}

/// What a port speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum PortProtocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            PortProtocol::Tcp => "tcp",
            PortProtocol::Udp => "udp",
            PortProtocol::Sctp => "sctp",
        };
        write!(f, "{}/{protocol}", self.port)
    }
}

impl FromStr for ExposedPort {
    type Err = ();

    /// `80`, `80/tcp`, `53/udp`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (digits, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let protocol = match protocol {
            "tcp" => PortProtocol::Tcp,
            "udp" => PortProtocol::Udp,
            "sctp" => PortProtocol::Sctp,
            _ => return Err(()),
        };
        match digits.parse() {
            Ok(port @ 1..) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(Self { port, protocol }),
            _ => Err(()),
        }
    }
}

/// A configuration that fits a platform and a number of layers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ImageConfig {
    pub(crate) spec: ImageSpec,
    /// Digest of each unpacked layer, from the lowest.
    pub(crate) diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Raw {
    os: String,
    architecture: String,
    rootfs: RawRootfs,
    config: Option<RawSettings>,
}

#[derive(Deserialize)]
struct RawRootfs {
    r#type: String,
    diff_ids: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawSettings {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    exposed_ports: Option<BTreeMap<String, Value>>,
    user: Option<String>,
    working_dir: Option<String>,
    volumes: Option<BTreeMap<String, Value>>,
    labels: Option<BTreeMap<String, Option<String>>>,
}

const FIELDS: [&str; 4] = ["os", "architecture", "rootfs", "config"];
const ROOTFS_FIELDS: [&str; 2] = ["type", "diff_ids"];
const SETTINGS_FIELDS: [&str; 8] =
    ["Env", "Entrypoint", "Cmd", "ExposedPorts", "User", "WorkingDir", "Volumes", "Labels"];

impl ImageConfig {
    /// Reads the configuration of an image with `layers` layers.
    ///
    /// # Errors
    /// `Json` or `Malformed`, and `Platform` if the image is made for another machine than `wanted`.
    pub(crate) fn parse(bytes: &[u8], layers: usize, wanted: &Platform) -> Result<Self, ResolveError> {
        let json = |source| ResolveError::Json { part: PART, source };
        let document = strict_json::parse(bytes).map_err(json)?;
        refuse_lookalikes(&document)?;
        let raw: Raw = serde_json::from_value(document).map_err(json)?;
        if raw.os != wanted.os || raw.architecture != wanted.architecture {
            let found = shown(&format!("{}/{}", raw.os, raw.architecture));
            return Err(ResolveError::Platform { wanted: wanted.clone(), found });
        }
        if raw.rootfs.r#type != "layers" {
            return malformed("its rootfs.type is not `layers`");
        }
        if raw.rootfs.diff_ids.len() != layers {
            return malformed("its rootfs.diff_ids are not as many as the layers");
        }
        let diff_ids = raw.rootfs.diff_ids.iter().map(|text| text.parse()).collect::<Result<_, _>>();
        let Ok(diff_ids) = diff_ids else { return malformed("one of its rootfs.diff_ids is not a digest") };
        Ok(Self { spec: ImageSpec::try_from(raw.config.unwrap_or_default())?, diff_ids })
    }
}

fn refuse_lookalikes(document: &Value) -> Result<(), ResolveError> {
    let objects = [
        (Some(document), &FIELDS[..]),
        (document.get("rootfs"), &ROOTFS_FIELDS),
        (document.get("config"), &SETTINGS_FIELDS),
    ];
    for (object, fields) in objects {
        if object.and_then(Value::as_object).is_some_and(|it| strict_json::has_lookalike(it, fields)) {
            return malformed("it has a field that differs from a known one only by case");
        }
    }
    Ok(())
}

impl TryFrom<RawSettings> for ImageSpec {
    type Error = ResolveError;

    fn try_from(raw: RawSettings) -> Result<Self, ResolveError> {
        let ports = raw.exposed_ports.unwrap_or_default();
        let Ok(exposed_ports) = ports.keys().map(|text| text.parse()).collect() else {
            return malformed("one of its ExposedPorts is not a port");
        };
        let labels = raw.labels.unwrap_or_default();
        Ok(Self {
            env: raw.env.unwrap_or_default(),
            entrypoint: raw.entrypoint.unwrap_or_default(),
            cmd: raw.cmd.unwrap_or_default(),
            exposed_ports,
            user: raw.user.unwrap_or_default(),
            working_dir: raw.working_dir.unwrap_or_default(),
            volumes: raw.volumes.unwrap_or_default().into_keys().collect(),
            labels: labels.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect(),
        })
    }
}

const fn malformed<T>(problem: &'static str) -> Result<T, ResolveError> {
    Err(ResolveError::Malformed { part: PART, problem })
}

#[cfg(test)]
mod tests;
