//! `encli instance genesis`.

use protocol::kinds::GENESIS;
use protocol::nec::genesis::draft;

use crate::args::{InstanceGenesis, Options};
use crate::commands::signed::{self, Signed};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::signer::Signer;

const NEXT: &str = "Give it to the parent as genesis.json, and leave it there: the record is named by it.";

/// Permits a fresh start.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn genesis(
    ctx: &Context,
    args: &InstanceGenesis,
    given: &Options,
) -> Result<Signed, Failure> {
    let why = "is not part of the permission: it names the machine with --pcr4, and the run with --boot-key";
    signed::refuse_given(&[("--pcr", !given.pcr.is_empty()), ("--ref", given.repo.is_some())], why)?;
    if let Some(path) = &args.signing.out {
        files::check_new(path)?;
    }
    let mut signer = Signer::connect(ctx, GENESIS).await?;
    let (now, until) = (ctx.now(), ctx.now().plus_secs(args.expires));
    let permission = draft(&args.boot_key, &args.pcr4, args.signing.env, until, now);
    Signed::write(signer.sign(ctx, permission).await?, &args.signing, NEXT)
}
