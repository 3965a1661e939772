//! Asking several key stores the same.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use keyholder::KeycruxClient;
use nostr::key::PublicKey;
use relay::rpc::RpcError;
use serde::Serialize;

use super::find::KeyStore;
use crate::context::Context;
use crate::error::{Exit, Failure};
use crate::key;

/// What one launcher's key store said.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<T> {
    pub(super) pubkey: PublicKey,
    pub(super) launcher: PublicKey,
    #[serde(flatten)]
    said: Said<T>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Said<T> {
    Result(T),
    Error { code: String, message: String },
}

impl<T> Answer<T> {
    /// What it said, or the code of why it said nothing.
    pub(super) fn outcome(&self) -> Result<&T, &str> {
        match &self.said {
            Said::Result(result) => Ok(result),
            Said::Error { code, .. } => Err(code),
        }
    }

    /// The sentence to the code.
    pub(super) fn problem(&self) -> Option<&str> {
        match &self.said {
            Said::Result(_) => None,
            Said::Error { message, .. } => Some(message),
        }
    }
}

/// Asks each launcher's key store. Where the relays know several of one launcher, the newest that answers
/// counts: those before it are mostly gone.
///
/// # Errors
/// `no_answer` if none answers; why the first refuses, if none does otherwise.
pub(super) async fn ask_all<T>(
    ctx: &Context,
    launchers: Vec<Vec<KeyStore>>,
    question: impl AsyncFn(&KeycruxClient) -> Result<T, RpcError>,
) -> Result<Vec<Answer<T>>, Failure> {
    let pool = ctx.pool().await?.clone();
    // Anybody may ask; it need not be known who does.
    let keys = key::generate()?;
    let _doing = ctx.progress.begin("asking the key stores");
    let wait = ctx.settings.answer_wait();
    let ask = |key_store: KeyStore| {
        let (pool, keys, question) = (pool.clone(), keys.clone(), &question);
        async move {
            let service = key_store.instance.service();
            let client = KeycruxClient::new(pool, keys, service, Arc::clone(&ctx.clock), wait).await;
            let said = match client {
                Ok(client) => question(&client).await.map_err(Failure::from),
                Err(e) => Err(e.into()),
            };
            (service, key_store.launcher, said)
        }
    };
    let answers =
        join_all(launchers.into_iter().map(|instances| first_of(instances.into_iter().map(ask)))).await;
    let answers: Vec<_> = answers.into_iter().flatten().collect();
    let is_silent = |answer: &(PublicKey, PublicKey, Result<T, Failure>)| {
        answer.2.as_ref().is_err_and(|failure| failure.exit() == Exit::NoAnswer)
    };
    if answers.iter().all(is_silent) {
        let message = format!("none of {} key stores answered within {} s", answers.len(), wait.as_secs());
        return Err(Failure::no_answer("no_answer", message).with_hint("check that they run, and the relays"));
    }
    if answers.iter().all(|(.., said)| said.is_err()) {
        let count = answers.len();
        let mut said =
            answers.into_iter().filter(|answer| !is_silent(answer)).filter_map(|(.., said)| said.err());
        let refusal = said.next().unwrap_or_else(|| Failure::no_answer("no_answer", "none answered"));
        return Err(
            refusal.with_hint(format!("none of {count} key stores says more: see `encli keycrux ls`"))
        );
    }
    Ok(answers
        .into_iter()
        .map(|(pubkey, launcher, said)| Answer { pubkey, launcher, said: said.into() })
        .collect())
}

/// The first answer; if there is none, any reason why.
async fn first_of<T, F>(asked: impl Iterator<Item = F>) -> Option<(PublicKey, PublicKey, Result<T, Failure>)>
where
    F: Future<Output = (PublicKey, PublicKey, Result<T, Failure>)>,
{
    let mut asked: FuturesUnordered<F> = asked.collect();
    let mut last = None;
    while let Some(answer) = asked.next().await {
        let is_answer = answer.2.as_ref().err().is_none_or(|failure| failure.exit() != Exit::NoAnswer);
        last = Some(answer);
        if is_answer {
            break;
        }
    }
    last
}

impl<T> From<Result<T, Failure>> for Said<T> {
    fn from(said: Result<T, Failure>) -> Self {
        match said {
            Ok(result) => Self::Result(result),
            Err(e) => Self::Error { code: e.code().to_owned(), message: e.message().to_owned() },
        }
    }
}
