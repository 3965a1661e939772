//! How frames travel between the enclave and its host: streams over vsock, or over Unix sockets and
//! TCP where there is no vsock; length-prefixed frames on them; and the parent API's client and server.

mod address;
mod client;
mod frame;
mod server;
mod stream;

pub use address::{AddressError, StreamAddress};
pub use client::{CallError, ParentClient};
pub use frame::{FrameError, WRITE_BYTES_MAX, read_frame, write_frame};
pub use server::{ParentHandler, Pusher, serve};
pub use stream::{Listener, Stream, connect};
