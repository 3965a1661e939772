//! What a container uses of what it may.

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{InspectContainerOptionsBuilder, StatsOptionsBuilder};
use futures_util::StreamExt;
use protocol::rpc::enclaved::Stats;

use super::error::missing;
use super::{Runtime, RuntimeError, plan};
use crate::store::Container;

/// Memory that the kernel takes back without asking: the file cache that nobody used lately.
const RECLAIMABLE: &str = "inactive_file";
const MILLI: u64 = 1_000;

impl Runtime {
    /// What a container uses now. Takes a second or two: CPU is measured between two looks.
    ///
    /// # Errors
    /// [`RuntimeError`] if the engine does not say.
    pub async fn usage(&self, container: &Container) -> Result<Stats, RuntimeError> {
        let limits = self.unit_size.times(container.spec.units);
        let mut stats = Stats {
            cpu_milli_limit: limits.cpu_milli,
            memory_bytes_limit: limits.memory_bytes,
            pids_limit: limits.pids,
            disk_bytes_limit: limits.image_disk_bytes,
            volume_bytes_limit: self.volume_bytes(container),
            volume_bytes: self.volumes.used_bytes(&container.pubkey())?,
            ..Stats::default()
        };
        let name = plan::container_name(&container.pubkey());
        let sized = InspectContainerOptionsBuilder::default().size(true).build();
        let Some(inspected) = missing(self.docker().inspect_container(&name, Some(sized)).await)? else {
            return Ok(stats);
        };
        stats.disk_bytes = inspected.size_rw.and_then(|bytes| u64::try_from(bytes).ok());
        stats.running = inspected.state.and_then(|state| state.running).unwrap_or(false);
        if stats.running {
            let options = StatsOptionsBuilder::default().stream(false).one_shot(false).build();
            if let Some(sample) = self.docker().stats(&name, Some(options)).next().await {
                fill(&mut stats, &sample?);
            }
        }
        Ok(stats)
    }
}

fn fill(stats: &mut Stats, sample: &ContainerStatsResponse) {
    stats.cpu_milli = cpu_milli(sample);
    stats.pids = sample.pids_stats.as_ref().and_then(|pids| pids.current);
    stats.memory_bytes = sample.memory_stats.as_ref().and_then(|memory| {
        let reclaimable = memory.stats.as_ref().and_then(|all| all.get(RECLAIMABLE)).copied();
        memory.usage.map(|usage| usage.saturating_sub(reclaimable.unwrap_or_default()))
    });
    if let Some(networks) = &sample.networks {
        stats.received_bytes = Some(networks.values().filter_map(|one| one.rx_bytes).sum());
        stats.sent_bytes = Some(networks.values().filter_map(|one| one.tx_bytes).sum());
    }
}

/// Its share of what all CPUs did between two looks.
fn cpu_milli(sample: &ContainerStatsResponse) -> Option<u64> {
    let (now, before) = (sample.cpu_stats.as_ref()?, sample.precpu_stats.as_ref()?);
    let own = |stats: &bollard::models::ContainerCpuStats| stats.cpu_usage.as_ref()?.total_usage;
    let used = own(now)?.checked_sub(own(before)?)?;
    let passed = now.system_cpu_usage?.checked_sub(before.system_cpu_usage?)?;
    let cpus = u64::from(now.online_cpus?);
    used.checked_mul(MILLI)?.checked_mul(cpus)?.checked_div(passed)
}

#[cfg(test)]
mod tests {
    use bollard::models::{
        ContainerCpuStats, ContainerCpuUsage, ContainerMemoryStats, ContainerNetworkStats,
    };

    use super::*;

    fn cpu(own: u64, system: u64) -> Option<ContainerCpuStats> {
        let cpu_usage = Some(ContainerCpuUsage { total_usage: Some(own), ..Default::default() });
        Some(ContainerCpuStats {
            cpu_usage,
            system_cpu_usage: Some(system),
            online_cpus: Some(2),
            ..Default::default()
        })
    }

    #[test]
    fn engines_numbers_become_ours() {
        let network =
            |rx, tx| ContainerNetworkStats { rx_bytes: Some(rx), tx_bytes: Some(tx), ..Default::default() };
        let sample = ContainerStatsResponse {
            precpu_stats: cpu(1_000, 10_000),
            cpu_stats: cpu(1_500, 20_000),
            memory_stats: Some(ContainerMemoryStats {
                usage: Some(900),
                stats: Some([(RECLAIMABLE.to_owned(), 300)].into()),
                ..Default::default()
            }),
            networks: Some([("eth0".to_owned(), network(5, 7)), ("eth1".to_owned(), network(1, 1))].into()),
            ..Default::default()
        };
        let mut stats = Stats::default();
        fill(&mut stats, &sample);
        // 500 of 10,000 of two CPUs is a tenth of one.
        assert_eq!((stats.cpu_milli, stats.memory_bytes), (Some(100), Some(600)));
        assert_eq!((stats.received_bytes, stats.sent_bytes), (Some(6), Some(8)));
    }

    #[test]
    fn numbers_that_make_no_sense_are_absent() {
        for (before, now) in [(cpu(5, 10), cpu(1, 20)), (cpu(1, 20), cpu(5, 20)), (None, cpu(1, 2))] {
            let sample =
                ContainerStatsResponse { precpu_stats: before, cpu_stats: now, ..Default::default() };
            assert_eq!(cpu_milli(&sample), None);
        }
    }
}
