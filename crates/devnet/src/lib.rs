//! A whole world of real processes on one machine.
//!
//! An [`EnclaveBox`](enclave_box::EnclaveBox) stands for the enclave: network, mount, PID, IPC and
//! UTS namespaces of its own, joined to the host by one veth pair. The real programs run in it and
//! beside it, a private [`Engine`](docker::Engine) inside, a [`Registry`](registry::Registry) on the
//! host's end of the wire.
//!
//! | module | what it holds |
//! |---|---|
//! | [`machine`] | whether this machine can hold a world, and what to install |
//! | [`enclave_box`] | the namespaces, and their removal whatever happened |
//! | [`process`] | one process, on the host or in a box |
//! | [`docker`] | the private Docker engine |
//! | [`registry`] | an OCI registry and what is pushed to it |
//! | [`image_build`] | OCI images made from files |
//! | [`forward`] | carries connections to the wallet in its container |
//! | [`relay_process`] | a Nostr relay as a process of its own |
//! | [`demo`] | the demonstration |
//! | [`world`] | all of it together: relay, simulated NSM, parent, registry, engine, daemon, wallet |
//! | [`helper`] | the hidden subcommands that the above start themselves through |
//!
//! Invariants:
//! - Nothing outlives the process that started a world, even if it dies by SIGKILL: a keeper process
//!   sees its pipe close and removes everything that was made.
//! - The host is changed in one thing only, the veth pair. Processes in a box write to private layers
//!   over `/etc`, `/opt` and `/var/lib`.
//! - Every wait ends: at its event, at the death of the process waited for, or at its deadline.

pub mod demo;
pub mod docker;
pub mod enclave_box;
pub mod forward;
pub mod helper;
pub mod image_build;
mod lines;
pub mod machine;
pub mod process;
pub mod registry;
pub mod relay_process;
pub mod world;
