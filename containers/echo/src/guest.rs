//! How the daemon that runs us is reached: by its WebSocket, as the reference's guests do, and by its
//! socket, which does more.

use anyhow::Context;
use protocol::guest::{ENDPOINT_VARIABLE, SOCKET_VARIABLE, TOKEN_VARIABLE};
use transport::{GuestClient, GuestSocket};

/// Reads what the daemon put into our environment.
#[expect(clippy::disallowed_methods, reason = "the daemon tells a container by its environment")]
pub(crate) fn from_environment() -> anyhow::Result<(GuestClient, GuestSocket)> {
    let variable = |name| std::env::var(name).context(name);
    let client = GuestClient::new(variable(ENDPOINT_VARIABLE)?, variable(TOKEN_VARIABLE)?);
    Ok((client, GuestSocket::new(variable(SOCKET_VARIABLE)?.into())))
}
