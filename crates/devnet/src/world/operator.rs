//! Who stands behind a world's server: two maintainers, a builder, a launcher.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attestation::{Pcr, pcr_digest};
use nostr::event::Event;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip19::ToBech32;
use protocol::nec::{Env, builder, genesis, launcher, release};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use units::{Clock, SystemClock};

/// The repository that the world's server claims to be built from.
pub const REPO: &str = "https://example.com/enclaved";
const VERSION: &str = "0.1.0";
const INSTANCE_ID: &str = "i-0devnet0000000001";

/// A build of the server, as it is measured.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Build {
    /// Its version.
    pub version: String,
    /// PCR0, 1 and 2.
    pub pcrs: [Pcr; 3],
}

impl Build {
    /// The build of this version that has nothing in common with others but its program.
    #[must_use]
    pub fn new(version: &str) -> Self {
        let pcrs = ["kernel and image", "kernel and init", "application"]
            .map(|part| pcr_digest(format!("devnet: {version}: {part}").as_bytes()));
        Self { version: version.to_owned(), pcrs }
    }
}

/// The people behind the server, and what they signed.
#[derive(Debug)]
pub struct Operator {
    maintainers: [Keys; 2],
    builder: Keys,
    launcher: Keys,
    build: Build,
    certificate: Vec<u8>,
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
        let now = SystemClock.now();
        let machine = launcher::build(&launcher, INSTANCE_ID, Env::Dev, now)?;
        std::fs::write(dir.join("instance.json"), machine.as_json())?;
        let operator = Self {
            maintainers,
            builder,
            launcher,
            build: Build::new(VERSION),
            certificate,
            dir: dir.to_owned(),
        };
        operator.lay_build()?;
        operator.lay_releases(&operator.releases(&operator.build)?)?;
        Ok(operator)
    }

    /// The signatures of both maintainers under a build.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn releases(&self, build: &Build) -> Result<Vec<Event>> {
        let now = SystemClock.now();
        let sign = |by: &Keys| {
            let signed = release::build(by, REPO, &build.version, &build.pcrs, Env::Dev, now)?;
            Ok(signed.into_event())
        };
        self.maintainers.iter().map(sign).collect()
    }

    /// Lays these signatures where the parent finds them, in place of those that are there.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn lay_releases(&self, releases: &[Event]) -> Result<()> {
        let dir = self.dir.join("release");
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            std::fs::remove_file(entry?.path())?;
        }
        for (i, signed) in releases.iter().enumerate() {
            std::fs::write(dir.join(format!("{i}.json")), serde_json::to_string(signed)?)?;
        }
        Ok(())
    }

    /// Permits a fresh start to the run with this boot key, and lays the event where the parent finds it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn permit_genesis(&self, boot_key: &PublicKey) -> Result<Event> {
        let now = SystemClock.now();
        let until = now.plus_secs(genesis::LIFE_SECS);
        let permission = genesis::build(&self.launcher, boot_key, &self.pcr4(), Env::Dev, until, now)?;
        std::fs::write(self.dir.join("genesis.json"), permission.as_json())?;
        Ok(permission.into_event())
    }

    /// The build that the simulated NSM measures.
    #[must_use]
    pub const fn build(&self) -> &Build {
        &self.build
    }

    /// Takes another build for the one that is measured, and lays the builder's signature of it.
    pub(super) fn set_build(&mut self, build: Build) -> Result<()> {
        self.build = build;
        self.lay_build()
    }

    fn lay_build(&self) -> Result<()> {
        let (version, now) = (&self.build.version, SystemClock.now());
        let signed = builder::build(&self.builder, REPO, version, &self.certificate, Env::Dev, now)?;
        Ok(std::fs::write(self.dir.join("build.json"), signed.as_json())?)
    }

    /// The machine's register.
    #[must_use]
    pub fn pcr4(&self) -> Pcr {
        pcr_digest(INSTANCE_ID.as_bytes())
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
        (0..).zip(self.build.pcrs).chain([(8, builder::pcr8(&self.certificate))])
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
