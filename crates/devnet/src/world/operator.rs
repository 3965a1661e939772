//! Who stands behind a world's server: two maintainers, a builder, a launcher.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attestation::{Pcr, pcr_digest};
use nostr::key::Keys;
use nostr::nips::nip19::ToBech32;
use protocol::nec::{Env, builder, launcher, release};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use units::{Clock, SystemClock};

/// The repository that the world's server claims to be built from.
pub const REPO: &str = "https://example.com/enclaved";
const VERSION: &str = "0.1.0";
const INSTANCE_ID: &str = "i-0devnet0000000001";

/// The people behind the server, and what they signed.
#[derive(Debug)]
pub struct Operator {
    maintainers: [Keys; 2],
    builder: Keys,
    launcher: Keys,
    image_pcrs: [Pcr; 3],
    signing_pcr: Pcr,
    dir: PathBuf,
}

impl Operator {
    /// Makes keys, signs build, machine and release, and lays the events where the parent finds them.
    pub(super) fn new(dir: &Path) -> Result<Self> {
        let release_dir = dir.join("release");
        std::fs::create_dir_all(&release_dir).with_context(|| dir.display().to_string())?;
        let (builder, launcher) = (Keys::generate(), Keys::generate());
        let maintainers = [Keys::generate(), Keys::generate()];
        let certificate = signing_certificate(&builder)?;
        let image_pcrs = ["kernel and image", "kernel and init", "application"]
            .map(|part| pcr_digest(format!("devnet: {part}").as_bytes()));
        let now = SystemClock.now();
        let build = builder::build(&builder, REPO, VERSION, &certificate, Env::Dev, now)?;
        std::fs::write(dir.join("build.json"), build.as_json())?;
        let machine = launcher::build(&launcher, INSTANCE_ID, Env::Dev, now)?;
        std::fs::write(dir.join("instance.json"), machine.as_json())?;
        for (i, maintainer) in maintainers.iter().enumerate() {
            let signed = release::build(maintainer, REPO, VERSION, &image_pcrs, Env::Dev, now)?;
            std::fs::write(release_dir.join(format!("{i}.json")), signed.as_json())?;
        }
        Ok(Self {
            maintainers,
            builder,
            launcher,
            image_pcrs,
            signing_pcr: builder::pcr8(&certificate),
            dir: dir.to_owned(),
        })
    }

    /// The maintainers; both signed.
    #[must_use]
    pub const fn maintainers(&self) -> &[Keys; 2] {
        &self.maintainers
    }

    /// Who built the image.
    #[must_use]
    pub const fn builder(&self) -> &Keys {
        &self.builder
    }

    /// Who runs the machine.
    #[must_use]
    pub const fn launcher(&self) -> &Keys {
        &self.launcher
    }

    /// The parent's instance id, whose hash is PCR4.
    #[must_use]
    pub const fn instance_id(&self) -> &'static str {
        INSTANCE_ID
    }

    /// The registers of the simulated NSM, but for PCR4.
    pub fn pcrs(&self) -> impl Iterator<Item = (u8, Pcr)> {
        (0..).zip(self.image_pcrs).chain([(8, self.signing_pcr)])
    }

    /// Where the parent finds the signed events.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The certificate that signs the image, made for the builder's npub; its key is forgotten at once.
fn signing_certificate(builder: &Keys) -> Result<Vec<u8>> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, builder.public_key().to_bech32()?);
    params.distinguished_name.push(DnType::OrganizationName, "Nostr");
    Ok(params.self_signed(&key)?.der().to_vec())
}
