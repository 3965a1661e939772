//! From what was agreed to what the engine is told.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig, Mount,
    MountType, NetworkingConfig, PortBinding, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use nostr::key::PublicKey;
use protocol::guest;
use protocol::manifest::Egress;
use protocol::secrets::Secrets;
use sha2::{Digest, Sha256};
use units::Resources;

use super::volume::VolumeMount;
use super::{Addresses, EngineFacts, LABEL_BUILTIN, LABEL_PUBKEY, RuntimeError, network};
use crate::store::{Container, Origin, Spec};

/// What a container writes to its log, in two files of this size.
const LOG_FILE_SIZE: &str = "512k";
const LOG_FILES: &str = "2";
/// Open files of one process, as the kernel's own default.
const OPEN_FILES: i64 = 1_024;
const OPEN_FILES_HARD: i64 = 4_096;
/// Volumes that an image may declare besides those that the launch asked for.
const IMAGE_VOLUMES_MAX: usize = 8;
/// Folders that an image must not cover with a volume.
const RESERVED: [&str; 5] = ["/proc", "/sys", "/dev", "/run/enclaved", "/etc"];
/// What a container may use until it is started, at least: the engine's own work of setting it up counts
/// as the container's, and takes many times as long at a tenth of a CPU.
const STARTUP_CPU_MILLI: u64 = 1_000;
/// A container's part of a CPU is counted over a period. Who has used it up waits for the next one: short periods
/// make short bursts, which neighbours wait for, and short pauses, which the container itself has. The shortest
/// has a burst of this many microseconds; the engine's own has 100 ms.
const CPU_BURST_US: u64 = 2_000;
const CPU_PERIOD_US_MIN: u64 = 20_000;
const CPU_PERIOD_US_MAX: u64 = 100_000;
/// The kernel's weight of a whole CPU; containers share what is scarce in proportion to what they paid for.
const CPU_SHARES: u64 = 1_024;
/// The kernel takes no smaller weight.
const CPU_SHARES_MIN: u64 = 2;

/// How the engine's names of our containers and networks begin.
pub(super) const NAME_PREFIX: &str = "encl-";

/// The engine's name of a container, and of its network.
pub(super) fn container_name(pubkey: &PublicKey) -> String {
    format!("{NAME_PREFIX}{}", &pubkey.to_hex()[..24])
}

/// What a plan is made from.
pub(super) struct Inputs<'p> {
    pub(super) container: &'p Container,
    pub(super) addresses: &'p Addresses,
    pub(super) limits: &'p Resources,
    pub(super) mounts: &'p [VolumeMount],
    pub(super) guest_dir: &'p Path,
    pub(super) secrets: &'p Secrets,
    pub(super) dns: &'p [String],
    pub(super) facts: &'p EngineFacts,
    pub(super) guest_port: u16,
}

/// The paths at which the container's volume is mounted: what the launch asked for, and what the image
/// declares, for which the engine would otherwise make volumes without a limit.
pub(super) fn volume_paths(spec: &Spec) -> Result<Vec<String>, RuntimeError> {
    let mut paths = spec.volumes.clone();
    for path in &spec.image_volumes {
        let path = path.trim_end_matches('/');
        if paths.iter().any(|known| known == path) {
            continue;
        }
        let plain = path.strip_prefix('/').is_some_and(|rest| {
            !rest.is_empty() && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
        });
        let reserved = RESERVED.iter().any(|outer| path == *outer || path.starts_with(&format!("{outer}/")));
        if !plain || reserved || path.contains([':', '\n', '\0']) {
            return Err(RuntimeError::ImageVolumes(format!("{path:?} cannot be a volume")));
        }
        paths.push(path.to_owned());
    }
    if paths.len() > spec.volumes.len() + IMAGE_VOLUMES_MAX {
        return Err(RuntimeError::ImageVolumes(format!("it declares more than {IMAGE_VOLUMES_MAX}")));
    }
    Ok(paths)
}

/// The hash of a plan, keyed by the container's token because the plan holds its environment.
pub(super) fn hash(body: &ContainerCreateBody, container: &Container) -> String {
    let mut hasher = Sha256::new();
    hasher.update(container.token.expose());
    // Maps in the plan have no order; through a JSON value they do.
    let value = serde_json::to_value(body).unwrap_or_default();
    hasher.update(value.to_string());
    hex::encode(hasher.finalize())
}

/// What the engine is told.
pub(super) fn container_body(inputs: &Inputs<'_>) -> ContainerCreateBody {
    let Inputs { container, addresses, .. } = inputs;
    let spec = &container.spec;
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(addresses.container.to_string()),
            ..EndpointIpamConfig::default()
        }),
        ..EndpointSettings::default()
    };
    let network = network::name(&container.pubkey());
    ContainerCreateBody {
        image: Some(spec.config_digest.clone()),
        cmd: spec.args.clone(),
        env: Some(environment(inputs)),
        labels: Some(labels(container)),
        exposed_ports: Some(spec.ports.iter().map(|port| format!("{}/tcp", port.container_port)).collect()),
        host_config: Some(host_config(inputs)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network, endpoint)])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn labels(container: &Container) -> HashMap<String, String> {
    let mut labels = HashMap::from([(LABEL_PUBKEY.to_owned(), container.pubkey().to_hex())]);
    if let Origin::Builtin(name) = &container.origin {
        labels.insert(LABEL_BUILTIN.to_owned(), name.clone());
    }
    labels
}

/// A volume's folder in a container. Unlike with `binds`, the engine refuses to start if the folder is
/// not there, where it would make one on the server's own disk.
fn bind(mount: &VolumeMount) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(mount.source.display().to_string()),
        target: Some(mount.path.clone()),
        ..Mount::default()
    }
}

/// The daemon's folder, in which a container changes nothing; connecting to a socket is no change.
fn guest_mount(guest_dir: &Path) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(guest_dir.display().to_string()),
        target: Some(guest::DIR.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn environment(inputs: &Inputs<'_>) -> Vec<String> {
    let Inputs { container, addresses, .. } = inputs;
    let mut env: Vec<_> = container.spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let gateway = format!("ws://{}:{}", addresses.gateway, inputs.guest_port);
    env.push(format!("{}={gateway}/", guest::ENDPOINT_VARIABLE));
    env.push(format!("{}={}", guest::TOKEN_VARIABLE, container.token.expose()));
    env.push(format!("{}={}/{}", guest::SOCKET_VARIABLE, guest::DIR, guest::SOCKET_NAME));
    env.extend(inputs.secrets.variables().map(|(name, path)| format!("{name}={path}")));
    if container.is_builtin() {
        env.push(format!("{}={gateway}/relay", guest::INTERNAL_RELAY_VARIABLE));
    }
    env
}

/// The CPU that a container may use, as the engine has it: microseconds of each period.
pub(super) fn cpu_quota(limits: &Resources) -> i64 {
    part_of_period(limits, limits.cpu_milli)
}

fn cpu_period_us(limits: &Resources) -> u64 {
    (CPU_BURST_US * 1_000 / limits.cpu_milli.max(1)).clamp(CPU_PERIOD_US_MIN, CPU_PERIOD_US_MAX)
}

fn part_of_period(limits: &Resources, cpu_milli: u64) -> i64 {
    i64::try_from(cpu_milli.saturating_mul(cpu_period_us(limits)) / 1_000).unwrap_or(i64::MAX)
}

fn cpu_shares(limits: &Resources) -> i64 {
    let shares = (limits.cpu_milli.saturating_mul(CPU_SHARES) / 1_000).max(CPU_SHARES_MIN);
    i64::try_from(shares).unwrap_or(i64::MAX)
}

fn host_config(inputs: &Inputs<'_>) -> HostConfig {
    let Inputs { container, addresses, limits, .. } = inputs;
    let memory = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
    let disk = inputs
        .facts
        .limits_disk
        .then(|| HashMap::from([("size".to_owned(), limits.image_disk_bytes.to_string())]));
    // A resolver that answers nothing: the engine's own would ask for a container without egress.
    let dns = match container.spec.egress {
        Egress::All => inputs.dns.to_vec(),
        Egress::None => vec![addresses.gateway.to_string()],
    };
    HostConfig {
        memory: Some(memory),
        memory_swap: Some(memory),
        cpu_period: i64::try_from(cpu_period_us(limits)).ok(),
        cpu_quota: Some(part_of_period(limits, limits.cpu_milli.max(STARTUP_CPU_MILLI))),
        cpu_shares: Some(cpu_shares(limits)),
        pids_limit: Some(i64::try_from(limits.pids).unwrap_or(i64::MAX)),
        cap_drop: Some(vec!["NET_RAW".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        network_mode: Some(network::name(&container.pubkey())),
        dns: Some(dns),
        mounts: Some(inputs.mounts.iter().map(bind).chain([guest_mount(inputs.guest_dir)]).collect()),
        port_bindings: Some(
            container
                .spec
                .ports
                .iter()
                .map(|port| {
                    let binding =
                        PortBinding { host_ip: None, host_port: Some(port.server_port.to_string()) };
                    (format!("{}/tcp", port.container_port), Some(vec![binding]))
                })
                .collect(),
        ),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(HashMap::from([
                ("max-size".to_owned(), LOG_FILE_SIZE.to_owned()),
                ("max-file".to_owned(), LOG_FILES.to_owned()),
            ])),
        }),
        ulimits: Some(vec![ResourcesUlimits {
            name: Some("nofile".to_owned()),
            soft: Some(OPEN_FILES),
            hard: Some(OPEN_FILES_HARD),
        }]),
        storage_opt: disk,
        ..HostConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use units::{ComputeUnits, UnitSize};

    use super::*;

    #[test]
    fn part_of_a_cpu_is_exact_and_its_bursts_are_short() {
        for (cpu_milli, units, period, quota, shares) in [
            (100, 1, 20_000, 2_000, 102),
            (100, 10, 20_000, 20_000, 1_024),
            (100, 50, 20_000, 100_000, 5_120),
            (50, 1, 40_000, 2_000, 51),
            (10, 1, 100_000, 1_000, 10),
        ] {
            let size = UnitSize { cpu_milli, ..UnitSize::default() };
            let limits = size.times(ComputeUnits::new(units).unwrap());
            let found = (cpu_period_us(&limits), cpu_quota(&limits), cpu_shares(&limits));
            assert_eq!(found, (period, quota, shares), "{cpu_milli} {units}");
        }
    }
}
