//! The certificate that signs one image (NEC-03), its key, and the program that uses the key.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384, date_time_ymd};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use units::UnixSecs;
use zeroize::Zeroizing;

use crate::error::Failure;

/// How long before now the certificate begins: the clock of the machine that starts the enclave may be
/// behind ours.
const BEGINS_BEFORE_SECS: u64 = 86_400;
/// Characters in a line of PEM (RFC 7468).
const PEM_LINE_CHARS: usize = 64;

/// A certificate that was just made, and its key.
pub(crate) struct SigningCertificate {
    /// The certificate, in PEM.
    pub(crate) pem: String,
    key_pem: Zeroizing<String>,
}

impl SigningCertificate {
    /// Makes a P-384 key and a certificate `CN=npub…, O=Nostr` for it, signed by itself.
    ///
    /// An enclave whose image was signed with an expired certificate does not start, and the key is gone
    /// with the build, so an end brings no safety: it is the last day that X.509 writes in the form that
    /// every parser reads (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// `certificate_unmade`.
    pub(crate) fn make(builder: &PublicKey, now: UnixSecs) -> Result<Self, Failure> {
        let unmade = |why: String| {
            Failure::refused("certificate_unmade", format!("no certificate could be made: {why}"))
        };
        let npub = builder.to_bech32().map_err(|e| unmade(e.to_string()))?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|e| unmade(e.to_string()))?;
        let key = Zeroizing::new(key);
        let mut params = CertificateParams::default();
        let begin = std::time::Duration::from_secs(now.minus_secs(BEGINS_BEFORE_SECS).0);
        params.not_before = date_time_ymd(1970, 1, 1) + begin;
        params.not_after = date_time_ymd(2049, 12, 31);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, npub);
        params.distinguished_name.push(DnType::OrganizationName, "Nostr");
        let certificate = params.self_signed(&*key).map_err(|e| unmade(e.to_string()))?;
        Ok(Self {
            pem: pem("CERTIFICATE", certificate.der()).to_string(),
            key_pem: pem("PRIVATE KEY", key.serialized_der()),
        })
    }

    /// Runs the program that signs the image, with the key on its standard input, and forgets the key.
    /// What it prints goes to standard error: standard output is for our result. `hide` is a variable
    /// that it does not get to see.
    ///
    /// # Errors
    /// `command_failed`.
    pub(crate) async fn used_by(&self, command: &[OsString], hide: Option<&str>) -> Result<(), Failure> {
        let Some((program, arguments)) = command.split_first() else { return Ok(()) };
        let shown = program.to_string_lossy();
        let failed = |why: String| Failure::refused("command_failed", format!("{shown} {why}"));
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        let stderr = stderr.map_err(|e| failed(format!("was not started: {e}")))?;
        let mut starting = Command::new(program);
        starting.args(arguments).stdin(Stdio::piped()).stdout(Stdio::from(stderr)).kill_on_drop(true);
        if let Some(variable) = hide {
            starting.env_remove(variable);
        }
        let mut running = starting.spawn().map_err(|e| failed(format!("was not started: {e}")))?;
        if let Some(mut stdin) = running.stdin.take() {
            // A program that does not read it fails, or tells by its result that it needs none.
            drop(stdin.write_all(self.key_pem.as_bytes()).await);
        }
        let status = running.wait().await.map_err(|e| failed(format!("was lost: {e}")))?;
        if status.success() { Ok(()) } else { Err(failed(format!("did not sign the image: {status}"))) }
    }
}

/// The text form of RFC 7468, without leaving copies of what could be a key.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let lines = body.len().div_ceil(PEM_LINE_CHARS);
    let mut text = Zeroizing::new(String::with_capacity(body.len() + lines + 2 * label.len() + 64));
    text.extend(["-----BEGIN ", label, "-----\n"]);
    let mut rest = body.as_str();
    while !rest.is_empty() {
        // Base64 is ASCII.
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        text.extend([line, "\n"]);
        rest = after;
    }
    text.extend(["-----END ", label, "-----\n"]);
    text
}

impl std::fmt::Debug for SigningCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningCertificate").field("pem", &self.pem).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use nostr::key::Keys;
    use protocol::nec::builder;

    use super::*;

    const NOW: UnixSecs = UnixSecs(1_750_000_000);

    fn made() -> (PublicKey, SigningCertificate) {
        let builder = Keys::generate().public_key();
        (builder, SigningCertificate::make(&builder, NOW).unwrap())
    }

    #[test]
    fn certificate_is_the_builders_now_and_in_twenty_years() {
        let (of, made) = made();
        let check = |pem: &str, builder: &PublicKey, at: u64| {
            builder::signing_certificate(pem, builder, UnixSecs(at)).map(drop).map_err(|e| e.code())
        };
        assert_eq!(check(&made.pem, &of, NOW.0), Ok(()));
        assert_eq!(check(&made.pem, &of, NOW.0 - BEGINS_BEFORE_SECS), Ok(()));
        assert_eq!(check(&made.pem, &of, 2_500_000_000), Ok(()));
        assert_eq!(check(&made.pem, &of, NOW.0 - BEGINS_BEFORE_SECS - 1), Err("builder_invalid"));
        assert_eq!(check(&made.pem, &Keys::generate().public_key(), NOW.0), Err("builder_invalid"));
        assert_eq!(check("", &of, NOW.0), Err("builder_invalid"));
    }

    #[test]
    fn keys_are_never_the_same_and_do_not_print() {
        let ((_, one), (_, other)) = (made(), made());
        assert_ne!(*one.key_pem, *other.key_pem);
        assert!(one.key_pem.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        assert!(one.key_pem.lines().all(|line| line.len() <= PEM_LINE_CHARS));
        assert!(!format!("{one:?}").contains("PRIVATE"), "{one:?}");
    }

    #[tokio::test]
    async fn program_reads_the_key_that_the_certificate_is_for() {
        let (_, made) = made();
        let folder = tempfile::tempdir().unwrap();
        let read = folder.path().join("read");
        let script = format!("cat /dev/stdin > {}", read.display());
        let command = ["sh", "-c", &script].map(OsString::from);
        made.used_by(&command, None).await.unwrap();
        assert_eq!(std::fs::read_to_string(read).unwrap(), *made.key_pem);
        let key = KeyPair::from_pem(&made.key_pem).unwrap();
        let der =
            STANDARD.decode(made.pem.lines().filter(|l| !l.starts_with('-')).collect::<String>()).unwrap();
        let public = key.public_key_raw();
        assert!(der.windows(public.len()).any(|part| part == public), "the certificate is for another key");
    }

    #[tokio::test]
    async fn program_that_fails_is_told() {
        let (_, made) = made();
        let run = |command: &'static [&'static str]| {
            let command: Vec<_> = command.iter().map(OsString::from).collect();
            let made = &made;
            async move { made.used_by(&command, None).await.map_err(|e| e.code().to_owned()) }
        };
        assert_eq!(run(&["true"]).await, Ok(()));
        assert_eq!(run(&["false"]).await, Err("command_failed".into()));
        assert_eq!(run(&["no-such-program-of-the-tests"]).await, Err("command_failed".into()));
    }
}
