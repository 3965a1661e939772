//! Secrets, from the owner's seal to ours.

use std::collections::BTreeMap;

use nostr::key::PublicKey;
use protocol::rpc::Failure;
use protocol::secrets::{RegistryLogin, Sealed, Secrets, check_beside};

use crate::context::Context;
use crate::store::Container;

/// Opens what an owner sealed for a container with this environment.
///
/// # Errors
/// [`Failure`] if it cannot be opened, or is against the rules; never repeats a value.
pub(crate) fn open(
    ctx: &Context,
    owner: &PublicKey,
    sealed: Option<&Sealed>,
    env: &BTreeMap<String, String>,
) -> Result<Secrets, Failure> {
    let Some(sealed) = sealed else { return Ok(Secrets::default()) };
    let secrets = sealed.open(ctx.keys.secret_key(), owner)?;
    check_beside(&secrets, env)?;
    Ok(secrets)
}

/// The account with which a container's registry is asked, as it lies in the database. What cannot be
/// opened is as good as none: the registry then says what is missing.
pub(crate) fn login(ctx: &Context, container: &Container) -> Option<RegistryLogin> {
    let sealed = container.spec.secrets.as_ref()?;
    match sealed.open(ctx.keys.secret_key(), &ctx.keys.public_key()) {
        Ok(secrets) => secrets.registry.clone(),
        Err(failure) => {
            tracing::error!(container = %container.pubkey(), "secrets: {failure}");
            None
        }
    }
}

/// Seals secrets as they lie in the database, which leaves the enclave in backups: to the service key, by
/// itself, so that an owner's key that changes hands changes nothing.
///
/// # Errors
/// [`Failure`] if they cannot be encrypted.
pub(crate) fn keep(ctx: &Context, secrets: &Secrets) -> Result<Option<Sealed>, Failure> {
    if secrets.is_empty() {
        return Ok(None);
    }
    secrets.seal(ctx.keys.secret_key(), &ctx.keys.public_key()).map(Some)
}

/// A container's secrets, as they are kept.
///
/// # Errors
/// [`Failure`] if they cannot be opened: a fault of ours.
pub(crate) fn kept(ctx: &Context, container: &Container) -> Result<Option<Secrets>, Failure> {
    let opened = container
        .spec
        .secrets
        .as_ref()
        .map(|sealed| sealed.open(ctx.keys.secret_key(), &ctx.keys.public_key()));
    opened.transpose()
}
