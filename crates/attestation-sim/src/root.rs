//! The root of the simulation, and the directory that lets several simulators share one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use attestation::TrustRoot;
use units::UnixSecs;

use crate::certificate::CertificateSpec;
use crate::{IssueError, RootError, SimKey};

/// The public certificate, for `--trust-root`.
const CERTIFICATE_FILE: &str = "sim-root.der";
/// The private key, in PKCS #8 DER.
const KEY_FILE: &str = "sim-root.key";
/// Locked while the two are read or made.
const LOCK_FILE: &str = "sim-root.lock";
/// Ends the name of a file that is being written.
const UNFINISHED: &str = "new";

/// The validity of AWS's root, so that documents can be made for any time that real ones have.
const NOT_BEFORE: UnixSecs = UnixSecs(1_572_269_285);
const NOT_AFTER: UnixSecs = UnixSecs(2_519_044_085);

/// A root certificate and its key.
#[derive(Debug)]
pub struct SimRoot {
    der: Vec<u8>,
    key: SimKey,
    trust: TrustRoot,
}

impl SimRoot {
    /// Makes a root that lives as long as the process.
    ///
    /// # Errors
    /// [`RootError::Issue`] if the cryptographic library cannot.
    pub fn generate() -> Result<Self, RootError> {
        let key = SimKey::generate()?;
        let der = spec().issue(&key, &spec(), &key)?;
        Self::new(der, key).ok_or(RootError::Issue(IssueError::Key))
    }

    /// Takes the root from `directory`, or makes one there. Any number of processes may do so at once;
    /// all get the same.
    ///
    /// # Errors
    /// [`RootError`] if the files cannot be read or written, or do not belong together.
    pub fn load_or_create(directory: &Path) -> Result<Self, RootError> {
        let [certificate, key, lock] =
            [CERTIFICATE_FILE, KEY_FILE, LOCK_FILE].map(|name| directory.join(name));
        at(directory, fs::create_dir_all(directory))?;
        let lock_file = at(&lock, private().truncate(false).open(&lock))?;
        // Whoever holds the lock writes two small files; the lock ends with the process that has it.
        at(&lock, lock_file.lock())?;
        let (found_certificate, found_key) = (read(&certificate)?, read(&key)?);
        let root_key = match (&found_key, &found_certificate) {
            (Some(pkcs8), _) => {
                SimKey::from_pkcs8(pkcs8).map_err(|_| RootError::Mismatch { path: certificate.clone() })?
            }
            (None, Some(_)) => return Err(RootError::KeyMissing { path: certificate }),
            (None, None) => {
                let made = SimKey::generate()?;
                replace(&key, &private(), made.pkcs8())?;
                made
            }
        };
        let der = match found_certificate {
            Some(der) => der,
            // Also the way back from a process that died between the two files.
            None => {
                let der = spec().issue(&root_key, &spec(), &root_key)?;
                replace(&certificate, &public(), &der)?;
                der
            }
        };
        Self::new(der, root_key).ok_or(RootError::Mismatch { path: certificate })
    }

    /// A root, if the certificate is one and holds this key.
    fn new(der: Vec<u8>, key: SimKey) -> Option<Self> {
        let trust = TrustRoot::from_der(&der).ok()?;
        let point = key.public_point();
        der.windows(point.len()).any(|window| window == point).then_some(Self { der, key, trust })
    }

    /// The certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What a verifier has to trust to accept this simulation.
    #[must_use]
    pub const fn trust_root(&self) -> &TrustRoot {
        &self.trust
    }

    pub(crate) const fn key(&self) -> &SimKey {
        &self.key
    }
}

/// What every root of a simulation says.
pub(crate) fn spec() -> CertificateSpec {
    CertificateSpec::authority("sim.nitro-enclaves", None, NOT_BEFORE, NOT_AFTER)
}

fn private() -> OpenOptions {
    writing(0o600)
}

fn public() -> OpenOptions {
    writing(0o644)
}

fn writing(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, RootError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => at(path, other).map(Some),
    }
}

/// Writes a file beside `path` and moves it there, so that nobody reads half of one.
fn replace(path: &Path, options: &OpenOptions, bytes: &[u8]) -> Result<(), RootError> {
    let unfinished = path.with_added_extension(UNFINISHED);
    let write = |mut file: File| {
        file.write_all(bytes)?;
        file.sync_all()
    };
    at(&unfinished, options.open(&unfinished).and_then(write))?;
    at(path, fs::rename(&unfinished, path))
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, RootError> {
    result.map_err(|source| RootError::Io { path: path.to_owned(), source })
}
