//! What a container tells.

use std::sync::Arc;

use protocol::guest::{AppInfo, Done, LOG_BYTES_MAX, Log, SetInfo};

use crate::context::Context;
use crate::deploy::Fleet;
use crate::guest::refusal::Refusal;
use crate::store::{Container, Origin};

pub(super) fn set_info(fleet: &Arc<Fleet>, container: &Container, request: SetInfo) -> Result<Done, Refusal> {
    let ctx = fleet.context();
    let AppInfo { pubkey } = request.info;
    ctx.store.save_app(&container.pubkey(), &pubkey).map_err(|e| Refusal::internal(&e))?;
    let is_wallet = matches!(&container.origin, Origin::Builtin(name) if *name == ctx.config.wallet);
    if is_wallet {
        // The wallet waits for this answer before it listens, so it is asked afterwards.
        let fleet = Arc::clone(fleet);
        tokio::spawn(async move { fleet.wallet_appeared(pubkey).await });
    }
    // Said again, it is no news: a guest must not make us publish as often as it likes.
    if container.app != Some(pubkey) {
        ctx.changes.container(container.pubkey());
    }
    Ok(Done { ok: true })
}

/// Cuts the line, and takes what would forge another: the operator reads lines.
pub(super) fn log(ctx: &Context, container: &Container, request: &Log) -> Done {
    let mut end = request.message.len().min(LOG_BYTES_MAX);
    while !request.message.is_char_boundary(end) {
        end -= 1;
    }
    let line: String = request.message[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    ctx.parent_log.line(format!("container {}: {line}", container.pubkey()));
    Done { ok: true }
}
