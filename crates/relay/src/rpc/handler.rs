//! What a service says of its methods, and how it carries them out.

use nostr::key::PublicKey;
use protocol::rpc::{Code, Failure};
use serde_json::Value;

use crate::request_log::RequestKey;

/// Who asks, and with how much work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caller {
    /// Their key.
    pub pubkey: PublicKey,
    /// The proof of work that the request shows (NIP-13), in bits.
    pub work_bits: u8,
}

/// A method of a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Method {
    /// Its name. It is a label of metrics, each of which is kept for ever: callers choose among few.
    pub name: &'static str,
    /// What it does.
    pub effect: Effect,
}

/// What a method does, and so what of it is put on record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Nothing: it is not put on record, and may run twice.
    None,
    /// Something, with an answer that says how things stand by then: when the command comes again, how they stand
    /// is asked again ([`Handler::answer_again`]), and its answer need not be kept.
    Stands,
    /// Something, with an answer that cannot be had again, which is kept while there is room.
    Answers,
}

/// Carries out requests.
pub trait Handler: Send + Sync + 'static {
    /// The method of this name. What is none leaves nothing on record, whatever [`Self::handle`] says of it.
    fn method(&self, name: &str) -> Option<Method>;

    /// True for a caller who is more than a key that somebody made up: commands of others are refused first when
    /// there is little room to remember them.
    fn is_known(&self, caller: &PublicKey) -> bool {
        _ = caller;
        false
    }

    /// Carries out one request of `caller`. A command may come again with the same key, after a crash:
    /// it must then answer as it did, and act no second time.
    fn handle(
        &self,
        caller: Caller,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> impl Future<Output = Result<Value, Failure>> + Send;

    /// Answers a command that was carried out before and has come again, and of which no more than that is on
    /// record. Acts no second time.
    fn answer_again(
        &self,
        caller: Caller,
        key: RequestKey,
        method: &str,
        params: Value,
    ) -> impl Future<Output = Result<Value, Failure>> + Send {
        _ = (caller, key, method, params);
        async {
            let message = "this command was carried out before; what was answered is not on record any more";
            Err(Failure::new(Code::StateRefused, message))
        }
    }
}
