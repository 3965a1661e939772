//! What can happen: each chosen by the dice, done by the product and written down by the model.

use nwc::lightning::{CannotPay, Dispatch, NodeEvent};
use protocol::nwc::*;
use units::Msat;

use super::super::node::{Knows, ROUTING};
use super::super::pencil::{PEOPLE, Says};
use super::{Made, Step, Walk};
use crate::support::node::hash_of;

impl Walk {
    pub(super) fn operation(&mut self) {
        let who = self.dice.index(PEOPLE);
        let now = self.now.0;
        match self.dice.below(20) {
            0..=3 => self.make(who, false),
            4..=5 => self.make(who, true),
            6..=10 if !self.made.is_empty() => {
                let index = self.dice.index(self.made.len());
                let request = Request::PayInvoice(PayInvoice::of(self.made[index].text.clone()));
                self.ask(who, request, move |pencil| pencil.pay(who, index, now));
            }
            11..=12 => self.pay_foreign(who),
            13 => self.node_decides(),
            14 => self.report_again(),
            15 if !self.made.is_empty() => self.paid_from_outside(),
            16..=17 if !self.made.is_empty() => self.decide_hold(),
            18 => {
                self.now = self.now.plus_secs(self.dice.below(400));
                let now = self.now.0;
                self.step(Step::Upkeep, move |pencil| {
                    pencil.upkeep(now);
                    Says::Done
                });
            }
            _ => {
                self.step(Step::Upkeep, move |pencil| {
                    pencil.upkeep(now);
                    Says::Done
                });
            }
        }
    }

    fn make(&mut self, payee: usize, hold: bool) {
        let msat = self.dice.msat(3_000_000);
        let expiry = 60 + u32::try_from(self.dice.below(900)).unwrap();
        let terms = MakeInvoice { expiry_secs: Some(expiry), ..MakeInvoice::of(Msat::new(msat)) };
        let mut secret = [0x11; 32];
        secret[..8].copy_from_slice(&self.events.to_be_bytes());
        let preimage = hold.then(|| Preimage::from_bytes(secret));
        let request = match &preimage {
            None => Request::MakeInvoice(terms),
            Some(preimage) => Request::MakeHoldInvoice(MakeHoldInvoice {
                payment_hash: hash_of(preimage),
                invoice: terms,
                min_cltv_expiry_delta: None,
            }),
        };
        let until = self.now.0 + u64::from(expiry);
        let handled = self.ask(payee, request, move |pencil| pencil.make(payee, msat, until, hold));
        let text = handled.text().unwrap();
        let made = if hold { MakeHoldInvoice::parse_reply(&text) } else { MakeInvoice::parse_reply(&text) };
        let made = made.unwrap();
        self.made.push(Made { text: made.invoice.unwrap(), hash: made.payment_hash, preimage });
    }

    fn pay_foreign(&mut self, who: usize) {
        let index = self.dice.index(self.foreign.len());
        let (text, hash, _) = self.foreign[index].clone();
        let refused = self.dice.below(4) == 0;
        self.node.answer_next(if refused {
            Dispatch::Refused(CannotPay("not running".into()))
        } else if self.dice.below(2) == 0 {
            Dispatch::Unknown("reset".to_owned())
        } else {
            Dispatch::Sent
        });
        let crashes = self.crashes;
        let before = self.pencil.clone();
        let request = Request::PayInvoice(PayInvoice::of(text));
        self.ask(who, request, move |pencil| pencil.pay_foreign(who, index, refused));
        // A crash kept the node from hearing of it, or the wallet from hearing that it was refused. The node says
        // at the next start that nothing left: the payment is given up, and nobody has to decide about it.
        let began = before != self.pencil;
        if began && self.crashes > crashes && !self.is_on_hold(hash) {
            self.pencil = before;
            self.pencil.pay_foreign(who, index, true);
        }
    }

    fn is_on_hold(&self, hash: PaymentHash) -> bool {
        let query = "SELECT count(*) FROM payment WHERE payment_hash = ?1 AND state = 'dispatched'";
        self.raw.as_ref().unwrap().query_row(query, [hash.as_bytes()], |row| row.get::<_, i64>(0)).unwrap()
            == 1
    }

    /// The node comes to an end with a payment; rarely it finds that one arrived which it had given up.
    fn node_decides(&mut self) {
        let index = self.dice.index(self.foreign.len());
        let (_, hash, preimage) = self.foreign[index].clone();
        let dice = self.dice.below(8);
        let arrives = match self.node.knows(hash) {
            Some((_, Knows::UnderWay)) => dice < 2,
            Some((_, Knows::Failed)) if dice == 0 => true,
            Some((_, Knows::Failed | Knows::Arrived(_))) | None => return,
        };
        self.node.decide(hash, if arrives { Knows::Arrived(preimage) } else { Knows::Failed });
        self.report(index, arrives);
    }

    /// Any report comes again, however late: also the failure of an attempt while the next one is on its way,
    /// and after the payment arrived. It must change nothing.
    fn report_again(&mut self) {
        if self.reported.is_empty() {
            return;
        }
        let report = self.reported[self.dice.index(self.reported.len())].clone();
        if let NodeEvent::PaymentFailed { payment_hash, attempt, .. } = &report
            && self
                .node
                .knows(*payment_hash)
                .is_some_and(|(newest, knows)| newest != *attempt && knows == Knows::UnderWay)
        {
            self.stale += 1;
        }
        self.step(Step::Report(report), |_| Says::Done);
    }

    fn report(&mut self, index: usize, arrives: bool) {
        let (_, payment_hash, preimage) = self.foreign[index].clone();
        let event = if arrives {
            NodeEvent::PaymentSettled { payment_hash, preimage, fee: Msat::new(ROUTING) }
        } else {
            let (attempt, _) = self.node.knows(payment_hash).unwrap();
            NodeEvent::PaymentFailed { payment_hash, attempt, reason: "no route".to_owned() }
        };
        self.reported.push(event.clone());
        self.step(Step::Report(event), move |pencil| {
            if arrives {
                pencil.arrived(index, ROUTING)
            } else {
                pencil.failed(index)
            }
            Says::Done
        });
    }

    /// Somebody outside pays an invoice of ours, or the money that was claimed arrives.
    fn paid_from_outside(&mut self) {
        let index = self.dice.index(self.made.len());
        let (payment_hash, now) = (self.made[index].hash, self.now.0);
        let amount = Msat::new(self.pencil.invoices[index].msat);
        if self.node.has_claimed(payment_hash) {
            let event = NodeEvent::Received { payment_hash, amount };
            self.step(Step::Report(event), move |pencil| {
                pencil.received(index);
                Says::Done
            });
        } else {
            let event = NodeEvent::Claimable { payment_hash, amount, deadline: Some(1_000_000) };
            self.step(Step::Report(event), move |pencil| {
                pencil.claimable(index, now);
                Says::Done
            });
        }
    }

    fn decide_hold(&mut self) {
        let index = self.dice.index(self.made.len());
        let (payee, now) = (self.pencil.invoices[index].payee, self.now.0);
        let Some(preimage) = self.made[index].preimage.clone() else { return };
        if self.dice.below(3) == 0 {
            let request =
                Request::CancelHoldInvoice(CancelHoldInvoice { payment_hash: self.made[index].hash });
            self.ask(payee, request, move |pencil| pencil.cancel(index));
        } else {
            let request = Request::SettleHoldInvoice(SettleHoldInvoice { preimage });
            self.ask(payee, request, move |pencil| pencil.settle(index, now));
        }
    }
}
