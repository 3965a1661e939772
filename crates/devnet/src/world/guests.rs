//! Images that a world's registry holds.

use anyhow::Result;

use super::World;
use crate::image_build::ImageSpec;

impl World {
    /// Pushes one of our static programs as an image of its own; returns `registry/name@sha256:…`.
    ///
    /// # Errors
    /// When the program is not built, or the push fails.
    pub async fn push_program(&self, name: &str, ports: &[u16]) -> Result<String> {
        let path = format!("/{name}");
        let mut spec = ImageSpec::default().program(&path, self.options.program(name)?).entrypoint(&[&path]);
        spec.exposed_ports = ports.iter().map(|port| format!("{port}/tcp")).collect();
        self.push(&spec, name).await
    }

    /// Pushes an image; returns `registry/name@sha256:…`.
    ///
    /// # Errors
    /// When the push fails.
    pub async fn push(&self, spec: &ImageSpec, name: &str) -> Result<String> {
        let dir = self.dir().join("images").join(name);
        std::fs::create_dir_all(&dir)?;
        let layout = spec.write_layout(&dir)?;
        let digest = self.registry.push(&layout, &format!("{name}:latest")).await?;
        Ok(self.registry.reference(&format!("{name}@{digest}")))
    }

    /// Pushes the smallest guest; returns `registry/echo@sha256:…`.
    ///
    /// # Errors
    /// As [`Self::push_program`].
    pub async fn push_echo(&self) -> Result<String> {
        self.push_program("echo", &[8_080]).await
    }
}
