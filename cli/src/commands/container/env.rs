//! `encli container set-env`.

use protocol::rpc::enclaved::{ContainerParams, ContainerStatus, SetEnvParams};
use protocol::secrets::check_beside;

use super::owner::Status;
use crate::args::ContainerSetEnv;
use crate::commands::deploy::request::{environment, hidden, login};
use crate::context::Context;
use crate::error::Failure;
use crate::remote::Home;

/// Changes a container's environment and shows what became of it.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn set_env(ctx: &Context, args: &ContainerSetEnv) -> Result<Status, Failure> {
    let keys = ctx.keys()?;
    if args.account.registry_user.is_some() {
        return set_login(ctx, args).await;
    }
    let env = environment(&args.env)?;
    let secrets = hidden(&args.secret, &args.secret_file)?;
    check_beside(&secrets, &env)?;
    let pubkey = args.container.npub;
    let home = Home::find(ctx, pubkey, args.container.instance).await?;
    let remote = home.connect(ctx, keys.clone()).await?;
    let sealed = match secrets.is_empty() && !args.no_secrets {
        true => None,
        false => Some(secrets.seal(keys.secret_key(), &home.service)?),
    };
    let params = SetEnvParams { pubkey, env: Some(env), secrets: sealed };
    let _doing = ctx.progress.begin("set-env: waiting for the server");
    let status = remote.command("set_env", &params, ctx.settings.launch_wait()).await?;
    Ok(Status::new(status, &home))
}

/// Changes a container's account at its image's registry.
async fn set_login(ctx: &Context, args: &ContainerSetEnv) -> Result<Status, Failure> {
    let others = [&args.env, &args.secret, &args.secret_file];
    if args.no_secrets || others.iter().any(|given| !given.is_empty()) {
        return Err(Failure::usage(
            "usage",
            "--registry-user: give the account alone; nothing else changes with it",
        ));
    }
    let (keys, pubkey) = (ctx.keys()?, args.container.npub);
    let home = Home::find(ctx, pubkey, args.container.instance).await?;
    let remote = home.connect(ctx, keys.clone()).await?;
    let _doing = ctx.progress.begin("set-env: waiting for the server");
    let status: ContainerStatus = remote.ask("status", &ContainerParams { pubkey }).await?;
    let registry = login(&args.account, &status.info.image)?;
    let mut secrets = hidden(&[], &[])?;
    secrets.registry = registry;
    let sealed = secrets.seal(keys.secret_key(), &home.service)?;
    let params = SetEnvParams { pubkey, env: None, secrets: Some(sealed) };
    let status = remote.command("set_env", &params, ctx.settings.launch_wait()).await?;
    Ok(Status::new(status, &home))
}
