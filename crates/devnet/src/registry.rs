//! An OCI registry on the host's end of a box's wire, over plain HTTP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::enclave_box::EnclaveBox;
use crate::helper::HelperBinary;
use crate::image_build::OciLayout;
use crate::process::{Process, ProcessSpec, Ready};

/// The registry's port. The address belongs to the box alone, so nobody else can have it.
const PORT: u16 = 5000;
/// How long the registry may take to come up; it takes about 100 ms.
const READY_DEADLINE: Duration = Duration::from_secs(15);
/// How long copying an image may take.
const COPY_DEADLINE: Duration = Duration::from_secs(120);
/// How long the registry may take to end by itself.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// Where skopeo, run as root, keeps what it learnt about layers: not on this machine, please.
const SKOPEO_STATE: &str = "/var/lib";

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    helper: HelperBinary,
    dir: PathBuf,
    address: SocketAddr,
    process: Process,
}

impl Registry {
    /// Starts a registry with its storage in the box's directory.
    ///
    /// # Errors
    /// When it does not come up in time, with the last lines of its log.
    pub async fn start(enclave: &EnclaveBox) -> Result<Self> {
        let dir = enclave.dir().join("registry");
        let storage = dir.join("storage");
        std::fs::create_dir_all(&storage).with_context(|| format!("cannot make {}", storage.display()))?;
        let address = SocketAddr::from((enclave.host_address(), PORT));
        // The file is YAML, which JSON is too.
        let config = json!({
            "version": "0.1",
            "log": { "level": "warn", "accesslog": { "disabled": true } },
            "storage": { "filesystem": { "rootdirectory": storage }, "delete": { "enabled": true } },
            "http": { "addr": address.to_string(), "secret": enclave.name() },
        });
        let config_file = dir.join("config.yml");
        std::fs::write(&config_file, config.to_string())
            .with_context(|| format!("cannot write {}", config_file.display()))?;
        let spec = ProcessSpec::new("docker-registry").arg("serve").arg(config_file);
        let mut process = Process::on_host(enclave.helper(), &spec, &dir.join("registry.log"))?;
        process.wait_ready(&Ready::Tcp(address), READY_DEADLINE).await?;
        Ok(Self { helper: enclave.helper().clone(), dir, address, process })
    }

    /// Where the registry listens: reached from the host and from the box.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The registry's PID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What to call an image here: `198.18.0.1:5000/name:tag`, or with `@sha256:…`.
    #[must_use]
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes an image, or an index with all of its images, as `name:tag`, byte for byte. Returns its
    /// digest, `sha256:` and 64 hexadecimal digits.
    ///
    /// # Errors
    /// When skopeo fails, with the last lines of what it said, or reports another digest than the
    /// layout's.
    pub async fn push(&self, image: &OciLayout, name: &str) -> Result<String> {
        // Named after the image: pushes may run at the same time.
        let digest_file = self.dir.join(image.digest().replace(':', "-"));
        let spec = self
            .skopeo_copy()
            .args(["--all", "--preserve-digests", "--dest-tls-verify=false", "--digestfile"])
            .arg(&digest_file)
            .arg(format!("oci:{}", image.dir().display()))
            .arg(format!("docker://{}", self.reference(name)));
        self.run(&spec).await.with_context(|| format!("cannot push {name}"))?;
        let digest = std::fs::read_to_string(&digest_file).context("cannot read the digest of a push")?;
        ensure!(digest.trim() == image.digest(), "{name} was pushed as {digest}, not as {}", image.digest());
        Ok(digest.trim().to_owned())
    }

    /// Fetches an image, by `name:tag` or `name@digest`, into an archive in the format of
    /// `docker save`, in which it is called `tag`.
    ///
    /// # Errors
    /// When skopeo fails, with the last lines of what it said.
    pub async fn save(&self, name: &str, archive: &Path, tag: &str) -> Result<()> {
        let spec = self
            .skopeo_copy()
            .arg("--src-tls-verify=false")
            .arg(format!("docker://{}", self.reference(name)))
            .arg(format!("docker-archive:{}:{tag}", archive.display()));
        self.run(&spec).await.with_context(|| format!("cannot fetch {name}"))
    }

    /// Ends the registry.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(mut self) -> Result<()> {
        self.process.stop(STOP_GRACE).await?;
        Ok(())
    }

    fn skopeo_copy(&self) -> ProcessSpec {
        ProcessSpec::new("skopeo")
            .hiding(SKOPEO_STATE)
            // Debian keeps skopeo's policy file in a package of its own, which need not be there.
            .arg("--insecure-policy")
            .arg("--tmpdir")
            .arg(&self.dir)
            .args(["copy", "--quiet"])
    }

    async fn run(&self, spec: &ProcessSpec) -> Result<()> {
        let mut skopeo = Process::on_host(&self.helper, spec, &self.dir.join("skopeo.log"))?;
        let status = skopeo.wait_exit(COPY_DEADLINE).await?;
        ensure!(status.success(), "skopeo: {status}; {}", skopeo.log_tail());
        Ok(())
    }
}
