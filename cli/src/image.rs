//! Image references, as far as it takes to see whether a server launched what was asked for. Servers
//! check them whole.

/// What Docker calls its own registry; a reference without a registry means it.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// A reference, taken apart and written out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ImageName {
    /// `registry/repository`, complete.
    repository: String,
    /// `sha256:…`, if it is given.
    digest: Option<String>,
}

/// How the image that a server will run relates to what was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Resolved {
    /// The very digest that was asked for.
    AsAsked,
    /// A digest in place of a tag.
    FromTag,
    /// Another digest than was asked for: the platform's own manifest of a list of manifests, as the
    /// server says.
    FromDigest,
}

impl ImageName {
    /// Takes a reference apart: `[docker://][registry/]repository[:tag][@sha256:…]`.
    pub(crate) fn of(reference: &str) -> Self {
        let reference = reference.strip_prefix("docker://").unwrap_or(reference);
        let (name, digest) = match reference.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (reference, None),
        };
        // A colon after the last slash begins a tag; one before it belongs to the registry's port.
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let end = name.get(last..).and_then(|part| part.find(':')).map_or(name.len(), |colon| last + colon);
        Self { repository: complete(name.get(..end).unwrap_or(name)), digest }
    }

    /// The registry, `host` or `host:port`.
    pub(crate) fn registry(&self) -> &str {
        self.repository.split('/').next().unwrap_or(DOCKER_HUB)
    }

    /// How `resolved`, a complete reference with a digest, answers this one; none if it does not.
    pub(crate) fn answered_by(&self, resolved: &str) -> Option<Resolved> {
        let resolved = Self::of(resolved);
        let digest = resolved.digest.filter(|digest| is_digest(digest))?;
        if resolved.repository != self.repository {
            return None;
        }
        Some(match &self.digest {
            None => Resolved::FromTag,
            Some(asked) if *asked == digest => Resolved::AsAsked,
            Some(_) => Resolved::FromDigest,
        })
    }
}

fn is_digest(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Writes a name out, with the defaults of the distribution project's `reference` package: the first
/// part is a registry only if it looks like a host, and single names on Docker's are in `library`.
fn complete(name: &str) -> String {
    let looks_like_host = |first: &str| {
        first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase())
    };
    let (registry, path) = match name.split_once('/') {
        Some((first, path)) if looks_like_host(first) => (first.to_ascii_lowercase(), path),
        _ => (DOCKER_HUB.to_owned(), name),
    };
    let registry = if registry == "index.docker.io" { DOCKER_HUB.to_owned() } else { registry };
    if registry == DOCKER_HUB && !path.contains('/') {
        return format!("{registry}/library/{path}");
    }
    format!("{registry}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: &str) -> String {
        format!("sha256:{}", byte.repeat(32))
    }

    #[track_caller]
    fn check(asked: &str, resolved: &str, expected: Option<Resolved>) {
        assert_eq!(ImageName::of(asked).answered_by(resolved), expected, "{asked} → {resolved}");
    }

    #[test]
    fn a_tag_is_answered_by_any_digest_of_its_repository() {
        let ab = digest("ab");
        for asked in ["alpine", "alpine:3", "docker.io/library/alpine", "docker://index.docker.io/alpine:3"] {
            check(asked, &format!("docker.io/library/alpine@{ab}"), Some(Resolved::FromTag));
        }
        check("Reg.Example:5000/a/b:t", &format!("reg.example:5000/a/b@{ab}"), Some(Resolved::FromTag));
        check("localhost/a", &format!("localhost/a@{ab}"), Some(Resolved::FromTag));
        check("me/app", &format!("docker.io/me/app@{ab}"), Some(Resolved::FromTag));
    }

    #[test]
    fn a_digest_is_answered_by_itself_or_reported() {
        let (ab, cd) = (digest("ab"), digest("cd"));
        check(&format!("r.example/a@{ab}"), &format!("r.example/a@{ab}"), Some(Resolved::AsAsked));
        check(&format!("r.example/a:1@{ab}"), &format!("r.example/a@{ab}"), Some(Resolved::AsAsked));
        check(&format!("r.example/a@{ab}"), &format!("r.example/a@{cd}"), Some(Resolved::FromDigest));
    }

    #[test]
    fn another_image_is_no_answer() {
        let ab = digest("ab");
        for resolved in [
            format!("r.example/b@{ab}"),
            format!("evil.example/a@{ab}"),
            format!("r.example/a/b@{ab}"),
            "r.example/a:1".to_owned(),
            "r.example/a@sha256:ab".to_owned(),
            format!("r.example/a@sha256:{}", "AB".repeat(32)),
            String::new(),
        ] {
            check("r.example/a:1", &resolved, None);
        }
    }
}
