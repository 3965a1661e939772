//! From a message's command to the use case, and to the sentences that answer it.

use nostr::key::PublicKey;
use protocol::dm::{Command, MentionKeys, ParseError, Target, after_mention};
use protocol::rpc::enclaved::{
    ContainerInfo, ContainerStatus, LaunchParams, ListParams, LogsParams, TopupParams,
};
use protocol::rpc::{Code, Failure};
use relay::dm::Letter;
use relay::request_log::RequestKey;
use relay::rpc::Caller;
use serde_json::json;
use units::Msat;

use super::{MessageServer, Weight, lock, say};
use crate::api::methods;

/// Lines of a container's output in one message, if nothing is said: a screenful.
const LOG_LINES: u32 = 20;
/// Longest message of output, in characters: what clients show without trouble, and NIP-04 carries.
const LOG_CHARS_MAX: usize = 8_000;
/// Names of a list of containers that does not fit into a message are not shown.
const NAMES_MAX: usize = 20;

/// Pages of the writer's containers among which one is looked for by its name; older ones have their keys.
const PAGES_MAX: usize = 20;

/// What is answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The way the message came.
    pub(super) text: String,
    /// In private, besides.
    pub(super) private: Option<String>,
    /// How much it matters that it arrives.
    pub(super) weight: Weight,
}

impl Answer {
    pub(super) const fn text(text: String) -> Self {
        Self { text, private: None, weight: Weight::Talk }
    }
}

impl MessageServer {
    /// The command of a public note, if it speaks to us and wants a launch: all else is talk.
    pub(super) fn read_mention(&self, letter: &Letter) -> Option<Result<Command, ParseError>> {
        let ctx = self.ctx();
        let server = MentionKeys { pubkey: &ctx.keys.public_key(), name: &ctx.config.name };
        let command = protocol::dm::parse(after_mention(&letter.text, &server)?).ok()?;
        matches!(command, Command::Deploy(_)).then_some(Ok(command))
    }

    /// Answers a message; nothing, if there was enough talk.
    pub(super) async fn converse(
        &self,
        letter: &Letter,
        key: RequestKey,
        command: Result<Command, ParseError>,
    ) -> Option<Result<Answer, Failure>> {
        let command = match command {
            Ok(command) => command,
            Err(ParseError::Wrong(failure)) => return Some(Err(failure)),
            Err(ParseError::NotACommand(_)) => {
                let heard = lock(&self.talk).take(&letter.from, self.ctx().clock.now());
                return heard.then(|| Ok(Answer::text(say::not_understood())));
            }
        };
        metrics::counter!("message_commands_total", "command" => command.name()).increment(1);
        Some(match (letter.channel, command) {
            (relay::dm::Channel::Public, Command::Deploy(params)) => {
                self.quote_in_public(letter, *params).await
            }
            (_, command) => {
                let weight = weight(&command);
                let text = self.carry_out(letter, key, command).await;
                text.map(|text| Answer { weight, ..Answer::text(text) })
            }
        })
    }

    async fn carry_out(&self, letter: &Letter, key: RequestKey, command: Command) -> Result<String, Failure> {
        let (api, by) = (&self.api, caller(letter));
        let from = by.pubkey;
        let _in_flight = api.begin(&from, command.name())?;
        let now = self.ctx().clock.now();
        match command {
            Command::Help => Ok(say::help(&self.ctx().config.name)),
            Command::Price => Ok(say::terms(&api.terms()?)),
            Command::Deploy(params) => {
                methods::check_hold(api, "launch")?;
                let units = params.units.get();
                let reply = api.launch(&by, key, *params).await?;
                Ok(say::launched(&reply, units, self.ctx().config.price.period_secs, now))
            }
            Command::List => Ok(say::list(&api.list(&from, &ListParams::default())?, now)),
            Command::Status(target) => Ok(say::status(&api.status(&from, &self.find(&from, &target)?)?, now)),
            Command::Topup { sats, target } => {
                methods::check_hold(api, "topup")?;
                let pubkey = self.find(&from, &target)?;
                let amount_msat = Msat::from_sats(sats).map_err(|_| {
                    Failure::new(Code::AmountInvalid, "the amount is out of range; write a smaller one")
                })?;
                let reply = api.topup(&from, TopupParams { pubkey, amount_msat }).await?;
                Ok(say::topup(&reply.invoice, now))
            }
            Command::Logs { lines, target } => {
                let pubkey = self.find(&from, &target)?;
                let params = LogsParams { lines: lines.unwrap_or(LOG_LINES), ..LogsParams::newest(pubkey) };
                Ok(say::logs(&api.logs(&from, params).await?, LOG_CHARS_MAX))
            }
            Command::Pause(target) => {
                methods::check_hold(api, "pause")?;
                self.command(&from, &target, |pubkey| async move { api.pause(&from, &pubkey).await }).await
            }
            Command::Resume(target) => {
                methods::check_hold(api, "resume")?;
                self.command(&from, &target, |pubkey| async move { api.resume(&from, &pubkey).await }).await
            }
            Command::Terminate(target) => {
                methods::check_hold(api, "terminate")?;
                self.command(&from, &target, |pubkey| async move { api.terminate(&from, &pubkey).await })
                    .await
            }
            Command::Upgrade { image, target } => {
                methods::check_hold(api, "upgrade")?;
                let pubkey = self.find(&from, &target)?;
                let params = json!({"pubkey": pubkey, "docker": image});
                methods::call(api, by, key, "upgrade", params).await?;
                Ok(say::upgrading(&api.info(&pubkey)?))
            }
            Command::Verify(target) => {
                let info = api.info(&self.find(&from, &target)?)?;
                let relays = &self.ctx().config.relays;
                Ok(say::verify(&info, &self.ctx().keys.public_key(), relays.first().map(String::as_str)))
            }
        }
    }

    async fn command<F: Future<Output = Result<ContainerStatus, Failure>>>(
        &self,
        from: &PublicKey,
        target: &Target,
        carry_out: impl FnOnce(PublicKey) -> F,
    ) -> Result<String, Failure> {
        let pubkey = self.find(from, target)?;
        let status = carry_out(pubkey).await?;
        Ok(say::status(&status, self.ctx().clock.now()))
    }

    /// The container that is meant, among the writer's own. Whose key is given need not be the writer's;
    /// what may be done with it is for the use case to say.
    fn find(&self, from: &PublicKey, target: &Target) -> Result<PublicKey, Failure> {
        if let Target::Key(key) = target {
            return Ok(*key);
        }
        let (mut all, mut page) = (Vec::<ContainerInfo>::new(), ListParams::default());
        for _ in 0..PAGES_MAX {
            let list = self.api.list(from, &page)?;
            all.extend(list.containers.into_iter().map(|one| one.info));
            page.after = list.next;
            if page.after.is_none() {
                break;
            }
        }
        let lives =
            |info: &ContainerInfo| !matches!(info.state.as_str(), "expired" | "failed" | "terminated");
        // Who names none means one that lives, if there is one.
        if all.iter().any(lives) {
            all.retain(lives);
        }
        if let Target::Named(name) = target {
            all.retain(|info| info.name.as_deref() == Some(name));
        }
        match (all.as_slice(), target) {
            ([one], _) => Ok(one.pubkey),
            ([], Target::Named(_)) => {
                Err(Failure::new(Code::NotFound, "you have no container of that name here; write list"))
            }
            ([], _) => Err(Failure::new(Code::NotFound, "you have no container here; write deploy IMAGE")),
            (several, _) => {
                let names = several.iter().take(NAMES_MAX).map(say::named).collect::<Vec<_>>().join(", ");
                let message = format!("you have several containers; put one of these behind it: {names}");
                Err(Failure::new(Code::ContainerAmbiguous, message))
            }
        }
    }

    /// In public a price is said and nothing else: neither the image, whose name a stranger chose, nor
    /// an invoice.
    async fn quote_in_public(&self, letter: &Letter, params: LaunchParams) -> Result<Answer, Failure> {
        methods::check_hold(&self.api, "quote")?;
        let asked = params.clone();
        let by = caller(letter);
        let _in_flight = self.api.begin(&by.pubkey, "quote")?;
        let quote = self.api.quote(&by, params).await?;
        let private = say::quote_in_private(&quote, asked);
        Ok(Answer { text: say::quote_in_public(&quote), private: Some(private), weight: Weight::Talk })
    }
}

/// An invoice is waited for, and that something is over or goes on costs money.
const fn weight(command: &Command) -> Weight {
    match command {
        Command::Deploy(_)
        | Command::Topup { .. }
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Upgrade { .. }
        | Command::Terminate(_) => Weight::Kept,
        Command::Help
        | Command::Price
        | Command::List
        | Command::Status(_)
        | Command::Logs { .. }
        | Command::Verify(_) => Weight::Talk,
    }
}

const fn caller(letter: &Letter) -> Caller {
    Caller { pubkey: letter.from, work_bits: letter.work_bits }
}
