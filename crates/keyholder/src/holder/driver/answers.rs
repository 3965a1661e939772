//! What key stores answer.

use protocol::rpc::Refusal;
use quorum::Answer;
use relay::rpc::RpcError;

use super::refusals::{is_body_missing, is_passing};
use super::{AGAIN_MS, Answered, Driver};
use crate::Member;

impl Driver {
    pub(super) fn take(&mut self, answered: Answered) {
        let Answered { service, call, with_body, outcome } = answered;
        let now_ms = self.shared.now_ms();
        let current = (self.epochs, self.tenure.call_number());
        let Some(line) = self.calls.get_mut(&service) else { return };
        let member = line.member;
        let is_current = call == current;
        match outcome {
            Ok(reply) => {
                if reply.from.member != member.id() || reply.from.incarnation.boot != member.boot() {
                    tracing::error!(%service, "a key store answered as somebody else; it does not count");
                    return;
                }
                line.heard_ms = Some(now_ms);
                self.refusals.answered(member.id());
                self.known.learn(&reply.from.view);
                self.collected.add(&reply);
                if matches!(reply.answer, Answer::Written) {
                    if with_body {
                        self.has_body.insert(service);
                    } else if self.dealing.is_some() && !self.has_body.contains(&service) {
                        // It started since the last dealing, and has no share.
                        self.rewrite = true;
                    }
                }
                if is_current {
                    self.tenure.add(reply, now_ms);
                }
            }
            Err(error) => {
                if line.busy_with == Some(call) {
                    line.busy_with = None;
                    line.again_at_ms = now_ms.saturating_add(AGAIN_MS);
                }
                self.shared.set_problem(format!("{service}: {error}"));
                tracing::debug!(%service, "a key store did not answer: {error}");
                match error {
                    RpcError::Refused(refusal) => self.refused(&member, refusal, with_body, is_current),
                    RpcError::NoAnswer(_)
                    | RpcError::Malformed(_)
                    | RpcError::Pool(_)
                    | RpcError::Seal(_) => self.refusals.silent(&service),
                }
            }
        }
    }

    fn refused(&mut self, member: &Member, refusal: Refusal, with_body: bool, is_current: bool) {
        let (service, now_ms) = (member.service(), self.shared.now_ms());
        if is_body_missing(&refusal) {
            self.has_body.remove(&service);
            self.lacks_body.insert(service);
        } else if is_passing(&refusal) {
            // It says nothing of us.
        } else if with_body && self.tenure.is_replacing_body() {
            if is_current {
                self.body_refusals.refused(service, member.id(), refusal, now_ms);
            }
        } else if with_body && self.found.is_none() {
            // What was written before, for one that was away: it cannot follow, and goes without.
            tracing::warn!(%service, "a key store does not take what it missed: {refusal}");
            self.has_body.insert(service);
        } else {
            self.refusals.refused(service, member.id(), refusal, now_ms);
        }
    }
}
