//! What each command does: from its options to a value that can be shown.

mod attestation;
mod build;
mod container;
mod deploy;
mod instance;
mod key;
mod keycrux;
mod proof;
mod release;
mod signed;
mod wallet;

use crate::args::{
    AttestationCommand, BuildCommand, Command, ContainerCommand, InstanceCommand, KeyCommand, KeycruxCommand,
    Options, ReleaseCommand, WalletCommand,
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
            ContainerCommand::Topup(args) => ctx.render(&container::topup(ctx, &args).await?),
            ContainerCommand::Pause(args) => ctx.render(&container::command(ctx, &args, "pause").await?),
            ContainerCommand::Resume(args) => ctx.render(&container::command(ctx, &args, "resume").await?),
            ContainerCommand::Terminate(args) => {
                ctx.render(&container::command(ctx, &args, "terminate").await?)
            }
            ContainerCommand::Withdraw(args) => ctx.render(&container::withdraw(ctx, &args).await?),
            ContainerCommand::Verify(args) => ctx.render(&container::verify(ctx, &args).await?),
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
        Command::Build(BuildCommand::Sign(args)) => ctx.render(&build::sign(ctx, &args, given).await?),
    }
}
