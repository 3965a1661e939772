//! What can happen: each chosen by the dice, done by the product and written down by the model.

use nwc::lightning::{CannotPay, Dispatch, NodeEvent};
use protocol::nwc::*;
use units::Msat;

use super::super::node::{Knows, ROUTING};
use super::super::pencil::{Asks, PEOPLE, Says};
use super::{Made, Pencil, Step, Walk};
use crate::support::node::hash_of;
use crate::support::person;

/// What the node can pay out: plenty, nothing, or less than nothing.
const SPENDABLE: [i64; 4] = [1_000_000_000_000, 1_000_000_000_000, 0, -50_000_000];

impl Walk {
    pub(super) fn operation(&mut self) {
        let who = self.dice.index(PEOPLE);
        match self.dice.below(24) {
            0..=2 => self.make(who, who, false),
            3 => {
                let payee = self.dice.index(PEOPLE);
                self.make(who, payee, false);
            }
            4..=5 => self.make(who, who, true),
            6..=11 if !self.made.is_empty() => {
                let index = self.dice.index(self.made.len());
                let request = Request::PayInvoice(PayInvoice::of(self.made[index].text.clone()));
                self.ask_to_pay(who, request, move |pencil, asks| pencil.pay(asks, index));
            }
            12..=13 => self.pay_foreign(who),
            14 => self.node_decides(),
            15 => self.report_again(),
            16 if !self.made.is_empty() => self.paid_from_outside(),
            17..=18 if !self.made.is_empty() => self.decide_hold(),
            19 => self.connect(who),
            20 => {
                self.pencil.spendable = SPENDABLE[self.dice.index(SPENDABLE.len())];
                self.upkeep();
            }
            21 => {
                self.now = self.now.plus_secs(self.dice.below(400));
                self.pencil.height += u32::try_from(self.dice.below(4)).unwrap();
                self.upkeep();
            }
            _ => self.upkeep(),
        }
    }

    fn upkeep(&mut self) {
        let now = self.now.0;
        self.step(Step::Upkeep, move |pencil| {
            pencil.upkeep(now);
            Says::Done
        });
    }

    /// Lets another key spend somebody's money, within a budget for each day.
    fn connect(&mut self, owner: usize) {
        if self.connections.len() == 6 {
            return;
        }
        let (client, budget) =
            (person(50 + u32::try_from(self.dice.below(3)).unwrap()), self.dice.msat(12_000_000));
        let request = Request::CreateConnection(CreateConnection {
            max_amount: Some(Msat::new(budget)),
            budget_renewal: Some(BudgetRenewal::Daily),
            ..CreateConnection::of(client, "app", &[Method::PayInvoice])
        });
        let handled = self.ask(owner, request, move |pencil| pencil.connect(owner, budget));
        if let Ok(made) = CreateConnection::parse_reply(&handled.text().unwrap()) {
            self.connections.push((client, made.wallet_pubkey));
        }
    }

    /// Asks for a payment from somebody's wallet, with its own key or through a connection to it.
    fn ask_to_pay(
        &mut self,
        who: usize,
        request: Request,
        model: impl FnOnce(&mut Pencil, Asks) -> Says,
    ) -> Asks {
        let mut asks = Asks { payer: who, through: None, now: self.now.0 };
        let (mut client, mut service) = (self.people[who], self.service);
        if !self.connections.is_empty() && self.dice.below(3) == 0 {
            let through = self.dice.index(self.connections.len());
            asks = Asks { payer: self.pencil.connections[through].owner, through: Some(through), ..asks };
            (client, service) = self.connections[through];
        }
        self.step(Step::Ask { client, service, request }, move |pencil| model(pencil, asks));
        asks
    }

    fn make(&mut self, maker: usize, payee: usize, hold: bool) {
        let msat = self.dice.msat(3_000_000);
        let expiry = 60 + u32::try_from(self.dice.below(900)).unwrap();
        let terms = MakeInvoice { expiry_secs: Some(expiry), ..MakeInvoice::of(Msat::new(msat)) };
        let mut secret = [0x11; 32];
        secret[..8].copy_from_slice(&self.events.to_be_bytes());
        let preimage = hold.then(|| Preimage::from_bytes(secret));
        let request = match &preimage {
            None if maker != payee => Request::MakeInvoiceFor(MakeInvoiceFor {
                pubkey: self.people[payee],
                invoice: terms,
                zap_request: None,
            }),
            None => Request::MakeInvoice(terms),
            Some(preimage) => Request::MakeHoldInvoice(MakeHoldInvoice {
                payment_hash: hash_of(preimage),
                invoice: terms,
                min_cltv_expiry_delta: None,
            }),
        };
        let until = self.now.0 + u64::from(expiry);
        let handled = self.ask(maker, request, move |pencil| pencil.make(payee, msat, until, hold));
        let text = handled.text().unwrap();
        let made = match (hold, maker == payee) {
            (true, _) => MakeHoldInvoice::parse_reply(&text),
            (false, true) => MakeInvoice::parse_reply(&text),
            (false, false) => MakeInvoiceFor::parse_reply(&text),
        };
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
        self.stopped += u32::from(!before.is_solvent());
        let request = Request::PayInvoice(PayInvoice::of(text));
        let asks =
            self.ask_to_pay(who, request, move |pencil, asks| pencil.pay_foreign(asks, index, refused));
        // A crash kept the node from hearing of it, or the wallet from hearing that it was refused. The node says
        // at the next start that nothing left: the payment is given up, and nobody has to decide about it.
        let began = before != self.pencil;
        if began && self.crashes > crashes && !self.is_on_hold(hash) {
            self.pencil = before;
            self.pencil.pay_foreign(asks, index, true);
        }
    }

    pub(super) fn is_on_hold(&self, hash: PaymentHash) -> bool {
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
            let deadline = self.pencil.height + 3 + u32::try_from(self.dice.below(20)).unwrap();
            let event = NodeEvent::Claimable { payment_hash, amount, deadline: Some(deadline) };
            self.step(Step::Report(event), move |pencil| {
                pencil.claimable(index, deadline, now);
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
