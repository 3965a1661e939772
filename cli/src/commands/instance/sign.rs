//! `encli instance sign`.

use protocol::kinds::LAUNCHER_SIGNATURE;
use protocol::nec::launcher::draft;

use crate::args::{InstanceSign, Options};
use crate::commands::signed::{self, Signed};
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::signer::Signer;

const NEXT: &str = "Give it to the parent as instance.json: the server shows it with its announcement.";

/// Signs for a machine.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn sign(ctx: &Context, args: &InstanceSign, given: &Options) -> Result<Signed, Failure> {
    let why = "is not part of a launcher's signature: PCR4 is made of the instance's id";
    signed::refuse_given(&[("--pcr", !given.pcr.is_empty()), ("--ref", given.repo.is_some())], why)?;
    if let Some(path) = &args.signing.out {
        files::check_new(path)?;
    }
    let mut signer = Signer::connect(ctx, LAUNCHER_SIGNATURE).await?;
    let machine = draft(&args.instance_id, args.signing.env, ctx.now());
    Signed::write(signer.sign(ctx, machine).await?, &args.signing, NEXT)
}
