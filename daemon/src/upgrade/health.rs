//! Whether a new image is healthy. An app is healthy if
//!
//! 1. its process stays: it has not ended when it has run for `settle_secs`; and
//! 2. within `health_secs`, the page that the image's label `health` names (`[PORT]/path`) answered a `GET`
//!    with a status of 200 to 299; or, of an image without that label, every published port on which the
//!    image before it accepted connections accepts them again.
//!
//! An app without published ports and without the label is healthy if its process stays.

use std::time::Duration;

use protocol::rpc::enclaved::StateReason;
use units::Stopwatch;

use super::because;
use crate::context::Context;
use crate::store::{Container, Probe};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one question may take: an app that hangs is asked again.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// The published ports of a container that accept connections now.
pub(super) async fn accepting(ctx: &Context, container: &Container) -> Vec<u16> {
    let mut ports = Vec::new();
    for mapping in &container.spec.ports {
        if ctx.runtime.accepts(container, mapping.container_port).await {
            ports.push(mapping.container_port);
        }
    }
    ports
}

/// Waits until a container that was just started is healthy.
///
/// # Errors
/// Why it is not: `process_exits` or `unhealthy`; `engine_failed` if the engine did not answer meanwhile, with which
/// processes end, and which says nothing of the image.
pub(super) async fn wait_healthy(
    ctx: &Context,
    container: &Container,
    probe: &Probe,
) -> Result<(), StateReason> {
    let rules = ctx.config.upgrade;
    let (settle, deadline) = (Duration::from_secs(rules.settle_secs), Duration::from_secs(rules.health_secs));
    let running = Stopwatch::start();
    let (mut answered, mut engine_failed) = (false, false);
    let blame = |engine_failed: bool, code: &str, message: String| {
        if engine_failed {
            let message = "the server's container engine failed during the trial, which says nothing of the image; \
                           a release is tried again later, another image may be asked for again";
            return Err(because("engine_failed", message));
        }
        Err(because(code, message))
    };
    // Beside the looks: an app that lets a question wait must not hide what becomes of its process, or the engine.
    let asking = async {
        while !answers(ctx, container, probe).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::pin!(asking);
    loop {
        tokio::select! {
            () = &mut asking, if !answered => answered = true,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        match ctx.runtime.is_running(container).await {
            Ok(true) if answered && running.elapsed() >= settle => return Ok(()),
            Ok(true) => {}
            Ok(false) => {
                let message = "the new image's process ended by itself; look at its output";
                return blame(engine_failed, "process_exits", message.to_owned());
            }
            Err(e) => {
                tracing::warn!(container = %container.pubkey(), "look: {e}");
                engine_failed = true;
            }
        }
        if running.elapsed() >= deadline {
            let message = format!(
                "the new image did not become healthy within {} s: {}",
                rules.health_secs,
                wanted(probe)
            );
            return blame(engine_failed, "unhealthy", message);
        }
    }
}

fn wanted(probe: &Probe) -> String {
    match probe {
        Probe::Page { port, path } => format!("GET {path} on port {port} must answer with 200 to 299"),
        Probe::Ports(ports) => format!("ports {ports:?} must accept connections, as before"),
    }
}

async fn answers(ctx: &Context, container: &Container, probe: &Probe) -> bool {
    match probe {
        Probe::Page { port, path } => page_answers(ctx, container, *port, path).await,
        Probe::Ports(ports) => {
            for port in ports {
                if !ctx.runtime.accepts(container, *port).await {
                    return false;
                }
            }
            true
        }
    }
}

/// Only the status counts; what follows it is not read.
async fn page_answers(ctx: &Context, container: &Container, port: u16, path: &str) -> bool {
    let Some(address) = ctx.runtime.inner_address(container, port) else { return false };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_WAIT)
        .build();
    let Ok(client) = client else { return false };
    match client.get(format!("http://{address}{path}")).send().await {
        Ok(answer) => answer.status().is_success(),
        Err(e) => {
            tracing::debug!(container = %container.pubkey(), "page of health: {e}");
            false
        }
    }
}
