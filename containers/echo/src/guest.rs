//! How the daemon that runs us is reached.

use anyhow::Context;
use protocol::guest::{ENDPOINT_VARIABLE, TOKEN_VARIABLE};
use transport::GuestClient;

/// Reads what the daemon put into our environment.
#[expect(clippy::disallowed_methods, reason = "the daemon tells a container by its environment")]
pub(crate) fn from_environment() -> anyhow::Result<GuestClient> {
    let endpoint = std::env::var(ENDPOINT_VARIABLE).context(ENDPOINT_VARIABLE)?;
    let token = std::env::var(TOKEN_VARIABLE).context(TOKEN_VARIABLE)?;
    Ok(GuestClient::new(endpoint, token))
}
