//! The engine: what it can do, and what it must.

use std::path::Path;
use std::time::Duration;

use bollard::models::SystemInfo;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::RuntimeError;

/// Longest silence of the engine in one request.
const REQUEST_SECS: u64 = 120;
/// The engine starts beside us; so long it may take to answer.
const START_WAIT: Duration = Duration::from_secs(60);
/// How often it is tried meanwhile.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// What the engine said of itself at start.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct EngineFacts {
    /// The user on this machine that root in a container is.
    pub root_uid: u32,
    /// The limits that this kernel or engine does not enforce, by name.
    pub not_enforced: Vec<String>,
    /// The engine can limit what a container writes beside its volume.
    pub limits_disk: bool,
}

/// Where people's money is at stake every limit must hold: what one container takes beyond its units is
/// taken from others who paid.
pub(super) fn check_enforced(facts: &EngineFacts, is_production: bool) -> Result<(), RuntimeError> {
    if is_production && !facts.not_enforced.is_empty() {
        return Err(RuntimeError::NotEnforced(facts.not_enforced.join(", ")));
    }
    Ok(())
}

/// Refuses an engine that leaves a limit unenforced, before anything of this server's state is touched: who
/// cannot serve must not take the state from one that can.
///
/// # Errors
/// [`RuntimeError::NotEnforced`], [`RuntimeError::Unsafe`].
pub(crate) async fn check_limits(socket: &Path) -> Result<(), RuntimeError> {
    check_enforced(&EngineFacts::ask(&connect(socket).await?).await?, true)
}

/// Connects, waiting for an engine that is starting.
pub(super) async fn connect(socket: &Path) -> Result<Docker, RuntimeError> {
    let path = socket.to_string_lossy();
    let connected = async {
        loop {
            let docker = Docker::connect_with_unix(&path, REQUEST_SECS, API_DEFAULT_VERSION);
            match docker {
                Ok(docker) => match docker.negotiate_version().await {
                    Ok(docker) => return docker,
                    Err(e) => tracing::debug!("the engine does not answer yet: {e}"),
                },
                Err(e) => tracing::debug!("the engine's socket is not there yet: {e}"),
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    };
    tokio::time::timeout(START_WAIT, connected).await.map_err(|_| RuntimeError::Unsafe("does not answer"))
}

impl EngineFacts {
    /// Asks the engine.
    ///
    /// # Errors
    /// [`RuntimeError::Unsafe`] if it does not remap users or filter system calls: without these a
    /// container's root is this machine's.
    pub async fn ask(docker: &Docker) -> Result<Self, RuntimeError> {
        Self::read(&docker.info().await?)
    }

    fn read(info: &SystemInfo) -> Result<Self, RuntimeError> {
        Self::read_with(info, &std::fs::read_to_string("/proc/swaps").unwrap_or_default())
    }

    fn read_with(info: &SystemInfo, swaps: &str) -> Result<Self, RuntimeError> {
        let options = info.security_options.as_deref().unwrap_or_default();
        let has = |name: &str| options.iter().any(|option| option.contains(name));
        if !has("userns") {
            return Err(RuntimeError::Unsafe("does not remap users; start it with --userns-remap"));
        }
        if !has("seccomp") {
            return Err(RuntimeError::Unsafe("does not filter system calls; it needs seccomp"));
        }
        if info.driver.as_deref() != Some("overlay2") {
            return Err(RuntimeError::Unsafe("does not store images with overlay2"));
        }
        let limits_disk = disk_is_limited(info);
        // Where there is swap, a limit of memory alone lets a container have as much again of it.
        let limits_swap = info.swap_limit == Some(true) || !has_swap(swaps);
        let enforced = [
            ("cpu", info.cpu_cfs_quota == Some(true)),
            ("memory", info.memory_limit == Some(true) && limits_swap),
            ("pids", info.pids_limit != Some(false)),
            ("disk", limits_disk),
        ];
        let not_enforced =
            enforced.iter().filter(|(_, yes)| !yes).map(|(name, _)| (*name).to_owned()).collect();
        Ok(Self { root_uid: remapped_root(info)?, not_enforced, limits_disk })
    }
}

/// True if this machine swaps: behind the head of `/proc/swaps` there is a line for each device.
fn has_swap(swaps: &str) -> bool {
    swaps.lines().skip(1).any(|line| !line.trim().is_empty())
}

/// `overlay2` limits a container's disk on XFS with project quotas only.
fn disk_is_limited(info: &SystemInfo) -> bool {
    let on_xfs = info.driver_status.iter().flatten().any(|pair| pair == &["Backing Filesystem", "xfs"]);
    let root = info.docker_root_dir.as_deref().unwrap_or_default();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let holding = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, options) = (fields.next()?, fields.nth(1)?);
            Path::new(root).starts_with(point).then_some((point.len(), options))
        })
        .max_by_key(|(length, _)| *length);
    on_xfs && holding.is_some_and(|(_, options)| options.split(',').any(|o| o == "prjquota" || o == "pquota"))
}

/// With remapping the engine keeps its data in a folder named `UID.GID` after the remapped root.
fn remapped_root(info: &SystemInfo) -> Result<u32, RuntimeError> {
    let root = info.docker_root_dir.as_deref().unwrap_or_default();
    let name = Path::new(root).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('.')
        .and_then(|(uid, _)| uid.parse().ok())
        .filter(|uid| *uid != 0)
        .ok_or(RuntimeError::Unsafe("does not tell which user containers' root is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> SystemInfo {
        SystemInfo {
            security_options: Some(vec!["name=seccomp,profile=default".into(), "name=userns".into()]),
            driver: Some("overlay2".into()),
            docker_root_dir: Some("/d/100000.100000".into()),
            cpu_cfs_quota: Some(true),
            memory_limit: Some(true),
            pids_limit: Some(true),
            ..SystemInfo::default()
        }
    }

    #[test]
    fn engine_that_remaps_is_taken_and_its_gaps_are_named() {
        let facts = EngineFacts::read_with(&info(), "").unwrap();
        assert_eq!((facts.root_uid, facts.not_enforced), (100_000, vec!["disk".to_owned()]));
    }

    #[test]
    fn production_server_does_not_start_where_a_limit_does_not_hold() {
        let facts = |missing: &[&str]| EngineFacts {
            not_enforced: missing.iter().map(ToString::to_string).collect(),
            ..EngineFacts::default()
        };
        assert!(check_enforced(&facts(&[]), true).is_ok());
        assert!(check_enforced(&facts(&["disk"]), false).is_ok());
        let refused = check_enforced(&facts(&["disk", "network"]), true).unwrap_err();
        assert!(refused.to_string().contains("disk, network"), "{refused}");
    }

    #[test]
    fn memory_is_not_limited_where_swap_is_not() {
        let head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
        let swapping = format!("{head}/dev/vdb partition\t4194300\t0\t-2\n");
        let not_enforced = |info: &SystemInfo, swaps: &str| {
            EngineFacts::read_with(info, swaps).unwrap().not_enforced.contains(&"memory".to_owned())
        };
        assert!(!not_enforced(&info(), head) && !not_enforced(&info(), ""), "there is nothing to swap to");
        assert!(not_enforced(&info(), &swapping));
        assert!(not_enforced(&SystemInfo { swap_limit: Some(false), ..info() }, &swapping));
        assert!(!not_enforced(&SystemInfo { swap_limit: Some(true), ..info() }, &swapping));
        assert!(not_enforced(
            &SystemInfo { memory_limit: Some(false), swap_limit: Some(true), ..info() },
            head
        ));
    }

    #[test]
    fn engine_that_does_not_isolate_is_refused() {
        let refused = |change: fn(&mut SystemInfo)| {
            let mut info = info();
            change(&mut info);
            assert!(matches!(EngineFacts::read_with(&info, ""), Err(RuntimeError::Unsafe(_))));
        };
        refused(|info| info.security_options = Some(vec!["name=seccomp".into()]));
        refused(|info| info.security_options = Some(vec!["name=userns".into()]));
        refused(|info| info.security_options = None);
        refused(|info| info.driver = Some("vfs".into()));
        refused(|info| info.docker_root_dir = Some("/var/lib/docker".into()));
        refused(|info| info.docker_root_dir = Some("/d/0.0".into()));
    }
}
