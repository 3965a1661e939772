//! Who had a record, as a body names it: checked against what this key store knows, and never taken on
//! somebody's word.
//!
//! The last of a lineage gets the record back without showing anything. So it is either what it was before,
//! or the writer itself, under a version that enough maintainers signed; or, for a key store that missed it,
//! a build of which the body itself shows as much. Those before it say how old a build may not be. They are
//! those that this key store holds, but for a last one of which nobody ever heard that it was settled.

use attestation::Pcr;
use protocol::rpc::keycrux::{Body, Build, LINEAGE_MAX, Policy};
use protocol::rpc::{Code, Failure};
use quorum::Entry;
use units::UnixSecs;

use super::Caller;
use crate::policy::{Measured, Rules, Shown, judge};

/// Checks the lineage of a body that `caller` writes, who may have the record as `rules` say, which are
/// those of what is held or of its founding. `shown` is what the caller shows and what the body does.
pub(super) fn check(
    held: Option<&Entry<Body>>,
    new: &Body,
    rules: &Rules<'_>,
    caller: &Caller,
    shown: &Shown,
    now: UnixSecs,
) -> Result<(), Failure> {
    let known = held.and_then(|entry| entry.body.as_ref()).map(|body| body.value.lineage.as_slice());
    if known == Some(new.lineage.as_slice()) {
        return Ok(());
    }
    let last = new.current().filter(|_| new.lineage.len() <= LINEAGE_MAX);
    let last = last.ok_or_else(|| invalid("body.lineage must name at least one build, and not too many"))?;
    match known {
        None if new.lineage.len() > 1 => {
            return Err(invalid(
                "this key store knows of nobody who had the record before, as body.lineage says",
            ));
        }
        Some(known) if !follows(known, &new.lineage, held.is_some_and(is_settled)) => {
            return Err(invalid("body.lineage leaves out, alters or adds builds that had the record before"));
        }
        None | Some(_) => {}
    }
    check_last(last, rules, caller, shown, now)
}

/// Whether `new` is `known`, or `known` and one more, as far back as a lineage goes; what is known may have a
/// last one too many, if it is not settled: it was written here, and perhaps nowhere else.
fn follows(known: &[Build], new: &[Build], is_settled: bool) -> bool {
    let candidates = [Some(known), known.split_last().map(|(_, before)| before).filter(|_| !is_settled)];
    candidates.into_iter().flatten().any(|known| {
        // Of a lineage that is as long as it may be, the oldest are forgotten.
        let forgotten = if new.len() == LINEAGE_MAX { 0..=known.len() } else { 0..=0 };
        let mut starts = forgotten.map(|count| known.get(count..).unwrap_or_default());
        starts.any(|known| new.starts_with(known) && (!known.is_empty() || new.len() == 1))
    })
}

/// True if whoever wrote the body went on after it: that happens when a quorum has it.
fn is_settled(entry: &Entry<Body>) -> bool {
    entry
        .body
        .as_ref()
        .is_some_and(|body| entry.lease_ms.as_ref().is_some_and(|lease| lease.stamp > body.stamp))
}

fn check_last(
    last: &Build,
    rules: &Rules<'_>,
    caller: &Caller,
    shown: &Shown,
    now: UnixSecs,
) -> Result<(), Failure> {
    let is_current = |current: &Build| current.pcrs == last.pcrs && current.version == last.version;
    if rules.current.as_ref().is_some_and(is_current) {
        return Ok(());
    }
    let Some(version) = &last.version else {
        return Err(invalid(
            "the last of body.lineage has no version, and is not the build that has the record",
        ));
    };
    let is_caller = Measured::of(&caller.document).is_some_and(|build| build.pcrs == last.pcrs);
    // Who writes was admitted already, and waited for it. Others are here what they would be by themselves.
    let min_delay_secs = if is_caller { 0 } else { rules.policy.min_delay_secs };
    let policy = Policy { min_delay_secs, ..rules.policy.clone() };
    let as_release = Rules { policy, current: None, ..rules.clone() };
    let build = Measured { pcrs: last.pcrs, pcr4: rules.pcr4 };
    let signed = judge(&as_release, &build, &shown.of_version(version), now);
    signed.map(drop).map_err(|refusal| {
        let (code, pcr0): (Code, Pcr) = (refusal.code, last.pcrs[0]);
        invalid(&format!(
            "the last of body.lineage, {version} ({pcr0}), is not shown to be one: {code}, {}",
            refusal.reason
        ))
    })
}

fn invalid(problem: &str) -> Failure {
    Failure::new(Code::LineageInvalid, problem)
}
