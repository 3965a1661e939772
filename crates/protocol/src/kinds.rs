//! Event kinds (NEC-01 to 05 and ours; the NIPs' own kinds are `nostr`'s).

use nostr::event::Kind;

/// Service announcement, replaceable (NEC-02).
pub const ANNOUNCEMENT: Kind = Kind::Custom(13_793);
/// TEE attestation by the service key, embedded as `tee_root` (NEC-01).
pub const TEE_ROOT: Kind = Kind::Custom(23_793);
/// Builder's signature over an image's signing certificate, PCR8 (NEC-03).
pub const BUILDER_SIGNATURE: Kind = Kind::Custom(23_794);
/// Launcher's signature over the parent instance, PCR4 (NEC-04).
pub const LAUNCHER_SIGNATURE: Kind = Kind::Custom(23_795);
/// Launcher's permission of a fresh start, for one boot key on one machine (NEC-06).
pub const GENESIS: Kind = Kind::Custom(23_796);
/// Certificate from a certified key to the next (service → container → app).
pub const CERTIFICATE: Kind = Kind::Custom(23_797);
/// Statement about a container, in a Merkle tree whose head an attestation document carries.
pub const STATEMENT: Kind = Kind::Custom(23_798);
/// Receipt for a period of a container's life.
pub const RECEIPT: Kind = Kind::Custom(23_799);
/// Maintainer's signature over a release, PCR0, 1, 2 (NEC-05).
pub const RELEASE_SIGNATURE: Kind = Kind::Custom(63_794);
/// Signature of a container image's release, by one of its signers (NEC-07).
pub const IMAGE_RELEASE_SIGNATURE: Kind = Kind::Custom(63_795);
/// Release of a container image, with the signatures of all its signers (NEC-07).
pub const IMAGE_RELEASE: Kind = Kind::Custom(63_796);
/// Public event of a container.
pub const CONTAINER: Kind = Kind::Custom(63_797);
/// RPC with an enclaved service, ephemeral.
pub const ENCLAVED_RPC: Kind = Kind::Custom(29_425);
/// RPC with a keycrux service, ephemeral.
pub const KEYCRUX_RPC: Kind = Kind::Custom(29_525);

/// NIP-57 zap request: signed by the payer, carried by an LNURL request, never published.
pub const ZAP_REQUEST: Kind = Kind::ZapRequest;
/// NIP-57 zap receipt.
pub const ZAP_RECEIPT: Kind = Kind::ZapReceipt;

/// NIP-47 info event of a wallet service.
pub const NWC_INFO: Kind = Kind::Custom(13_194);
/// The reference's announcement of a wallet service.
pub const WALLET_ANNOUNCEMENT: Kind = Kind::Custom(13_196);
/// NIP-47 request.
pub const NWC_REQUEST: Kind = Kind::Custom(23_194);
/// NIP-47 reply.
pub const NWC_REPLY: Kind = Kind::Custom(23_195);
/// NIP-47 notification, NIP-04 encrypted.
pub const NWC_NOTIFICATION_NIP04: Kind = Kind::Custom(23_196);
/// NIP-47 notification, NIP-44 encrypted.
pub const NWC_NOTIFICATION: Kind = Kind::Custom(23_197);

/// Gift wrap that relays do not keep; NIP-59's 1059 otherwise.
pub const EPHEMERAL_GIFT_WRAP: Kind = Kind::Custom(21_059);
