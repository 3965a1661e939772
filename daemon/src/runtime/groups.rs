//! A container's control groups: what the kernel counts of those that press against their limits.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use bollard::query_parameters::InspectContainerOptions;

use super::error::missing;
use super::log_files::LogFiles;
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// Where they are mounted.
const MOUNTED: &str = "/sys/fs/cgroup";

/// The files of one container.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Groups {
    memory: PathBuf,
    pids: PathBuf,
    cpu: PathBuf,
    /// Where the engine keeps its output.
    log: Option<PathBuf>,
}

/// What the kernel counted since the container's process was started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pressure {
    /// Processes killed for want of memory.
    pub oom_kills: u64,
    /// Processes that it was not let start.
    pub forks_refused: u64,
    /// Slices of time in which it ran.
    pub slices: u64,
    /// Those of them in which it wanted more than its share.
    pub held_back: u64,
}

impl Runtime {
    /// Where a running container's counters are.
    ///
    /// # Errors
    /// [`RuntimeError`] if the engine does not say.
    pub async fn groups(&self, container: &Container) -> Result<Option<Groups>, RuntimeError> {
        let name = plan::container_name(&container.pubkey());
        let found = self.docker().inspect_container(&name, None::<InspectContainerOptions>).await;
        let Some(found) = missing(found)? else { return Ok(None) };
        let pid = found.state.and_then(|state| state.pid).filter(|pid| *pid > 0);
        let Some(pid) = pid else { return Ok(None) };
        let list = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let log = found.log_path.filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Groups::read(&list).map(|groups| Groups { log, ..groups }))
    }

    /// How many packets of each container the firewall refused, by the name of its bridge.
    ///
    /// # Errors
    /// [`RuntimeError::Firewall`].
    pub async fn refused_packets(&self) -> Result<HashMap<String, u64>, RuntimeError> {
        Ok(self.firewall.refused().await?)
    }

    /// How much of a container's volume is used, in hundredths.
    #[must_use]
    pub fn volume_percent(&self, container: &Container) -> u64 {
        self.volumes.used_percent(&container.pubkey()).ok().flatten().unwrap_or_default()
    }
}

impl Groups {
    /// From `/proc/PID/cgroup` (cgroups(7)): `number:controllers:path`, without controllers in version 2.
    fn read(list: &str) -> Option<Self> {
        let of = |controller: &str| {
            let lines = || {
                list.lines().filter_map(|line| {
                    let mut parts = line.splitn(3, ':').skip(1);
                    Some((parts.next()?, parts.next()?.trim_start_matches('/')))
                })
            };
            let first = lines().find(|(names, _)| names.split(',').any(|name| name == controller));
            match first {
                Some((_, path)) => Some(Path::new(MOUNTED).join(controller).join(path)),
                None => {
                    lines().find(|(names, _)| names.is_empty()).map(|(_, path)| Path::new(MOUNTED).join(path))
                }
            }
        };
        Some(Self { memory: of("memory")?, pids: of("pids")?, cpu: of("cpu")?, log: None })
    }

    /// The files of its output as they are now, if that can be known.
    #[must_use]
    pub fn log_files(&self) -> Option<LogFiles> {
        LogFiles::look(self.log.as_ref()?)
    }

    /// What they say now; nothing, if they are gone.
    #[must_use]
    pub fn pressure(&self) -> Option<Pressure> {
        let read = |dir: &Path, file: &str| std::fs::read_to_string(dir.join(file)).ok();
        let memory =
            read(&self.memory, "memory.events").or_else(|| read(&self.memory, "memory.oom_control"))?;
        let (pids, cpu) = (read(&self.pids, "pids.events")?, read(&self.cpu, "cpu.stat")?);
        Some(Pressure {
            oom_kills: count(&memory, "oom_kill"),
            forks_refused: count(&pids, "max"),
            slices: count(&cpu, "nr_periods"),
            held_back: count(&cpu, "nr_throttled"),
        })
    }
}

/// A number by its name, one on each line.
fn count(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.split_once(' ').filter(|(own, _)| *own == name));
    line.and_then(|(_, number)| number.trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_both_versions_are_found() {
        let first = "12:pids:/box/a\n5:cpu,cpuacct:/box/b\n4:memory:/box/c\n0::/box/d\n";
        let groups = Groups::read(first).unwrap();
        assert_eq!(groups.pids, Path::new("/sys/fs/cgroup/pids/box/a"));
        assert_eq!(groups.cpu, Path::new("/sys/fs/cgroup/cpu/box/b"));
        assert_eq!(groups.memory, Path::new("/sys/fs/cgroup/memory/box/c"));
        let second = Groups::read("0::/docker/e\n").unwrap();
        assert_eq!(second.cpu, Path::new("/sys/fs/cgroup/docker/e"));
        assert_eq!(Groups::read(""), None);
    }

    #[test]
    fn counters_are_read_by_their_names() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 17\n";
        assert_eq!((count(text, "oom_kill"), count(text, "max")), (17, 0));
        let dir = tempfile::tempdir().unwrap();
        let at = || dir.path().to_owned();
        let groups = Groups { memory: at(), pids: at(), cpu: at(), log: None };
        assert_eq!(groups.pressure(), None);
        for (file, text) in [
            ("memory.events", "low 0\noom 3\noom_kill 2\n"),
            ("pids.events", "max 5\n"),
            ("cpu.stat", "usage_usec 9\nnr_periods 7\nnr_throttled 6\n"),
        ] {
            std::fs::write(dir.path().join(file), text).unwrap();
        }
        let expected = Pressure { oom_kills: 2, forks_refused: 5, slices: 7, held_back: 6 };
        assert_eq!(groups.pressure(), Some(expected));
    }
}
