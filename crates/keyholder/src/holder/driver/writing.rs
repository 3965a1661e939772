//! What the owner writes: heads, bodies, and shares.

use protocol::rpc::Refusal;
use protocol::rpc::keycrux::{Body, Material, SecretData};
use quorum::Stamp;
use quorum::shamir::ShamirError;

use super::evidence;
use super::refusals::{Refusals, is_passing};
use super::{Driver, RENEWALS_PER_LEASE, millis};
use crate::holder::dealing::Dealing;
use crate::holder::{Command, HoldError, NewBody};

impl Driver {
    /// Begins what is to be done next, if nothing is under way.
    pub(super) fn go_on(&mut self, now_ms: u64) {
        if !self.tenure.is_idle() {
            return;
        }
        if let Some(done) = self.under_way.take() {
            drop(done.send(Ok(())));
        }
        self.restore_secret();
        let lease_ms = millis(self.options.lease);
        if self.found.is_none()
            && let Some(command) = self.queued.take()
        {
            self.begin(command, now_ms);
        } else if self.rewrite
            && let Some(body) = self.tenure.body().cloned()
        {
            self.rewrite = false;
            self.write(body, now_ms);
        } else if now_ms >= self.renewed_ms.saturating_add(lease_ms / RENEWALS_PER_LEASE)
            && self.tenure.renew(None, now_ms)
        {
            self.renewed_ms = now_ms;
        }
    }

    fn begin(&mut self, command: Command, now_ms: u64) {
        match command {
            Command::Advance(head, done) => {
                if self.tenure.renew(Some(head), now_ms) {
                    self.renewed_ms = now_ms;
                    self.under_way = Some(done);
                } else {
                    let held = self.tenure.head().map_or(0, |held| held.generation);
                    drop(done.send(Err(HoldError::NotNext { offered: head.generation, held })));
                }
            }
            Command::Write(new, done) => match self.compose(*new) {
                Ok(body) => {
                    self.write(body, now_ms);
                    self.under_way = Some(done);
                }
                Err(e) => drop(done.send(Err(e))),
            },
        }
    }

    fn compose(&mut self, new: NewBody) -> Result<Body, HoldError> {
        let NewBody { policy, build, secret, split } = new;
        let material = match split {
            Some(threshold) => self.deal(&secret, threshold)?,
            None => {
                self.dealing = None;
                Material::Data(secret.clone())
            }
        };
        let held = self.tenure.body();
        let lineage = held.map(|body| body.lineage.clone()).unwrap_or_default();
        let shown = evidence::of(held, &policy, &build, &self.options.input.release_signatures);
        let mut body = Body { identity: self.options.identity.clone(), policy, lineage, material, shown };
        body.pass_to(build);
        self.secret = Some(secret);
        Ok(body)
    }

    fn deal(&mut self, secret: &SecretData, threshold: u8) -> Result<Material, HoldError> {
        if usize::from(threshold) > self.options.size.writes() {
            // A write that counts must be enough to read the secret back.
            let parts = u8::try_from(self.options.size.writes()).unwrap_or(u8::MAX);
            return Err(ShamirError::Threshold { threshold, parts }.into());
        }
        self.dealings += 1;
        let stamp = Stamp { epoch: self.tenure.epoch(), seq: self.dealings };
        let members = self.options.trust.members.iter().copied();
        let dealing = Dealing::new(secret, threshold, members, stamp)?;
        let material = dealing.material();
        self.dealing = Some(dealing);
        Ok(material)
    }

    fn write(&mut self, body: Body, now_ms: u64) {
        self.body_refusals = Refusals::default();
        if self.tenure.replace_body(body, now_ms) {
            self.renewed_ms = now_ms;
            self.remember_written();
        }
    }

    /// Keeps what is being written for those who are away.
    pub(super) fn remember_written(&mut self) {
        let Some(quorum::Request::Write { body: Some(body), .. }) = self.tenure.request() else { return };
        if self.written.as_ref().is_none_or(|written| written.stamp < body.stamp) {
            self.written = Some(body.clone());
            self.has_body.clear();
            self.lacks_body.clear();
        }
    }

    /// Gives up a body that too many key stores do not take, and says so to whoever wants it written.
    pub(super) fn give_up_body(&mut self, now_ms: u64) {
        let is_final = |refusal: &Refusal| !is_passing(refusal);
        let size = self.options.size;
        let spare = size.members() - size.writes();
        if !self.tenure.is_replacing_body() {
            return;
        }
        let Some(refusal) = self.body_refusals.verdict(spare, now_ms, 0, is_final) else { return };
        tracing::error!("the key stores do not take what was to be written: {refusal}");
        self.tenure.abandon_body();
        self.written = None;
        if let Some(done) = self.under_way.take() {
            drop(done.send(Err(HoldError::Refused(refusal))));
        }
    }

    /// Puts the secret together, and deals it anew: whoever restarted since lost its share.
    pub(super) fn restore_secret(&mut self) {
        if self.secret.is_some() {
            return;
        }
        match self.tenure.body().map(|body| body.material.clone()) {
            Some(Material::Data(data)) => self.secret = Some(data),
            Some(Material::Split { threshold, .. }) => {
                let Some(secret) = self.collected.secret(threshold) else { return };
                match self.deal(&secret, threshold) {
                    Ok(_) => self.rewrite = true,
                    Err(e) => tracing::error!("the secret was not dealt anew: {e}"),
                }
                self.secret = Some(secret);
            }
            None => {}
        }
    }
}
