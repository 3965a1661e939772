//! How much of the processors each of those who take part uses: clients, relay and service share them.

use std::path::Path;

use anyhow::{Context, Result};

/// Linux counts a process's time in hundredths of a second, whatever its clock is (`USER_HZ`).
const TICK_US: f64 = 10_000.0;
/// Fields of `/proc/PID/stat` after the name: the state, then eleven others, then user and system time.
const FIELDS_BEFORE: usize = 11;

/// Processor time that was used so far, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    clients: u64,
    relay: u64,
    service: u64,
}

/// Microseconds of a processor for each request.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerRequest {
    pub(super) clients: f64,
    pub(super) relay: f64,
    pub(super) service: f64,
}

impl Used {
    /// Clients are this process. Without a process of its own, the service is among them.
    pub(super) fn read(relay: Option<u32>, service: Option<u32>) -> Result<Self> {
        let of = |pid: Option<u32>| pid.map_or(Ok(0), |pid| ticks(Path::new(&format!("/proc/{pid}/stat"))));
        Ok(Self { clients: ticks(Path::new("/proc/self/stat"))?, relay: of(relay)?, service: of(service)? })
    }

    /// What was used since, for each of so many requests.
    pub(super) fn since(self, before: Self, requests: usize) -> PerRequest {
        let requests = f64::from(u32::try_from(requests).unwrap_or(u32::MAX));
        let each = |now: u64, then: u64| {
            f64::from(u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX)) * TICK_US / requests
        };
        PerRequest {
            clients: each(self.clients, before.clients),
            relay: each(self.relay, before.relay),
            service: each(self.service, before.service),
        }
    }
}

fn ticks(stat: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(stat).with_context(|| stat.display().to_string())?;
    parse(&text).with_context(|| format!("{} is not understood", stat.display()))
}

/// The name may hold anything, but it ends with the last bracket.
fn parse(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut times = rest.split(' ').skip(FIELDS_BEFORE);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_behind_any_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194304 10 0 3 0 120 34 5 6 20 0 1 0";
        assert_eq!(parse(stat), Some(154));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn use_is_shared_out_to_requests() {
        let before = Used { clients: 100, relay: 0, service: 7 };
        let per = Used { clients: 300, relay: 50, service: 7 }.since(before, 1_000);
        assert_eq!((per.clients, per.relay, per.service), (2_000.0, 500.0, 0.0));
    }
}
