//! Waiting until a container runs, and checking that it is the one that was agreed on.

use std::time::Duration;

use nostr::filter::Filter;
use protocol::event::CheckedEvent;
use protocol::kinds::CONTAINER;
use protocol::nec::VerifiedContainer;
use protocol::rpc::enclaved::{ContainerParams, ContainerStatus};
use units::{Stopwatch, UnixSecs};

use super::agree::Agreed;
use super::choose::Chosen;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::remote::Remote;

/// How often the server is asked; its public event usually comes first.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long a paid container may take to come up: its image has to be fetched.
const START_WAIT: Duration = Duration::from_secs(300);
/// How long its event may take once it runs.
const EVENT_WAIT: Duration = Duration::from_secs(60);

/// How long after its end an invoice may still turn out to have been paid.
const LATE: Duration = Duration::from_secs(30);

/// Waits until the container's own event says that it runs, and verifies it. `paid` says whether its
/// invoice was paid by us.
///
/// # Errors
/// Why it does not come up, or why what came up is not what was agreed on.
pub(super) async fn until_deployed(
    ctx: &Context,
    remote: &Remote,
    chosen: &Chosen,
    agreed: &Agreed,
    paid: bool,
) -> Result<VerifiedContainer, Failure> {
    let pool = ctx.pool_of(&chosen.relays()).await?;
    let filter = Filter::new().kind(CONTAINER).author(agreed.container);
    let mut events = pool.subscribe(filter).await?;
    let mut watch = Watch { paid: paid.then(Stopwatch::start), runs: None };
    let mut doing = ctx.progress.begin(watch.stage());
    loop {
        let event = tokio::time::timeout(ASK_EVERY, events.next()).await;
        match event {
            Ok(Some(event)) => {
                let running = verify(ctx, chosen, agreed, &event)?;
                if running.state() == Some("deployed") {
                    return Ok(running);
                }
            }
            Ok(None) => {
                return Err(Failure::no_answer("relays_unreachable", "the connection to the relays ended"));
            }
            Err(_elapsed) => {
                watch.look(remote, agreed).await?;
                doing.now(watch.stage());
                watch.check_times(ctx.now(), agreed)?;
            }
        }
    }
}

/// What the server says in the meantime.
#[derive(Debug)]
struct Watch {
    paid: Option<Stopwatch>,
    runs: Option<Stopwatch>,
}

impl Watch {
    /// What is being waited for.
    const fn stage(&self) -> &'static str {
        match (&self.paid, &self.runs) {
            (None, None) => "waiting for the payment",
            (Some(_), None) => "paid; waiting for the server to fetch the image and start it",
            (_, Some(_)) => "it runs; waiting for its certificate",
        }
    }

    async fn look(&mut self, remote: &Remote, agreed: &Agreed) -> Result<(), Failure> {
        let asked = remote.ask("status", &ContainerParams { pubkey: agreed.container }).await;
        let status: ContainerStatus = match asked {
            Ok(status) => status,
            // The server may be busy, or restarting: it is asked again until the time is over.
            Err(e) if e.exit() == Exit::NoAnswer => return Ok(()),
            Err(e) => return Err(e),
        };
        match status.info.state.as_str() {
            "waiting" => {}
            "expired" | "failed" | "terminated" => return Err(over(&status)),
            "deployed" | "paused" => {
                self.paid.get_or_insert_with(Stopwatch::start);
                self.runs.get_or_insert_with(Stopwatch::start);
            }
            _ => {
                self.paid.get_or_insert_with(Stopwatch::start);
            }
        }
        Ok(())
    }

    fn check_times(&self, now: UnixSecs, agreed: &Agreed) -> Result<(), Failure> {
        let is_over = |since: Option<Stopwatch>, wait| since.is_some_and(|since| since.elapsed() > wait);
        if is_over(self.runs, EVENT_WAIT) {
            let message = "the server says that the container runs, but no event of it came";
            return Err(
                Failure::no_answer("no_answer", message).with_hint("try `encli container verify` later")
            );
        }
        if is_over(self.paid, START_WAIT) {
            let message = format!("the container did not come up within {} s", START_WAIT.as_secs());
            let hint = "it may still: its state and its events say how far it is";
            return Err(Failure::no_answer("no_answer", message).with_hint(hint));
        }
        if self.paid.is_none() && now > agreed.bill.expires_at + LATE {
            return Err(Failure::refused(
                "invoice_expired",
                "the invoice was not paid in time; deploy again",
            ));
        }
        Ok(())
    }
}

/// The container's end, in the server's words.
fn over(status: &ContainerStatus) -> Failure {
    let state = &status.info.state;
    let said = status.reason.as_ref().map(|reason| format!(": {} [{}]", reason.message, reason.code));
    let message = format!("the container is {state}{}", said.unwrap_or_default());
    let code = if state == "expired" { "invoice_expired" } else { "launch_failed" };
    Failure::refused(code, message)
}

/// Checks that an event is of the container that was agreed on, where it was agreed.
fn verify(
    ctx: &Context,
    chosen: &Chosen,
    agreed: &Agreed,
    event: &CheckedEvent,
) -> Result<VerifiedContainer, Failure> {
    let container = VerifiedContainer::verify(event, &ctx.policy()?)?;
    if container.chain().root().service() != chosen.service() {
        return Err(Failure::refused(
            "key_mismatch",
            "the container runs on another server than it was launched on",
        ));
    }
    let certified = container.certified();
    if certified.image != agreed.image || certified.manifest_sha256.as_ref() != Some(&agreed.manifest_sha256)
    {
        let message = "what runs is certified as something else than was agreed on; do not use it";
        return Err(Failure::refused("manifest_mismatch", message));
    }
    Ok(container)
}

#[cfg(test)]
mod tests {
    use protocol::manifest::LaunchManifest;
    use protocol::rpc::enclaved::StateReason;
    use serde_json::json;

    use super::*;

    fn status(state: &str, reason: Option<StateReason>) -> ContainerStatus {
        let key = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
        let manifest: LaunchManifest = serde_json::from_value(json!({
            "version": 1, "image": "r/a@sha256:00", "args": null, "env": {}, "units": 1, "ports": [],
            "volumes": [], "egress": "none", "upgrade": "none", "owner": key, "logs": true, "exec": false,
        }))
        .unwrap();
        serde_json::from_value(json!({
            "pubkey": key, "state": state, "image": "r/a@sha256:00", "manifest_sha256": "00", "units": 1,
            "price_msat_per_hour": 1, "endpoints": [], "created_at": 1, "balance_msat": 0,
            "owner_paused": false, "exits": 0, "reason": reason, "manifest": manifest,
            "salt": "00".repeat(32), "limits_not_enforced": [],
        }))
        .unwrap()
    }

    #[test]
    fn stage_is_told_as_it_changes() {
        let mut watch = Watch { paid: None, runs: None };
        let mut stages = vec![watch.stage()];
        watch.paid = Some(Stopwatch::start());
        stages.push(watch.stage());
        watch.runs = Some(Stopwatch::start());
        stages.push(watch.stage());
        assert!(stages[0].contains("payment") && stages[1].contains("image") && stages[2].contains("runs"));
    }

    #[test]
    fn end_of_a_container_is_told_in_the_servers_words() {
        let expired = over(&status("expired", None));
        assert_eq!((expired.code(), expired.message()), ("invoice_expired", "the container is expired"));
        let reason = StateReason { code: "image_too_large".into(), message: "it is too large".into() };
        let failed = over(&status("failed", Some(reason)));
        assert_eq!(failed.code(), "launch_failed");
        assert_eq!(failed.message(), "the container is failed: it is too large [image_too_large]");
    }
}
