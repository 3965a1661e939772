//! The model: what a careful person with a pencil would write down. It shares no code with the product,
//! and knows nothing of files, transactions or crashes.

pub(super) const PEOPLE: usize = 4;
/// The house's fee for every payment that arrives.
pub(super) const FEE: i64 = 3;

/// What a request must come to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Says {
    Done,
    /// It was done before. Whoever forgot that says no; nobody does it again.
    Known,
    Waits,
    No,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Is {
    Open,
    /// Money of another wallet is locked in, since then.
    Locked(usize, u64),
    /// Money from outside is locked in.
    Accepted,
    /// Being taken from outside.
    Claiming,
    Paid,
    Dead,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Invoice {
    pub(super) payee: usize,
    pub(super) msat: i64,
    pub(super) until: u64,
    pub(super) hold: bool,
    pub(super) is: Is,
    pub(super) paid_by: Option<usize>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sent {
    Never,
    InFlight(usize),
    GivenUp(usize),
    Arrived(usize),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Pencil {
    pub(super) money: [i64; PEOPLE],
    pub(super) hold: i64,
    pub(super) node: i64,
    pub(super) house: i64,
    pub(super) suspense: i64,
    pub(super) invoices: Vec<Invoice>,
    pub(super) foreign: Vec<(i64, Sent)>,
}

/// Seconds for which money of another wallet is locked in.
pub(super) const LOCKED_SECS: u64 = 600;

fn reserve(msat: i64) -> i64 {
    (msat / 100).max(10_000)
}

impl Pencil {
    pub(super) fn new(rich: i64, foreign: &[i64]) -> Self {
        let mut money = [0; PEOPLE];
        money[0] = rich;
        Self {
            money,
            hold: 0,
            node: 0,
            house: 0,
            suspense: 0,
            invoices: Vec::new(),
            foreign: foreign.iter().map(|msat| (*msat, Sent::Never)).collect(),
        }
    }

    pub(super) fn make(&mut self, payee: usize, msat: i64, until: u64, hold: bool) -> Says {
        self.invoices.push(Invoice { payee, msat, until, hold, is: Is::Open, paid_by: None });
        Says::Done
    }

    pub(super) fn pay(&mut self, payer: usize, index: usize, now: u64) -> Says {
        let invoice = &mut self.invoices[index];
        match invoice.is {
            Is::Paid if invoice.paid_by == Some(payer) => return Says::Known,
            Is::Locked(by, _) if by == payer => return Says::Waits,
            Is::Open if now <= invoice.until && invoice.payee != payer => {}
            Is::Open | Is::Locked(..) | Is::Accepted | Is::Claiming | Is::Paid | Is::Dead => return Says::No,
        }
        if self.money[payer] < invoice.msat + FEE {
            return Says::No;
        }
        self.money[payer] -= invoice.msat + FEE;
        if invoice.hold {
            self.hold += invoice.msat + FEE;
            invoice.is = Is::Locked(payer, now);
            return Says::Waits;
        }
        self.money[invoice.payee] += invoice.msat;
        self.house += FEE;
        (invoice.is, invoice.paid_by) = (Is::Paid, Some(payer));
        Says::Done
    }

    /// The payee gives the preimage.
    pub(super) fn settle(&mut self, index: usize, now: u64) -> Says {
        let invoice = &mut self.invoices[index];
        match invoice.is {
            Is::Paid | Is::Claiming if invoice.hold => Says::Known,
            Is::Locked(payer, since) if now <= since + LOCKED_SECS => {
                self.hold -= invoice.msat + FEE;
                self.money[invoice.payee] += invoice.msat;
                self.house += FEE;
                (invoice.is, invoice.paid_by) = (Is::Paid, Some(payer));
                Says::Done
            }
            Is::Accepted => {
                invoice.is = Is::Claiming;
                Says::Done
            }
            Is::Open | Is::Locked(..) | Is::Claiming | Is::Paid | Is::Dead => Says::No,
        }
    }

    pub(super) fn cancel(&mut self, index: usize) -> Says {
        let invoice = &mut self.invoices[index];
        match invoice.is {
            _ if !invoice.hold => Says::No,
            Is::Paid | Is::Claiming => Says::No,
            Is::Dead => Says::Done,
            Is::Open | Is::Accepted => {
                invoice.is = Is::Dead;
                Says::Done
            }
            Is::Locked(..) => {
                self.give_back(index);
                Says::Done
            }
        }
    }

    fn give_back(&mut self, index: usize) {
        let invoice = &mut self.invoices[index];
        let Is::Locked(payer, _) = invoice.is else { return };
        self.hold -= invoice.msat + FEE;
        self.money[payer] += invoice.msat + FEE;
        invoice.is = Is::Dead;
    }

    /// What is locked in for too long goes back.
    pub(super) fn upkeep(&mut self, now: u64) {
        for index in 0..self.invoices.len() {
            if matches!(self.invoices[index].is, Is::Locked(_, since) if now > since + LOCKED_SECS) {
                self.give_back(index);
            }
        }
    }

    /// Somebody pays from outside. True if the money is kept, be it taken or locked in.
    pub(super) fn claimable(&mut self, index: usize, now: u64) -> bool {
        let invoice = &mut self.invoices[index];
        match invoice.is {
            Is::Claiming | Is::Accepted => true,
            Is::Open if now <= invoice.until => {
                invoice.is = if invoice.hold { Is::Accepted } else { Is::Claiming };
                true
            }
            Is::Open | Is::Locked(..) | Is::Paid | Is::Dead => false,
        }
    }

    pub(super) fn received(&mut self, index: usize) {
        let invoice = &mut self.invoices[index];
        if invoice.is == Is::Claiming {
            invoice.is = Is::Paid;
            self.money[invoice.payee] += invoice.msat;
            self.node -= invoice.msat;
        }
    }

    /// `refused`: the node says at once that nothing left.
    pub(super) fn pay_foreign(&mut self, payer: usize, index: usize, refused: bool) -> Says {
        let (msat, sent) = self.foreign[index];
        match sent {
            Sent::Arrived(by) if by == payer => return Says::Known,
            Sent::InFlight(by) if by == payer => return Says::Waits,
            Sent::Arrived(_) | Sent::InFlight(_) => return Says::No,
            Sent::Never | Sent::GivenUp(_) => {}
        }
        let total = msat + reserve(msat) + FEE;
        if self.money[payer] < total {
            return Says::No;
        }
        if refused {
            self.foreign[index].1 = Sent::GivenUp(payer);
            return Says::No;
        }
        self.money[payer] -= total;
        self.hold += total;
        self.foreign[index].1 = Sent::InFlight(payer);
        Says::Waits
    }

    pub(super) fn arrived(&mut self, index: usize, fee: i64) {
        let (msat, sent) = self.foreign[index];
        let payer = match sent {
            Sent::InFlight(payer) => {
                self.hold -= msat + reserve(msat) + FEE;
                self.money[payer] += reserve(msat) - fee;
                self.house += FEE;
                payer
            }
            Sent::GivenUp(payer) => {
                let charged = self.money[payer].min(msat + fee);
                self.money[payer] -= charged;
                self.suspense -= msat + fee - charged;
                payer
            }
            Sent::Never | Sent::Arrived(_) => return,
        };
        self.node += msat + fee;
        self.foreign[index].1 = Sent::Arrived(payer);
    }

    pub(super) fn failed(&mut self, index: usize) {
        let (msat, sent) = self.foreign[index];
        if let Sent::InFlight(payer) = sent {
            self.hold -= msat + reserve(msat) + FEE;
            self.money[payer] += msat + reserve(msat) + FEE;
            self.foreign[index].1 = Sent::GivenUp(payer);
        }
    }
}
