//! What can go wrong in a simulator.

use std::io;
use std::path::PathBuf;

/// Why a certificate or a document was not made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// A key was not made or not read.
    #[error("cannot make or read a P-384 key")]
    Key,
    /// A certificate was not made.
    #[error("cannot make the certificate `{common_name}`")]
    Certificate {
        /// Its subject.
        common_name: String,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// A moment that no certificate can hold.
    #[error("{secs} s after 1970 lies beyond the year 9999")]
    Time {
        /// The moment, in Unix seconds.
        secs: u64,
    },
    /// The document was not signed.
    #[error("cannot sign the document")]
    Signature,
}

/// Why there is no root.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// A file of the root cannot be read or written.
    #[error("cannot read or write {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The certificate is there and its key is not.
    #[error("{} has no key beside it; delete it to make a new root", path.display())]
    KeyMissing {
        /// The certificate.
        path: PathBuf,
    },
    /// The files are there and are not a root and its key.
    #[error("{} and the key beside it are not one root; delete both to make a new one", path.display())]
    Mismatch {
        /// The certificate.
        path: PathBuf,
    },
    /// The key or certificate was not made.
    #[error("cannot make a root")]
    Issue(#[from] IssueError),
}

/// Why a socket is not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Something answers at the path already.
    #[error("something listens at {} already; stop it, or choose another path", path.display())]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something that is not a socket stands at the path.
    #[error("{} is there and is no socket; choose another path", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen at {}", path.display())]
    Listen {
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}
