//! What an owner sees of a container, and does in it.

use std::time::Duration;

use futures_util::Stream;
use lifecycle::Phase;
use nostr::key::PublicKey;
use protocol::rpc::enclaved::{
    EXEC_BYTES_MAX, EXEC_SECS_MAX, EXEC_WORDS_MAX, ExecParams, ExecReply, HISTORY_MAX, History,
    HistoryParams, LOG_LINES_MAX, LogLine, Logs, LogsParams, Stats, Terms,
};
use protocol::rpc::{Code, Failure};
use relay::request_log::RequestKey;
use units::{Msat, UnixSecs};

use super::{Api, reports, store_failure};
use crate::runtime::{ExecError, RuntimeError};
use crate::store::Container;

const SECS_PER_DAY: i64 = 24 * 3_600;

impl Api {
    /// What this server sells, and for how much.
    ///
    /// # Errors
    /// [`Failure`] if the store fails.
    pub fn terms(&self) -> Result<Terms, Failure> {
        let ctx = self.ctx();
        let (units, ends_at) = (ctx.config.capacity.sold_units(), ctx.notices.ends_at());
        Ok(Terms {
            open: ctx.config.launch.open && ctx.wallet.tag().is_some() && ends_at.is_none(),
            ends_at,
            unit_hour_msat: ctx.config.price.unit_hour_msat,
            period_secs: ctx.config.price.period_secs,
            unit_size: ctx.config.capacity.unit_size,
            units_free: ctx.store.units_free(units).map_err(|e| store_failure(&e))?,
            units,
            overcommit_percent: ctx.config.capacity.overcommit_percent,
            retention_secs: ctx.config.life.retention_secs,
            limits_not_enforced: ctx.runtime.facts().not_enforced.clone(),
            free_work_bits: ctx.admission.work_wanted(&ctx.config.messages, ctx.clock.now()),
        })
    }

    /// What a container of the caller's wrote.
    ///
    /// # Errors
    /// [`Failure`]; [`Code::LogsDisabled`] if the launch keeps its output from its owner.
    pub async fn logs(&self, caller: &PublicKey, params: LogsParams) -> Result<Logs, Failure> {
        let container = self.find_readable(caller, &params.pubkey)?;
        if params.lines == 0 || params.lines > LOG_LINES_MAX {
            let message = format!("lines must be from 1 to {LOG_LINES_MAX}");
            return Err(Failure::new(Code::ParamsInvalid, message));
        }
        let logs = self.ctx().runtime.logs(&container, params.lines, params.after.as_deref()).await;
        logs.map_err(|e| engine_failure(&e))
    }

    /// What a container of the caller's writes from now on, until its process ends.
    ///
    /// # Errors
    /// As [`Self::logs`].
    pub fn follow(
        &self,
        caller: &PublicKey,
        pubkey: &PublicKey,
    ) -> Result<impl Stream<Item = LogLine> + Send + use<>, Failure> {
        let container = self.find_readable(caller, pubkey)?;
        Ok(self.ctx().runtime.follow(&container))
    }

    fn find_readable(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<Container, Failure> {
        let container = self.find_owned(caller, pubkey)?;
        if container.spec.manifest.as_ref().is_some_and(|manifest| manifest.logs) {
            return Ok(container);
        }
        let message = "the container was launched so that nobody reads its output; launch it with logs";
        Err(Failure::new(Code::LogsDisabled, message))
    }

    /// What a container of the caller's uses, and what it costs.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn stats(&self, caller: &PublicKey, pubkey: &PublicKey) -> Result<Stats, Failure> {
        let container = self.find_owned(caller, pubkey)?;
        let used = self.ctx().runtime.usage(&container).await.map_err(|e| engine_failure(&e))?;
        let period_secs = i64::from(self.ctx().config.price.period_secs).max(1);
        let price = container.spec.price_per_period.msat();
        let burn = Msat::new(price.saturating_mul(SECS_PER_DAY) / period_secs);
        let paid_until = reports::paid_until(&container);
        let lives = matches!(container.state.phase, Phase::Deployed | Phase::Paused { .. });
        let lasts_until = paid_until.filter(|_| lives && price > 0).map(|until| {
            let periods = container.balance.msat().max(0) / price;
            let secs = u64::try_from(periods.saturating_mul(period_secs)).unwrap_or_default();
            UnixSecs(until.0.saturating_add(secs))
        });
        Ok(Stats {
            paid_until,
            balance_msat: container.balance,
            burn_msat_per_day: burn,
            lasts_until,
            ..used
        })
    }

    /// What happened to a container of the caller's.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn history(&self, caller: &PublicKey, params: &HistoryParams) -> Result<History, Failure> {
        let container = self.find_owned(caller, &params.pubkey)?;
        if params.limit == 0 || params.limit > HISTORY_MAX {
            let message = format!("limit must be from 1 to {HISTORY_MAX}");
            return Err(Failure::new(Code::ParamsInvalid, message));
        }
        let events = self.ctx().store.history(&container.pubkey(), params.limit);
        Ok(History { events: events.map_err(|e| store_failure(&e))? })
    }

    /// Runs a command in a container of the caller's, if its launch asked for that.
    ///
    /// # Errors
    /// [`Failure`]; [`Code::ExecDisabled`] if the launch did not.
    pub async fn exec(
        &self,
        caller: &PublicKey,
        key: RequestKey,
        params: ExecParams,
    ) -> Result<ExecReply, Failure> {
        let container = self.find_owned(caller, &params.pubkey)?;
        if !container.spec.manifest.as_ref().is_some_and(|manifest| manifest.exec) {
            let message = "the container was launched without exec, and its certificate says so; \
                           launch one with exec";
            return Err(Failure::new(Code::ExecDisabled, message));
        }
        check_exec(&params)?;
        if !container.state.should_run() {
            return Err(not_running());
        }
        let ctx = self.ctx();
        // Who is refused for now has run nothing, and may come again with the same command.
        let place = ctx.runtime.exec_place(&container).map_err(|e| exec_failure(&e, &params))?;
        // What was written may be a secret; that something was run is the owner's to know.
        let text = format!("the owner ran {:?}", params.command[0].chars().take(80).collect::<String>());
        let is_new = ctx.store.note_once(&params.pubkey, ctx.clock.now(), "exec", &text, &key.to_hex());
        if !is_new.map_err(|e| store_failure(&e))? {
            let message = "the command was started before; its outcome is not on record";
            return Err(Failure::new(Code::StateRefused, message));
        }
        let wait = Duration::from_secs(u64::from(params.timeout_secs));
        let is_owner = || {
            let now = ctx.store.container(&params.pubkey).ok().flatten();
            now.is_some_and(|now| now.owner() == Some(caller))
        };
        let ran = ctx.runtime.exec(place, params.command.clone(), wait, is_owner).await;
        ran.map_err(|e| exec_failure(&e, &params))
    }
}

fn exec_failure(error: &ExecError, params: &ExecParams) -> Failure {
    match error {
        ExecError::NotAllowed => Failure::new(Code::NotOwner, "the container belongs to another key by now"),
        ExecError::Busy => {
            Failure::new(Code::ServerBusy, "another command is under way; try again when it has ended")
        }
        ExecError::NotRunning => not_running(),
        ExecError::Timeout => Failure::new(
            Code::ExecTimeout,
            format!("the command took longer than {} s and was killed", params.timeout_secs),
        ),
        ExecError::Runtime(e) => engine_failure(e),
    }
}

fn check_exec(params: &ExecParams) -> Result<(), Failure> {
    let refuse = |message: String| Err(Failure::new(Code::ParamsInvalid, message));
    let words = params.command.len();
    let bytes: usize = params.command.iter().map(String::len).sum();
    if words == 0 || words > EXEC_WORDS_MAX || bytes > EXEC_BYTES_MAX || params.command[0].is_empty() {
        return refuse(format!("command: 1 to {EXEC_WORDS_MAX} words of {EXEC_BYTES_MAX} bytes together"));
    }
    if params.command.iter().any(|word| word.contains('\0')) {
        return refuse("command: a word must not contain a NUL byte".into());
    }
    if params.timeout_secs == 0 || params.timeout_secs > EXEC_SECS_MAX {
        return refuse(format!("timeout_secs must be from 1 to {EXEC_SECS_MAX}"));
    }
    Ok(())
}

fn not_running() -> Failure {
    Failure::new(Code::NotRunning, "the container's process does not run; look at its status")
}

fn engine_failure(error: &RuntimeError) -> Failure {
    tracing::error!("the engine: {error}");
    Failure::new(Code::Internal, "the server's engine does not answer; try again in a minute")
}
