//! Methods of the keycrux RPC, kind 29525: the parameters and the results.
//!
//! | method | who may | what |
//! |---|---|---|
//! | `ping`, `status`, `has`, `head` | anybody | whether it lives; how it does; how many records a machine has; a record's newest state |
//! | `set`, `get` | an attested build | the reference's: one key store, no lease, no head |
//! | `lease`, `advance` | an attested build | `quorum`'s `Prepare` and `Write`: the record's data, its head, its lease |
//! | `check` | anybody | would this build get the key, and if not, which rule refuses |
//! | `peer` | another keycrux of the group | how one that starts learns what the others know |
//!
//! Whoever proves a build does so with a fresh attestation document whose `public_key` is the key that
//! signs the request, so that a copied document opens nothing.

mod methods;
mod peer;
mod policy;
mod record;
mod text;

pub use methods::{
    AdvanceParams, CheckParams, CheckReply, GetParams, HasParams, HasReply, HeadParams, HeadReply,
    HypotheticalBuild, Input, LEASE_MS_MAX, LeaseParams, SIGNATURES_MAX, SetParams, StatusReply,
};
pub use peer::{Note, PeerAnswer, PeerParams, Pending};
pub use policy::{Policy, PolicyFault, RELEASE_PUBKEYS_MAX, REVOKED_MAX, Revoked};
pub use record::{
    Body, Build, DEALINGS_MAX, Founding, Identity, LINEAGE_MAX, Material, SHOWN_BYTES_MAX, SHOWN_MAX,
    SecretData, Share, ShareBytes, UNWRITTEN_SECS, image_pcrs,
};

#[cfg(test)]
mod tests;
