//! How messages travel on one host. Between the enclave and its parent: streams over vsock, or over
//! Unix sockets and TCP where there is no vsock; length-prefixed frames on them; the parent API's
//! client and server; the backup channel. Between a container and the daemon: the guest API's client.

mod address;
mod backup;
mod client;
mod frame;
mod guest;
mod guest_socket;
mod server;
mod stream;

pub use address::{AddressError, StreamAddress};
pub use backup::{BackupClient, BackupHost, BackupVault, Refusal, serve_backups};
pub use client::{CallError, ParentClient};
pub use frame::{FrameError, WRITE_BYTES_MAX, read_frame, write_frame};
pub use guest::{GuestClient, GuestError};
pub use guest_socket::{GuestSocket, GuestSocketError};
pub use server::{ParentHandler, Pusher, serve};
pub use stream::{Listener, Stream, connect};
