//! Who asks, and for which wallet.

use ledger::LedgerTx;
use nostr::key::PublicKey;
use protocol::nwc::{Method, Response};
use units::UnixSecs;

use super::answer::{Handled, Notice};
use super::refusal::Refusal;
use super::room::{self, Part};
use super::{Wallet, limits as bounds};
use crate::store::{Connection, RequestEvent, connection, request};

/// A request's author.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whose wallet it is about.
    pub(crate) wallet: PublicKey,
    /// The connection that it came through; none if the wallet's own key asks.
    pub(crate) connection: Option<Connection>,
    /// The event that it came in; none inside this program.
    pub(crate) event: Option<RequestEvent>,
    /// Which way it came.
    pub(crate) door: Door,
}

/// Which way a request came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Door {
    /// From whoever likes to ask.
    Public,
    /// Over HTTP, from somebody without a key.
    Web,
    /// Over the internal relay of the server around the wallet, which strangers cannot reach: the server's own
    /// key and those of its containers. What strangers can use up is not theirs.
    House,
}

impl Caller {
    /// The holder of the wallet's own key.
    pub(crate) const fn owner(wallet: PublicKey) -> Self {
        Self { wallet, connection: None, event: None, door: Door::Public }
    }

    /// What it may call, of these.
    pub(crate) fn allowed(&self, methods: &[Method]) -> Vec<Method> {
        methods.iter().filter(|method| self.may(method)).cloned().collect()
    }

    fn may(&self, method: &Method) -> bool {
        let Some(connection) = &self.connection else { return true };
        // What tells a client of itself is never secret from it.
        matches!(method, Method::GetInfo | Method::GetBudget) || connection.methods.contains(method)
    }

    pub(crate) fn check(&self, method: &Method) -> Result<(), Refusal> {
        if matches!(method, Method::Unknown(_)) || self.may(method) {
            return Ok(());
        }
        Err(Refusal::NotPermitted { method: method.as_str().to_owned() })
    }

    /// The number of its connection.
    pub(crate) fn connection_id(&self) -> Option<i64> {
        self.connection.as_ref().map(|connection| connection.id)
    }
}

impl Wallet {
    /// Finds out whose wallet a request is about. The main service key serves every key's own wallet; any
    /// other belongs to one connection, and so to one client.
    ///
    /// What is known in memory says only which connection it is; the file says whether there still is one.
    pub(super) fn caller(&self, event: &RequestEvent, door: Door, now: UnixSecs) -> Result<Caller, Refusal> {
        let event = *event;
        if event.service == self.service_pubkey {
            return Ok(Caller { event: Some(event), door, ..Caller::owner(event.client) });
        }
        let known =
            self.connections.borrow().iter().find(|one| one.service == event.service).map(|one| one.id);
        let id = known.ok_or(Refusal::NoConnection)?;
        let current = self.store.read(|view| connection::by_id(view, id).map_err(Refusal::from))?;
        let is_it = |one: &Connection| {
            one.service == event.service && one.client == event.client && one.is_alive(now)
        };
        let connection = current.filter(is_it).ok_or(Refusal::NoConnection)?;
        Ok(Caller { wallet: connection.owner, connection: Some(connection), event: Some(event), door })
    }

    /// True for what the house asks: with a key of its own, or through its own door.
    pub(super) fn is_house(&self, caller: &Caller) -> bool {
        caller.door == Door::House || self.exempt.contains(&caller.wallet)
    }

    /// Runs a change for a request, once for its event: the change, the note that the event was acted on,
    /// and its answer are one transaction. A refusal is noted, too; a client that was refused must not
    /// find later that a repeated event was obeyed. Only faults of our own leave no trace.
    ///
    /// `more` comes back only from the call that made the change.
    pub(super) fn once<M: Send + 'static>(
        &self,
        caller: &Caller,
        method: &Method,
        now: UnixSecs,
        change: impl FnOnce(&LedgerTx<'_>, Option<&Connection>) -> Result<(Handled, Option<M>), Refusal>
        + Send
        + 'static,
    ) -> Result<(Handled, Option<M>), Refusal> {
        let (wallet, event, id) = (caller.wallet, caller.event, caller.connection_id());
        let method = method.clone();
        // The connection as it is at this moment: it may just have been revoked.
        let run = move |tx: &LedgerTx<'_>| match id {
            None => change(tx, None),
            Some(id) => {
                let current = connection::by_id(tx.view(), id)?.filter(|one| one.is_alive(now));
                change(tx, Some(&current.ok_or(Refusal::NoConnection)?))
            }
        };
        let is_house = self.is_house(caller);
        let limits = self.limits;
        // A refusal for want of room is the outcome of a change that stands: what it made room from.
        self.store.write(move |tx| {
            if let Some(event) = event
                && let Some(known) = request::known(tx.view(), &event.event)?
            {
                return Ok(Ok((Handled::known(known), None)));
            }
            let part = match event {
                Some(_) if is_house => Part::Reserve,
                Some(_) => room::part_of(tx, &wallet, &limits)?,
                // Inside this program: on behalf of anybody.
                None => Part::Stranger,
            };
            let full = room::check(tx, part, (&wallet, event.as_ref()), &limits, now)?;
            let is_short = full.is_some();
            // What may have been done before is not done again, however urgent.
            if let Some(refusal) = full
                && (refusal.is_forgotten() || !room::is_urgent(&method))
            {
                return Ok(Err(refusal));
            }
            let Some(event) = event else { return run(tx).map(Ok) };
            // Whoever waits takes a place until the payment is decided, which may be days.
            let run = |tx: &LedgerTx<'_>| {
                let (mut handled, more) = run(tx)?;
                if let Some(hash) = handled.waits_for().filter(|_| !is_house) {
                    let late = bounds::check_waiting(tx, &wallet, hash, &limits)?;
                    handled.notices.extend(late.map(Notice::Late));
                }
                Ok::<_, Refusal>((handled, more))
            };
            let (handled, more) = match tx.attempt(run) {
                Ok(done) => done,
                Err(fault) if fault.is_fault() => return Err(fault),
                // The reserve is for what is done, not for remembering what was not.
                Err(refusal) if is_short => return Ok(Err(refusal)),
                Err(refusal) => (Handled::now(Response::refused(&method, refusal.into_error(&method))), None),
            };
            match handled.waits_for() {
                Some(hash) => request::record_waiting(tx, &event, is_house, (&wallet, hash), now)?,
                None => {
                    let text = handled.text().unwrap_or_default();
                    request::record_answered(tx, &event, is_house, &text, now)?;
                }
            }
            if part == Part::Holder {
                request::holds_money(tx, &event.client)?;
            }
            Ok(Ok((handled, more)))
        })?
    }
}
