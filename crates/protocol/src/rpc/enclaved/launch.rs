//! What a launch asks for, checked field by field.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use units::ComputeUnits;
use utoipa::ToSchema;

use crate::manifest::{Egress, Salt, Upgrade};
use crate::rpc::{Code, Failure, json_bytes};
use crate::secrets::Sealed;

/// Longest image reference; Docker's own limit on the name is 255.
const DOCKER_BYTES_MAX: usize = 512;
/// Longest display name.
const NAME_CHARS_MAX: usize = 64;
/// Most arguments, and most variables: more is not a command line but a file.
const ITEMS_MAX: usize = 256;
/// Longest name of a variable.
const ENV_NAME_BYTES_MAX: usize = 128;
/// Arguments and environment together, so that the whole launch fits into one event.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// What an argument takes in JSON besides its text.
const ARG_BYTES_MORE: usize = 3;
/// Most published ports.
const PORTS_MAX: usize = 16;
/// Most mount points of the container's volume.
const VOLUMES_MAX: usize = 8;
/// Longest mount point.
const VOLUME_BYTES_MAX: usize = 256;
/// Names that only the daemon gives.
const ENV_RESERVED: &str = "ENCLAVED_";

/// Parameters of `launch` and `quote`. `Debug` does not show the environment.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LaunchParams {
    /// Image reference, `[docker://][registry/]repository[:tag][@sha256:…]`.
    pub docker: String,
    /// Compute units.
    #[schema(value_type = u32)]
    pub units: ComputeUnits,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Arguments in place of the image's own command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// Environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Variables and files that only the container sees, sealed by the owner to the service key: see
    /// [`crate::secrets`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub secrets: Option<Sealed>,
    /// TCP ports of the container to publish.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
    /// Absolute paths at which to mount the container's volume.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<String>,
    /// What it may reach outside.
    #[serde(default)]
    pub egress: Egress,
    /// Who may change its image.
    #[serde(default)]
    pub upgrade: Upgrade,
    /// Key of the environment's HMACs in the manifest; the daemon draws one if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub salt: Option<Salt>,
    /// Whether the owner may read the container's output.
    #[serde(default = "default_logs")]
    pub logs: bool,
    /// Whether the owner may run commands in the container. Certified: nobody who checks such a container
    /// can know what its owner did in it.
    #[serde(default)]
    pub exec: bool,
}

const fn default_logs() -> bool {
    true
}

impl std::fmt::Debug for LaunchParams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.env.keys().collect();
        f.debug_struct("LaunchParams")
            .field("docker", &self.docker)
            .field("units", &self.units)
            .field("env", &names)
            .finish_non_exhaustive()
    }
}

/// A parameter is not acceptable.
pub type ParamError = Failure;

/// Parses the parameters of a method that has no rules beyond their types.
///
/// # Errors
/// [`Code::ParamsInvalid`], naming the field.
pub fn parse_params<T: DeserializeOwned>(params: &Value) -> Result<T, ParamError> {
    // The reference sends `{}` where there is nothing to say; others leave it out.
    let empty = Value::Object(serde_json::Map::new());
    let params = if params.is_null() { &empty } else { params };
    T::deserialize(params).map_err(|e| invalid(format!("params: {e}")))
}

impl LaunchParams {
    /// Parses and checks every field.
    ///
    /// # Errors
    /// A [`Failure`] with the code of the field and what to do.
    pub fn parse(params: &Value) -> Result<Self, ParamError> {
        let mut params = params.clone();
        if let Some(fields) = params.as_object_mut() {
            check_units(fields.get("units"))?;
            check_policies(fields)?;
            // The reference's clients send empty or null for "none given".
            fields.retain(|name, value| {
                let optional = !matches!(name.as_str(), "docker" | "units");
                !(optional && (value.is_null() || (name == "upgrade" && value == "")))
            });
            // The reference's name for it.
            if fields.get("upgrade").is_some_and(|policy| policy == "auto") {
                fields.insert("upgrade".to_owned(), Value::from(Upgrade::Signed.as_str()));
            }
        }
        let launch: Self = parse_params(&params)?;
        launch.check()?;
        Ok(launch)
    }

    fn check(&self) -> Result<(), ParamError> {
        if self.docker.is_empty() || self.docker.len() > DOCKER_BYTES_MAX {
            return Err(Failure::new(
                Code::ImageReferenceInvalid,
                format!("docker must be an image reference of at most {DOCKER_BYTES_MAX} bytes"),
            ));
        }
        if let Some(name) = &self.name {
            let printable = name.chars().all(|c| !c.is_control());
            if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !printable {
                return Err(invalid(format!("name must be 1 to {NAME_CHARS_MAX} printable characters")));
            }
        }
        self.check_texts()?;
        check_ports(&self.ports)?;
        check_volumes(&self.volumes)
    }

    fn check_texts(&self) -> Result<(), ParamError> {
        let args = self.args.as_deref().unwrap_or_default();
        if args.len() > ITEMS_MAX {
            return Err(invalid(format!("args: at most {ITEMS_MAX} arguments")));
        }
        if args.iter().any(|arg| arg.contains('\0')) {
            return Err(invalid("args: an argument must not contain a NUL byte".into()));
        }
        if self.env.len() > ITEMS_MAX {
            return Err(env_invalid(format!("env: at most {ITEMS_MAX} variables")));
        }
        for (name, value) in &self.env {
            check_variable(name, value)?;
        }
        // As the manifest and each status repeat them, or they would not fit into an answer.
        let args_bytes: usize = args.iter().map(|arg| json_bytes(arg) + ARG_BYTES_MORE).sum();
        let env_bytes: usize = self.env.iter().map(|(name, value)| name.len() + value.len()).sum();
        if args_bytes + env_bytes > TEXT_BYTES_MAX {
            return Err(invalid(format!(
                "args and env together: at most {TEXT_BYTES_MAX} bytes, args as they are written in JSON"
            )));
        }
        Ok(())
    }
}

fn check_units(units: Option<&Value>) -> Result<(), ParamError> {
    let number = units.and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    number.and_then(|n| ComputeUnits::new(n).ok()).map(drop).ok_or_else(|| {
        Failure::new(
            Code::UnitsInvalid,
            format!("units must be a whole number from 1 to {}", ComputeUnits::MAX),
        )
    })
}

/// Policies that exist in the protocol but not yet in this server get codes of their own, so that a
/// client can tell "not here" from "misspelt".
fn check_policies(fields: &serde_json::Map<String, Value>) -> Result<(), ParamError> {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    if !matches!(text("egress"), "" | "none" | "all") {
        return Err(Failure::new(Code::EgressUnsupported, "egress must be \"none\" or \"all\""));
    }
    if !matches!(text("upgrade"), "" | "none" | "owner" | "signed" | "auto") {
        return Err(Failure::new(
            Code::UpgradeUnsupported,
            "upgrade must be \"none\", \"owner\" or \"signed\"",
        ));
    }
    Ok(())
}

/// Checks an environment that stands by itself.
///
/// # Errors
/// As for a launch.
pub(super) fn check_env(env: &BTreeMap<String, String>) -> Result<(), ParamError> {
    if env.len() > ITEMS_MAX {
        return Err(env_invalid(format!("env: at most {ITEMS_MAX} variables")));
    }
    for (name, value) in env {
        check_variable(name, value)?;
    }
    let bytes: usize = env.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > TEXT_BYTES_MAX {
        return Err(invalid(format!("env: at most {TEXT_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// Checks the name of a variable that an owner gives.
///
/// # Errors
/// [`Code::EnvInvalid`], naming the rule.
pub(crate) fn check_env_name(name: &str) -> Result<(), ParamError> {
    let mut chars = name.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let goes_on_well = chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !starts_well || !goes_on_well || name.len() > ENV_NAME_BYTES_MAX {
        return Err(env_invalid(format!(
            "env: a name must be letters, digits and _ (at most {ENV_NAME_BYTES_MAX}), not {:?}",
            name.chars().take(32).collect::<String>()
        )));
    }
    if name.starts_with(ENV_RESERVED) {
        return Err(env_invalid(format!("env: {name}: names in {ENV_RESERVED} are the server's")));
    }
    Ok(())
}

fn check_variable(name: &str, value: &str) -> Result<(), ParamError> {
    check_env_name(name)?;
    if value.contains(['\n', '\r', '\0']) {
        return Err(env_invalid(format!(
            "env: {name}: a value must not contain a line break or NUL byte; encode it, in base64 for example"
        )));
    }
    Ok(())
}

fn check_ports(ports: &[u16]) -> Result<(), ParamError> {
    let mut sorted = ports.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != ports.len() || sorted.first() == Some(&0) || ports.len() > PORTS_MAX {
        return Err(invalid(format!("ports must be at most {PORTS_MAX} different numbers from 1 to 65535")));
    }
    Ok(())
}

/// Paths that a mount would break, or that belong to the server.
const VOLUME_RESERVED: [&str; 5] = ["/proc", "/sys", "/dev", "/run/enclaved", "/etc"];

fn check_volumes(volumes: &[String]) -> Result<(), ParamError> {
    if volumes.len() > VOLUMES_MAX {
        return Err(invalid(format!("volumes: at most {VOLUMES_MAX} paths")));
    }
    for (i, path) in volumes.iter().enumerate() {
        let parts_are_plain = path.strip_prefix('/').is_some_and(|rest| {
            !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
        });
        let plain_chars =
            path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
        if !parts_are_plain || !plain_chars || path.len() > VOLUME_BYTES_MAX {
            return Err(invalid(format!(
                "volumes: an absolute path of letters, digits, . _ - and at most {VOLUME_BYTES_MAX} bytes is wanted"
            )));
        }
        let within = |outer: &str| path == outer || path.starts_with(&format!("{outer}/"));
        if VOLUME_RESERVED.into_iter().any(within) {
            return Err(invalid(format!("volumes: {path} is the server's; choose another path")));
        }
        if volumes.iter().enumerate().any(|(j, other)| i != j && within(other)) {
            return Err(invalid(format!("volumes: {path} lies in another volume")));
        }
    }
    Ok(())
}

fn invalid(message: String) -> Failure {
    Failure::new(Code::ParamsInvalid, message)
}

fn env_invalid(message: String) -> Failure {
    Failure::new(Code::EnvInvalid, message)
}

#[cfg(test)]
mod tests;
