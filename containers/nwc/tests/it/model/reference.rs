//! The model: what a careful person with a pencil would write down.

use std::collections::{BTreeMap, BTreeSet};

/// What a request to pay must come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    Paid,
    OnItsWay,
    Refused(String),
}

/// What money is that arrives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Arrival {
    Credited,
    Known,
    Nobodys,
}

/// How the node takes a payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HandOver {
    Sent,
    Refused,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum InvoiceIs {
    Open,
    Claimed,
    Paid,
    Cancelled,
}

struct Invoice {
    payee: u32,
    msat: i64,
    until: u64,
    is: InvoiceIs,
    paid_by: Option<u32>,
}

#[derive(Clone, Copy, PartialEq)]
enum ForeignIs {
    Untouched,
    InFlight(u32),
    GivenUp(u32),
    Paid(u32),
}

struct Foreign {
    msat: i64,
    until: u64,
    is: ForeignIs,
}

pub(crate) struct Reference {
    money: BTreeMap<u32, i64>,
    invoices: Vec<Invoice>,
    foreign: Vec<Foreign>,
    node: i64,
    suspense: i64,
    /// Invoices that money came for without a claim.
    nobodys: BTreeSet<usize>,
}

fn refused(code: &str) -> Expected {
    Expected::Refused(code.to_owned())
}

/// A hundredth, at least ten satoshi.
fn reserve(msat: i64) -> i64 {
    (msat / 100).max(10_000)
}

impl Reference {
    pub(crate) fn new() -> Self {
        Self {
            money: BTreeMap::new(),
            invoices: vec![],
            foreign: vec![],
            node: 0,
            suspense: 0,
            nobodys: BTreeSet::new(),
        }
    }

    pub(crate) fn add_invoice(&mut self, payee: u32, msat: i64, until: u64) {
        self.invoices.push(Invoice { payee, msat, until, is: InvoiceIs::Open, paid_by: None });
    }

    pub(crate) fn add_foreign(&mut self, msat: i64, until: u64) {
        self.foreign.push(Foreign { msat, until, is: ForeignIs::Untouched });
    }

    pub(crate) fn balance(&self, of: u32) -> i64 {
        self.money.get(&of).copied().unwrap_or(0)
    }

    pub(crate) fn give(&mut self, to: u32, msat: i64) {
        *self.money.entry(to).or_default() += msat;
    }

    pub(crate) fn held(&self) -> i64 {
        let in_flight = self.foreign.iter().filter(|foreign| matches!(foreign.is, ForeignIs::InFlight(_)));
        in_flight.map(|foreign| foreign.msat + reserve(foreign.msat)).sum()
    }

    pub(crate) fn node_balance(&self) -> i64 {
        self.node
    }

    pub(crate) fn suspense(&self) -> i64 {
        self.suspense
    }

    pub(crate) fn payee(&self, invoice: usize) -> u32 {
        self.invoices[invoice].payee
    }

    pub(crate) fn is_paid(&self, invoice: usize) -> bool {
        self.invoices[invoice].is == InvoiceIs::Paid
    }

    pub(crate) fn cancel(&mut self, by: u32, invoice: usize, now: u64) -> bool {
        let invoice = &mut self.invoices[invoice];
        let can = invoice.payee == by && invoice.is == InvoiceIs::Open && now <= invoice.until;
        if can {
            invoice.is = InvoiceIs::Cancelled;
        }
        can
    }

    pub(crate) fn pay(&mut self, payer: u32, index: usize, amount: Option<i64>, now: u64) -> Expected {
        let Invoice { payee, msat, until, is, paid_by } = self.invoices[index];
        if amount.is_some_and(|amount| amount != msat) {
            return refused("OTHER");
        }
        if paid_by == Some(payer) {
            return Expected::Paid;
        }
        if is != InvoiceIs::Open || now > until || payee == payer {
            return refused("PAYMENT_FAILED");
        }
        if self.balance(payer) < msat {
            return refused("INSUFFICIENT_BALANCE");
        }
        self.give(payer, -msat);
        self.give(payee, msat);
        self.invoices[index].is = InvoiceIs::Paid;
        self.invoices[index].paid_by = Some(payer);
        Expected::Paid
    }

    /// What the payer is told, and whether the node was given the payment.
    pub(crate) fn pay_foreign(
        &mut self,
        payer: u32,
        index: usize,
        hand_over: HandOver,
        now: u64,
    ) -> (Expected, bool) {
        let Foreign { msat, until, is } = self.foreign[index];
        match is {
            ForeignIs::Paid(by) if by == payer => return (Expected::Paid, false),
            ForeignIs::InFlight(by) if by == payer => return (Expected::OnItsWay, false),
            ForeignIs::Paid(_) | ForeignIs::InFlight(_) => return (refused("PAYMENT_FAILED"), false),
            ForeignIs::Untouched | ForeignIs::GivenUp(_) => {}
        }
        if now > until {
            return (refused("PAYMENT_FAILED"), false);
        }
        if self.balance(payer) < msat + reserve(msat) {
            return (refused("INSUFFICIENT_BALANCE"), false);
        }
        if hand_over == HandOver::Refused {
            self.foreign[index].is = ForeignIs::GivenUp(payer);
            return (refused("PAYMENT_FAILED"), true);
        }
        self.give(payer, -msat - reserve(msat));
        self.foreign[index].is = ForeignIs::InFlight(payer);
        (Expected::OnItsWay, true)
    }

    pub(crate) fn node_settles(&mut self, index: usize, fee: i64) -> bool {
        let Foreign { msat, is, .. } = self.foreign[index];
        let payer = match is {
            ForeignIs::InFlight(payer) => {
                self.give(payer, (reserve(msat) - fee).max(0));
                payer
            }
            ForeignIs::GivenUp(payer) => {
                let charged = self.balance(payer).min(msat + fee);
                self.give(payer, -charged);
                self.suspense -= msat + fee - charged;
                payer
            }
            ForeignIs::Untouched | ForeignIs::Paid(_) => return false,
        };
        self.node += msat + fee;
        self.foreign[index].is = ForeignIs::Paid(payer);
        true
    }

    pub(crate) fn node_fails(&mut self, index: usize) -> bool {
        let Foreign { msat, is, .. } = self.foreign[index];
        let ForeignIs::InFlight(payer) = is else { return false };
        self.give(payer, msat + reserve(msat));
        self.foreign[index].is = ForeignIs::GivenUp(payer);
        true
    }

    pub(crate) fn claimable(&mut self, index: usize, msat: i64, now: u64) -> bool {
        let was_received = self.nobodys.contains(&index);
        let invoice = &mut self.invoices[index];
        let take = invoice.is == InvoiceIs::Claimed
            || invoice.is == InvoiceIs::Open && now <= invoice.until && msat >= invoice.msat && !was_received;
        if take {
            invoice.is = InvoiceIs::Claimed;
        }
        take
    }

    /// Money that was never claimed is nobody's, once.
    pub(crate) fn received(&mut self, index: usize, msat: i64) -> Arrival {
        let payee = self.invoices[index].payee;
        match self.invoices[index].is {
            InvoiceIs::Claimed => {
                self.invoices[index].is = InvoiceIs::Paid;
                self.give(payee, msat);
                self.node -= msat;
                Arrival::Credited
            }
            InvoiceIs::Open | InvoiceIs::Cancelled if self.nobodys.insert(index) => {
                self.node -= msat;
                self.suspense += msat;
                Arrival::Nobodys
            }
            InvoiceIs::Paid | InvoiceIs::Open | InvoiceIs::Cancelled => Arrival::Known,
        }
    }
}
