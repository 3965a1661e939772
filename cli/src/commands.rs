//! What each command does: from its options to a value that can be shown.

mod attestation;
mod build;
mod container;
mod deploy;
mod image;
mod instance;
mod key;
mod keycrux;
mod proof;
mod release;
mod signed;
mod wallet;

use crate::args::{
    AttestationCommand, BuildCommand, Command, ContainerCommand, ImageCommand, InstanceCommand, KeyCommand,
    KeycruxCommand, Options, ReleaseCommand, StatementCommand, WalletCommand,
};
use crate::context::Context;
use crate::error::Failure;

/// Carries out a command and renders what came of it. `given` are the shared options as they stood on
/// the command line.
///
/// # Errors
/// Why it came to nothing.
pub(crate) async fn run(ctx: &Context, command: Command, given: &Options) -> Result<String, Failure> {
    match command {
        Command::Attestation(AttestationCommand::Verify(args)) => {
            ctx.render(&attestation::verify(ctx, &args, given)?)
        }
        Command::Instance(command) => match command {
            InstanceCommand::Ls(args) => ctx.render(&instance::ls(ctx, &args).await?),
            InstanceCommand::Inspect(args) => ctx.render(&instance::inspect(ctx, &args).await?),
            InstanceCommand::Verify(args) => ctx.render(&instance::verify(ctx, &args)?),
            InstanceCommand::Genesis(args) => ctx.render(&instance::genesis(ctx, &args, given).await?),
            InstanceCommand::Sign(args) => ctx.render(&instance::sign(ctx, &args, given).await?),
        },
        Command::Deploy(args) => ctx.render(&deploy::deploy(ctx, &args).await?),
        Command::Container(command) => match command {
            ContainerCommand::Ls { instance } => ctx.render(&container::ls(ctx, instance).await?),
            ContainerCommand::Status(args) => ctx.render(&container::status(ctx, &args).await?),
            ContainerCommand::Logs(args) => {
                ctx.render(&container::logs(ctx, &args, ctx.settings.json).await?)
            }
            ContainerCommand::Stats(args) => ctx.render(&container::stats(ctx, &args).await?),
            ContainerCommand::Events(args) => ctx.render(&container::events(ctx, &args).await?),
            ContainerCommand::Exec(args) => ctx.render(&container::exec(ctx, &args).await?),
            ContainerCommand::Transfer(args) => ctx.render(&container::transfer(ctx, &args).await?),
            ContainerCommand::Accept(args) => {
                ctx.render(&container::command(ctx, &args, "accept_transfer").await?)
            }
            ContainerCommand::Topup(args) => ctx.render(&container::topup(ctx, &args).await?),
            ContainerCommand::Pause(args) => ctx.render(&container::command(ctx, &args, "pause").await?),
            ContainerCommand::Resume(args) => ctx.render(&container::command(ctx, &args, "resume").await?),
            ContainerCommand::Terminate(args) => {
                ctx.render(&container::command(ctx, &args, "terminate").await?)
            }
            ContainerCommand::Withdraw(args) => ctx.render(&container::withdraw(ctx, &args).await?),
            ContainerCommand::Upgrade(args) => ctx.render(&container::upgrade(ctx, &args).await?),
            ContainerCommand::Upgrades(args) => {
                ctx.render(&container::upgrades(ctx, &args, "upgrades").await?)
            }
            ContainerCommand::Pin(args) => ctx.render(&container::upgrades(ctx, &args, "pin").await?),
            ContainerCommand::Unpin(args) => ctx.render(&container::upgrades(ctx, &args, "unpin").await?),
            ContainerCommand::Verify(args) => ctx.render(&container::verify(ctx, &args).await?),
            ContainerCommand::SetEnv(args) => ctx.render(&container::set_env(ctx, &args).await?),
            ContainerCommand::Receipts(args) => ctx.render(&container::receipts(ctx, &args).await?),
            ContainerCommand::Statement(StatementCommand::Verify(args)) => {
                ctx.render(&container::verify_statement(ctx, &args)?)
            }
            ContainerCommand::VerifyAnswer(args) => ctx.render(&container::verify_answer(ctx, &args).await?),
        },
        Command::Wallet(command) => match command {
            WalletCommand::Create(args) => ctx.render(&wallet::create(ctx, &args).await?),
            WalletCommand::Balance(choice) => ctx.render(&wallet::balance(ctx, &choice).await?),
            WalletCommand::Invoice(args) => ctx.render(&wallet::invoice(ctx, &args).await?),
            WalletCommand::Pay(args) => ctx.render(&wallet::pay(ctx, &args).await?),
            WalletCommand::History(args) => ctx.render(&wallet::history(ctx, &args).await?),
        },
        Command::Keycrux(command) => match command {
            KeycruxCommand::Ls(args) => ctx.render(&keycrux::ls(ctx, &args).await?),
            KeycruxCommand::Ping(args) => ctx.render(&keycrux::ping(ctx, &args).await?),
            KeycruxCommand::Status(args) => ctx.render(&keycrux::status(ctx, &args).await?),
            KeycruxCommand::Has(args) => ctx.render(&keycrux::has(ctx, &args).await?),
            KeycruxCommand::Check(args) => keycrux::check(ctx, &args).await,
            KeycruxCommand::Approve(args) => ctx.render(&keycrux::approve(ctx, &args, given).await?),
        },
        Command::Key(KeyCommand::Create(args)) => ctx.render(&key::create(&args)?),
        Command::Release(command) => match command {
            ReleaseCommand::Sign(args) => ctx.render(&release::sign(ctx, &args, given).await?),
            ReleaseCommand::Verify(args) => ctx.render(&release::verify(ctx, &args, given)?),
        },
        Command::Image(command) => match command {
            ImageCommand::SignRelease(args) => ctx.render(&image::sign_release(ctx, &args, given).await?),
            ImageCommand::PublishRelease(args) => {
                ctx.render(&image::publish_release(ctx, &args, given).await?)
            }
        },
        Command::Build(BuildCommand::Sign(args)) => ctx.render(&build::sign(ctx, &args, given).await?),
    }
}
