//! Connections: an owner lets other keys use its wallet, within methods, a budget and a time.

use std::sync::{Arc, PoisonError};

use ledger::{Account, LedgerTx};
use nostr::key::{Keys, PublicKey, SecretKey};
use protocol::nwc::{
    Budget, BudgetRenewal, Connected, ConnectionItem, Connections, CreateConnection, Done, Method,
    Notification, Response, ResultBody, RevokeConnection,
};
use units::{Msat, UnixSecs};

use super::Wallet;
use super::answer::Handled;
use super::budget::period;
use super::caller::{Caller, Door};
use super::refusal::Refusal;
use super::shares;
use crate::store::{Connection, StoreError, connection};

impl Wallet {
    pub(super) fn create_connection(
        &self,
        caller: &Caller,
        wanted: CreateConnection,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let unknown = |kind: &String| !Notification::TYPES.contains(&kind.as_str());
        if let Some(kind) = wanted.notification_types.iter().find(|kind| unknown(kind)) {
            return Err(Refusal::NoNotification { kind: kind.clone() });
        }
        if wanted.expires_at.is_some_and(|until| until < now) {
            return Err(Refusal::ExpiresInThePast);
        }
        let secret = self.entropy.bytes32().map_err(Refusal::NoEntropy)?;
        // One in 2^128 numbers is no key.
        let key = SecretKey::from_slice(secret.as_ref()).map_err(|_| Refusal::BadLuck)?;
        let new = Connection {
            id: 0,
            service: Keys::new(key).public_key(),
            secret,
            client: wanted.pubkey,
            owner: caller.wallet,
            name: wanted.name,
            methods: wanted.request_methods,
            notifications: wanted.notification_types,
            budget: wanted.max_amount,
            renewal: wanted.budget_renewal.unwrap_or(BudgetRenewal::Never),
            expires_at: wanted.expires_at,
            created_at: now,
            by_house: caller.door == Door::House,
        };
        let limits = self.limits;
        let (handled, made) = self.once(caller, &Method::CreateConnection, now, move |tx, through| {
            owner_only(through)?;
            // State exists only once paid: a key without money has nothing to share.
            if !tx.view().exists(Account::User(new.owner.to_bytes()))? {
                return Err(Refusal::NothingToShare);
            }
            connection::forget_ended(tx, now)?;
            if new.by_house {
                connection::are_of_house(tx, &new.owner)?;
            }
            if connection::counts(tx.view(), &new.owner)?.of_owner >= limits.connections_per_key {
                return Err(Refusal::TooManyConnections);
            }
            let made = connection::insert(tx, new)?;
            shares::make_place_for_connection(tx, &made.owner, made.by_house, &limits)?;
            let body = ResultBody::CreateConnection(Connected { wallet_pubkey: made.service });
            Ok((Handled::now(Response::done(body)), Some(made)))
        })?;
        if made.is_some() {
            self.reload_connections(now)?;
        }
        Ok(handled)
    }

    pub(super) fn revoke_connection(
        &self,
        caller: &Caller,
        wanted: RevokeConnection,
        now: UnixSecs,
    ) -> Result<Handled, Refusal> {
        let (owner, service) = (caller.wallet, wanted.wallet_pubkey);
        // From before the row is gone until the list has forgotten it nobody reads the list anew: whoever read
        // before cannot bring the connection back.
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let (handled, revoked) = self.once(caller, &Method::RevokeConnection, now, move |tx, through| {
            owner_only(through)?;
            if !connection::revoke(tx, &owner, &service)? {
                return Err(Refusal::NoConnection);
            }
            Ok((Handled::now(Response::done(ResultBody::RevokeConnection(Done {}))), Some(())))
        })?;
        // What was refused, or was asked for before, changed nothing that others must be told of.
        if revoked.is_some() {
            // Taken out without reading the file, which could fail.
            self.connections.send_modify(|known| {
                *known = Arc::new(known.iter().filter(|one| one.service != service).cloned().collect());
            });
        }
        Ok(handled)
    }

    pub(super) fn list_connections(&self, caller: &Caller, now: UnixSecs) -> Result<Connections, Refusal> {
        owner_only(caller.connection.as_ref())?;
        self.note_of_house(caller)?;
        let own = self.store.read(|view| connection::of_owner(view, &caller.wallet))?;
        let item = |one: &Connection| -> Result<ConnectionItem, Refusal> {
            let since = period(one.renewal, now).start;
            Ok(ConnectionItem {
                pubkey: one.client,
                wallet_pubkey: one.service,
                name: one.name.clone(),
                request_methods: one.methods.clone(),
                notifications: !one.notifications.is_empty(),
                max_amount: one.budget,
                used_budget: self.store.read(|view| connection::spent(view, one.id, since))?,
                budget_renewal: one.renewal,
                expires_at: one.expires_at,
                created_at: one.created_at,
            })
        };
        Ok(Connections { connections: own.iter().map(item).collect::<Result<_, _>>()? })
    }

    /// Whoever asks through the house's door for its own wallet has all its connections from the house, also those of a
    /// release that did not note it.
    fn note_of_house(&self, caller: &Caller) -> Result<(), Refusal> {
        let owner = caller.wallet;
        if caller.door != Door::House
            || self.store.read(|view| connection::of_owner(view, &owner))?.iter().all(|one| one.by_house)
        {
            return Ok(());
        }
        self.store.write(move |tx| connection::are_of_house(tx, &owner).map_err(Refusal::from)).map(drop)
    }

    /// The budget of the connection that asks; none for an owner.
    pub(super) fn budget(&self, caller: &Caller, now: UnixSecs) -> Result<Budget, Refusal> {
        let Some(one) = &caller.connection else { return Ok(Budget::default()) };
        let Some(total) = one.budget else { return Ok(Budget::default()) };
        let this = period(one.renewal, now);
        let used = self.store.read(|view| connection::spent(view, one.id, this.start))?;
        Ok(Budget {
            used_budget: Some(used),
            total_budget: Some(total),
            renews_at: this.end,
            renewal_period: Some(one.renewal),
        })
    }

    /// The connections that work at this moment or may later, for whoever carries requests to them.
    /// Changes are told.
    #[must_use]
    pub fn connections(&self) -> tokio::sync::watch::Receiver<std::sync::Arc<Vec<Connection>>> {
        self.connections.subscribe()
    }

    /// Reads the connections anew. One at a time, and none during a revocation.
    pub(super) fn reload_connections(&self, now: UnixSecs) -> Result<(), StoreError> {
        let _one = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let living = self.store.read(|view| connection::living(view, now).map_err(StoreError::from))?;
        self.connections.send_if_modified(|known| {
            let changed = **known != living;
            if changed {
                *known = Arc::new(living);
            }
            changed
        });
        Ok(())
    }

    /// Lets go of connections whose time is over.
    pub(super) fn drop_ended_connections(&self, now: UnixSecs) -> Result<(), StoreError> {
        let ended = self.connections.borrow().iter().any(|one| !one.is_alive(now));
        if ended { self.reload_connections(now) } else { Ok(()) }
    }
}

fn owner_only(through: Option<&Connection>) -> Result<(), Refusal> {
    if through.is_some() { Err(Refusal::OwnerOnly) } else { Ok(()) }
}

/// Refuses a payment that the connection's budget does not cover, with its fees as far as they are set
/// aside. In the transaction that sets them aside, so that two payments cannot both use the rest.
pub(super) fn check_budget(
    tx: &LedgerTx<'_>,
    through: Option<&Connection>,
    total: Option<Msat>,
    now: UnixSecs,
) -> Result<(), Refusal> {
    let Some(one) = through else { return Ok(()) };
    let Some(budget) = one.budget else { return Ok(()) };
    let used = connection::spent(tx.view(), one.id, period(one.renewal, now).start)?;
    let fits = total.and_then(|total| used.plus(total).ok()).is_some_and(|after| after <= budget);
    if fits {
        Ok(())
    } else {
        Err(Refusal::Budget { left: budget.msat().saturating_sub(used.msat()).max(0) })
    }
}

/// The wallets of `owner`'s connections that hear of this type of notification.
pub(super) fn listeners(all: &[Connection], owner: &PublicKey, kind: &str, now: UnixSecs) -> Vec<Connection> {
    let hears = |one: &&Connection| {
        one.owner == *owner && one.notifications.iter().any(|heard| heard == kind) && one.is_alive(now)
    };
    all.iter().filter(hears).cloned().collect()
}
