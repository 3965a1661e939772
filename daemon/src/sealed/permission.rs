//! Waiting for the launcher's word on which record this is.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use nostr::key::PublicKey;
use protocol::event::CheckedEvent;
use protocol::nec::{GenesisError, VerifiedGenesis, launcher};
use protocol::parent::Meta;
use units::Stopwatch;

use super::machine::Machine;
use super::{Opening, SealedError};

/// How often the parent is asked again.
const ASK_EVERY: Duration = Duration::from_secs(2);

impl Opening<'_> {
    /// The launcher's genesis event for this machine, and what else the parent gave. Without one, says by
    /// which boot key a fresh start could be permitted, and asks again for as long as is configured.
    pub(super) async fn permission(
        &self,
        machine: &Machine,
        boot_key: &PublicKey,
    ) -> Result<(Meta, VerifiedGenesis), SealedError> {
        let took = Stopwatch::start();
        let waited_secs = self.keycrux.wait_secs;
        let mut said = None;
        loop {
            let problem = match self.parent.get_meta(STANDARD.encode(&machine.evidence.raw)).await {
                Ok(meta) => match verify(machine, &meta) {
                    Ok(Some(genesis)) => return Ok((meta, genesis)),
                    Ok(None) => SealedError::GenesisMissing { waited_secs },
                    Err(problem) => problem,
                },
                Err(e) => {
                    tracing::warn!("the parent gave no signatures: {e}");
                    SealedError::GenesisMissing { waited_secs }
                }
            };
            if took.elapsed() >= Duration::from_secs(waited_secs) {
                return Err(problem);
            }
            let code = problem.code().to_owned();
            if said.as_ref() != Some(&code) {
                self.say(machine, boot_key, &problem);
                said = Some(code);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// On our log, and on the operator's: nobody else can permit anything.
    fn say(&self, machine: &Machine, boot_key: &PublicKey, problem: &SealedError) {
        let (boot_key, pcr4) = (boot_key.to_hex(), machine.pcr4());
        let problem = if matches!(problem, SealedError::GenesisMissing { .. }) {
            "there is no genesis.json"
        } else {
            tracing::error!(code = problem.code(), "the parent's genesis.json does not count: {problem}");
            "its genesis.json does not count"
        };
        tracing::warn!(boot_key, %pcr4, "waiting for the launcher's genesis event: {problem}");
        self.parent_log.line(format!(
            "waiting for the launcher's genesis event: {problem}. To have this machine's state back, put the \
             event that founded it there; to begin anew, sign one for boot_key={boot_key} pcr4={pcr4} \
             (encli instance genesis)"
        ));
    }
}

/// The genesis event among what the parent gave, by the launcher of this very machine.
fn verify(machine: &Machine, meta: &Meta) -> Result<Option<VerifiedGenesis>, SealedError> {
    let Some(genesis) = &meta.genesis else { return Ok(None) };
    let (document, env) = (&machine.evidence.document, machine.env(meta));
    let malformed = |e: protocol::event::EventError| GenesisError::Malformed(e.to_string());
    let genesis = CheckedEvent::check(genesis.clone()).map_err(malformed)?;
    let genesis = VerifiedGenesis::verify(&genesis, document, env)?;
    let instance = meta.instance.clone().ok_or(SealedError::Launcher(None))?;
    let unsigned = |e: protocol::event::EventError| {
        SealedError::Launcher(Some(protocol::nec::NecError::Launcher(e.to_string())))
    };
    let instance = CheckedEvent::check(instance).map_err(unsigned)?;
    let launcher =
        launcher::of_machine(&instance, document, env).map_err(|e| SealedError::Launcher(Some(e)))?;
    if genesis.launcher() != launcher {
        return Err(SealedError::GenesisAuthor { author: genesis.launcher(), launcher });
    }
    Ok(Some(genesis))
}
