//! `encli build sign`.

use protocol::kinds::BUILDER_SIGNATURE;
use protocol::nec::builder::{draft, signing_certificate};

use super::signed::{self, Signed};
use crate::args::{BuildSign, Options};
use crate::certificate::SigningCertificate;
use crate::context::Context;
use crate::error::Failure;
use crate::files;
use crate::secrets::KeyRef;
use crate::signer::Signer;

const NEXT: &str = "Give it to the parent as build.json: the server shows it with its announcement.";

/// Signs a build: makes the certificate and has the image signed with it, if a program for that is
/// named, and vouches for the certificate.
///
/// # Errors
/// [`Failure`].
pub(crate) async fn sign(ctx: &Context, args: &BuildSign, given: &Options) -> Result<Signed, Failure> {
    let why = "is not part of a builder's signature: PCR8 is the certificate's";
    signed::refuse_given(&[("--pcr", !given.pcr.is_empty())], why)?;
    let repo = signed::repo(given)?;
    if let Some(path) = &args.signing.out {
        files::check_new(path)?;
    }
    let makes = !args.command.is_empty();
    if makes {
        files::check_new(&args.certificate)?;
    }
    // Before the image is built: the certificate names the signer, and a signer who is not there now
    // would leave an image without a builder.
    let mut signer = Signer::connect(ctx, BUILDER_SIGNATURE).await?;
    let pem = if makes { made(ctx, args, &signer).await? } else { given_certificate(args)? };
    let der = signing_certificate(&pem, &signer.public_key(), ctx.now())?;
    let build = draft(repo, &args.version.to_string(), &der, args.signing.env, ctx.now());
    let event =
        signer.sign(ctx, build).await.map_err(|e| if makes { e.with_hint(again(args)) } else { e })?;
    Signed::write(event, &args.signing, NEXT)
}

/// The certificate that was just made, with which the image is signed.
async fn made(ctx: &Context, args: &BuildSign, signer: &Signer) -> Result<String, Failure> {
    let certificate = SigningCertificate::make(&signer.public_key(), ctx.now())?;
    files::write_public(&args.certificate, certificate.pem.trim_end())?;
    let variable = ctx.key().ok().and_then(KeyRef::variable);
    if let Err(e) = certificate.used_by(&args.command, variable).await {
        // Its key is gone: nothing can ever be signed with it. That it is left behind would be no harm.
        drop(std::fs::remove_file(&args.certificate));
        return Err(e);
    }
    Ok(certificate.pem)
}

/// The certificate that is there.
fn given_certificate(args: &BuildSign) -> Result<String, Failure> {
    let bytes = files::read(&args.certificate).map_err(|e| {
        e.with_hint("to make a certificate, say after `--` which program signs the image with its key")
    })?;
    String::from_utf8(bytes).map_err(|_| {
        let message = format!("{} is no certificate in PEM", args.certificate.display());
        Failure::refused("builder_invalid", message)
    })
}

/// What to do if the image is signed and the event is not.
fn again(args: &BuildSign) -> String {
    let certificate = args.certificate.display();
    format!(
        "the image is signed: give the same command with --certificate {certificate} and nothing after it"
    )
}
