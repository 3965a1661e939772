//! Images that a world's registry holds.

use anyhow::Result;

use super::World;
use crate::image_build::{Content, ImageSpec, write_index_layout};

/// Debian's `busybox-static`, on this machine and in the image: it needs no libraries.
const BUSYBOX: &str = "/bin/busybox";
/// The programs of busybox that test guests are given by name.
const APPLETS: [&str; 23] = [
    "arping", "cat", "dd", "df", "env", "head", "httpd", "id", "ip", "ls", "mkdir", "mount", "nc",
    "nslookup", "ping", "printenv", "rm", "sh", "sleep", "stat", "sync", "touch", "wget",
];

impl World {
    /// A script for [`Self::busybox`]: serves `/www` on port 8080 until it is told to end.
    pub const SERVE: &str = "trap 'exit 0' TERM; httpd -p 8080 -h /www; sleep 1000000 & wait";

    /// An image with a shell that runs `script`, and a page `/www/index.html` that says `page`.
    #[must_use]
    pub fn busybox(script: &str, page: &str) -> ImageSpec {
        let spec = ImageSpec::default()
            .program(BUSYBOX, BUSYBOX)
            .file("/www/index.html", Content::Bytes(page.as_bytes().to_vec()), 0o644)
            .file("/etc/passwd", Content::Bytes(b"root:x:0:0::/:/bin/sh\n".to_vec()), 0o644)
            .entrypoint(&["/bin/sh", "-c", script]);
        APPLETS.iter().fold(spec, |spec, applet| {
            spec.file(&format!("/bin/{applet}"), Content::Symlink("busybox".into()), 0o777)
        })
    }

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

    /// Pushes an image as `name:latest`; returns `registry/name@sha256:…`.
    ///
    /// # Errors
    /// When the push fails, or an image of this name was pushed before.
    pub async fn push(&self, spec: &ImageSpec, name: &str) -> Result<String> {
        self.push_tagged(spec, name, "latest").await
    }

    /// Pushes an image as `name:tag`, which may have meant another one before; returns
    /// `registry/name@sha256:…`.
    ///
    /// # Errors
    /// When the push fails, or this very image was pushed under this name and tag before.
    pub async fn push_tagged(&self, spec: &ImageSpec, name: &str, tag: &str) -> Result<String> {
        self.push_layout(name, tag, |dir| spec.write_layout(dir)).await
    }

    /// Pushes an index of images for several platforms as `name:latest`; returns
    /// `registry/name@sha256:…`, the digest being the index's.
    ///
    /// # Errors
    /// As [`Self::push`], and when there is no image.
    pub async fn push_index(&self, images: &[ImageSpec], name: &str) -> Result<String> {
        self.push_layout(name, "latest", |dir| write_index_layout(images, dir)).await
    }

    async fn push_layout(
        &self,
        name: &str,
        tag: &str,
        write: impl FnOnce(&std::path::Path) -> Result<crate::image_build::OciLayout>,
    ) -> Result<String> {
        let images = self.dir().join("images");
        std::fs::create_dir_all(&images)?;
        // A tag that moves is pushed from several folders.
        let count = images.read_dir()?.count();
        let layout = write(&images.join(format!("{count}-{name}")))?;
        let digest = self.registry.push(&layout, &format!("{name}:{tag}")).await?;
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
