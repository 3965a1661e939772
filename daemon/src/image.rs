//! Container images: from a reference that a stranger names to a checked archive that Docker loads.
//!
//! ```text
//! "ghcr.io/team/app:1"      text
//!   │ parse                 grammar and lengths              → Reference
//!   │ resolve               registry, index, manifest,       → PinnedImage   registry/repo@sha256:…
//!   │                       configuration; digests, sizes
//!   │ fetch                 layers, as they stream           → ImageArchive  one file without a name
//!   │ load                  the engine                       → LoadedImage   sha256:… of the configuration
//! ```
//!
//! Docker never pulls. Each arrow is a function that can fail with its own enum and a stable code, and
//! each type on the right can only be made by the function on its left. [`ImageStore`] is the whole of
//! it, with bounds on how much happens at once.
//!
//! Everything that comes from a registry is hostile until it matches a digest, and even then only as
//! good as the stranger who made it: a digest does not say that a layer is small, or that it is a tar
//! stream, or that the engine reads it as we do.

mod digest;
mod error;
mod fetch;
mod labels;
mod limits;
mod load;
mod manifest;
mod reference;
mod registry;
mod resolve;
mod spec;
mod store;
mod strict_json;

pub use self::digest::{Digest, DigestError};
pub use self::error::{EnsureError, FetchError, LoadError, RegistryError, ResolveError};
pub use self::fetch::{ImageArchive, fetch};
pub use self::labels::labels;
pub use self::limits::{ImageLimits, Platform};
pub use self::load::{LoadedImage, Removal, all_loaded, find_loaded, load, remove_unused};
pub use self::reference::{REFERENCE_CHARS_MAX, Reference, ReferenceError};
pub use self::registry::{RegistryClient, RegistrySettings, RegistrySetupError};
pub use self::resolve::{PinnedImage, resolve};
pub use self::spec::{ExposedPort, ImageSpec, PortProtocol};
pub use self::store::ImageStore;
