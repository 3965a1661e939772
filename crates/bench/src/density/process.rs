//! What processes cost, as `/proc` has it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use units::Stopwatch;

/// The kernel counts in these (`USER_HZ`), on every machine that we run on.
const TICKS_PER_SEC: f64 = 100.0;
const KIB_PER_MIB: f64 = 1_024.0;

/// Memory now, and CPU over a while.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cost {
    pub(super) rss_mib: f64,
    pub(super) cpu_percent: f64,
}

impl Cost {
    /// Watches these processes for a while.
    pub(super) async fn of(pids: &[u32], watched: Duration) -> Result<Self> {
        let (before, took) = (ticks_of(pids)?, Stopwatch::start());
        tokio::time::sleep(watched).await;
        let used = f64::from(ticks_of(pids)?.saturating_sub(before)) / TICKS_PER_SEC;
        let rss: u32 = pids.iter().map(|pid| rss_kib(*pid)).sum::<Result<u32>>()?;
        let secs = took.elapsed().as_secs_f64();
        Ok(Self { rss_mib: f64::from(rss) / KIB_PER_MIB, cpu_percent: 100.0 * used / secs })
    }
}

/// The process with this name whose command line holds this path.
pub(super) fn find(name: &str, argument: &Path) -> Result<u32> {
    let argument = argument.to_string_lossy();
    let is_it = |pid: &u32| {
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        read("comm").trim_ascii() == name.as_bytes() && line.contains(argument.as_ref())
    };
    pids()?.find(is_it).with_context(|| format!("no process {name} of this world"))
}

/// The process with this name that `parent` started.
pub(super) fn child(name: &str, parent: u32) -> Result<u32> {
    let is_it = |pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        field("Name:") == name && field("PPid:") == parent.to_string()
    };
    pids()?.find(is_it).with_context(|| format!("process {parent} started no {name}"))
}

fn pids() -> Result<impl Iterator<Item = u32>> {
    Ok(fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

fn ticks_of(pids: &[u32]) -> Result<u32> {
    pids.iter().map(|pid| ticks(*pid)).sum()
}

/// User and system time (proc_pid_stat(5), fields 14 and 15).
fn ticks(pid: u32) -> Result<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| -> Result<u32> { Ok(fields.get(at - 3).context("stat")?.parse()?) };
    Ok(field(14)?.saturating_add(field(15)?))
}

fn rss_kib(pid: u32) -> Result<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn own_cost_is_more_than_nothing() {
        let own = std::process::id();
        let spun =
            std::thread::spawn(|| (0..200_000_000_u64).fold(0_u64, |sum, n| std::hint::black_box(sum ^ n)));
        let cost = Cost::of(&[own], Duration::from_millis(200)).await.unwrap();
        spun.join().unwrap();
        assert!(cost.rss_mib > 1.0 && cost.cpu_percent > 1.0, "{cost:?}");
        assert!(find("no-such-program", Path::new("x")).is_err());
    }
}
