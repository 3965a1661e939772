//! A container's way to its money.

use nostr::types::RelayUrl;
use protocol::guest::WalletReply;
use protocol::nwc::ConnectionUri;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::guest::refusal::{Refusal, RefusalCode};
use crate::store::Container;

/// The connection to the account that pays for the container, on the relays where everybody reaches the
/// wallet. The account is the container's key, so that is what the string holds.
pub(super) fn wallet(ctx: &Context, container: &Container) -> Result<WalletReply, Refusal> {
    if container.is_builtin() {
        return Err(Refusal::new(RefusalCode::Unavailable, "a built-in has no account"));
    }
    let tag = ctx.wallet.tag().ok_or_else(|| {
        Refusal::new(RefusalCode::Unavailable, "the server's wallet is not there yet; ask again in a minute")
    })?;
    let relays = ctx.config.relays.iter().map(|url| RelayUrl::parse(url)).collect::<Result<Vec<_>, _>>();
    let relays = relays.map_err(|e| Refusal::internal(&e))?;
    let secret = Zeroizing::new(container.keys.secret_key().to_secret_bytes());
    let uri = ConnectionUri::new(tag.service, relays, secret, None).map_err(|e| Refusal::internal(&e))?;
    Ok(WalletReply { nwc: uri.reveal().to_string() })
}
