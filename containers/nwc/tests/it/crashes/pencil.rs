//! The model: what a careful person with a pencil would write down. It shares no code with the product,
//! and knows nothing of files, transactions or crashes.

pub(super) const PEOPLE: usize = 4;
/// The house's fee for every payment that arrives: so much, and so many millionths, rounded up.
pub(super) const FEE: i64 = 3;
pub(super) const FEE_PPM: i64 = 4_000;
/// What everybody but the first pays for every period in which there is money to hold.
pub(super) const HOLDING: i64 = 700;
pub(super) const HOLDING_SECS: u64 = 700;
/// Blocks before the node's deadline at which a hold invoice is given up.
const BLOCKS_BEFORE: u32 = 6;
const DAY_SECS: u64 = 86_400;

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
    /// Money from outside is locked in, below this height.
    Accepted(u32),
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
    /// The connection that it was paid through, and when.
    through: Option<(usize, u64)>,
}

/// Somebody else's invoice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Foreign {
    pub(super) msat: i64,
    pub(super) sent: Sent,
    through: Option<(usize, u64)>,
    /// What its payer's budget is charged with.
    costs: i64,
}

/// Who asks for a payment, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    pub(super) payer: usize,
    pub(super) through: Option<usize>,
    pub(super) now: u64,
}

/// What lets another key spend its owner's money.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Connection {
    pub(super) owner: usize,
    /// For each day.
    pub(super) budget: i64,
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
    pub(super) foreign: Vec<Foreign>,
    pub(super) connections: Vec<Connection>,
    /// Who ever had money.
    known: [bool; PEOPLE],
    /// The last period that was charged for.
    period: Option<u64>,
    /// What was put into the house, and what its node could pay out now.
    rich: i64,
    pub(super) spendable: i64,
    pub(super) height: u32,
}

/// Seconds for which money of another wallet is locked in.
pub(super) const LOCKED_SECS: u64 = 600;

fn fee(msat: i64) -> i64 {
    FEE + (msat * FEE_PPM + 999_999) / 1_000_000
}

fn reserve(msat: i64) -> i64 {
    ((msat + 99) / 100).max(10_000)
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
            foreign: foreign
                .iter()
                .map(|msat| Foreign { msat: *msat, sent: Sent::Never, through: None, costs: 0 })
                .collect(),
            connections: Vec::new(),
            known: std::array::from_fn(|n| n == 0),
            period: None,
            rich,
            spendable: i64::from(u32::MAX),
            height: 100,
        }
    }

    pub(super) fn connect(&mut self, owner: usize, budget: i64) -> Says {
        if !self.known[owner] {
            return Says::No;
        }
        self.connections.push(Connection { owner, budget });
        Says::Done
    }

    /// What was spent through a connection on this day.
    pub(super) fn spent(&self, connection: usize, now: u64) -> i64 {
        let counts = |through: Option<(usize, u64)>| {
            through.is_some_and(|(by, at)| by == connection && at / DAY_SECS == now / DAY_SECS)
        };
        let ours = self.invoices.iter().filter(|one| counts(one.through));
        let ours = ours.filter(|one| matches!(one.is, Is::Paid | Is::Locked(..)));
        let others = self.foreign.iter().filter(|one| counts(one.through)).map(|one| one.costs);
        ours.map(|one| one.msat + fee(one.msat)).sum::<i64>() + others.sum::<i64>()
    }

    /// How many payments went through connections.
    pub(super) fn paid_through(&self) -> u32 {
        let ours = self.invoices.iter().map(|one| one.through);
        let through = ours.chain(self.foreign.iter().map(|one| one.through)).flatten();
        u32::try_from(through.count()).unwrap()
    }

    /// Whether payer and budget have so much.
    fn affords(&self, asks: Asks, total: i64) -> bool {
        let fits = |by: usize| self.spent(by, asks.now) + total <= self.connections[by].budget;
        self.money[asks.payer] >= total && asks.through.is_none_or(fits)
    }

    pub(super) fn is_solvent(&self) -> bool {
        self.money.iter().sum::<i64>() + self.hold <= self.spendable + self.rich
    }

    pub(super) fn make(&mut self, payee: usize, msat: i64, until: u64, hold: bool) -> Says {
        self.invoices.push(Invoice { payee, msat, until, hold, is: Is::Open, paid_by: None, through: None });
        Says::Done
    }

    pub(super) fn pay(&mut self, asks: Asks, index: usize) -> Says {
        let Asks { payer, through, now } = asks;
        let invoice = self.invoices[index].clone();
        match invoice.is {
            Is::Paid if invoice.paid_by == Some(payer) => return Says::Known,
            Is::Locked(by, _) if by == payer => return Says::Waits,
            Is::Open if now <= invoice.until && invoice.payee != payer => {}
            Is::Open | Is::Locked(..) | Is::Accepted(_) | Is::Claiming | Is::Paid | Is::Dead => {
                return Says::No;
            }
        }
        let total = invoice.msat + fee(invoice.msat);
        if !self.affords(asks, total) {
            return Says::No;
        }
        self.money[payer] -= total;
        let row = &mut self.invoices[index];
        row.through = through.map(|by| (by, now));
        if invoice.hold {
            self.hold += total;
            row.is = Is::Locked(payer, now);
            return Says::Waits;
        }
        (row.is, row.paid_by) = (Is::Paid, Some(payer));
        self.credit(invoice.payee, invoice.msat);
        self.house += fee(invoice.msat);
        Says::Done
    }

    fn credit(&mut self, who: usize, msat: i64) {
        self.money[who] += msat;
        self.known[who] = true;
    }

    /// The payee gives the preimage.
    pub(super) fn settle(&mut self, index: usize, now: u64) -> Says {
        let height = self.height;
        let invoice = &mut self.invoices[index];
        match invoice.is {
            Is::Paid | Is::Claiming if invoice.hold => Says::Known,
            Is::Locked(payer, since) if now <= since + LOCKED_SECS => {
                (invoice.is, invoice.paid_by) = (Is::Paid, Some(payer));
                let (payee, msat) = (invoice.payee, invoice.msat);
                self.hold -= msat + fee(msat);
                self.house += fee(msat);
                self.credit(payee, msat);
                Says::Done
            }
            Is::Accepted(until) if height < until => {
                invoice.is = Is::Claiming;
                Says::Done
            }
            Is::Open | Is::Locked(..) | Is::Accepted(_) | Is::Claiming | Is::Paid | Is::Dead => Says::No,
        }
    }

    pub(super) fn cancel(&mut self, index: usize) -> Says {
        let invoice = &mut self.invoices[index];
        match invoice.is {
            _ if !invoice.hold => Says::No,
            Is::Paid | Is::Claiming => Says::No,
            Is::Dead => Says::Done,
            Is::Open | Is::Accepted(_) => {
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
        invoice.is = Is::Dead;
        let total = invoice.msat + fee(invoice.msat);
        self.hold -= total;
        self.money[payer] += total;
    }

    pub(super) fn upkeep(&mut self, now: u64) {
        self.end_holds(now);
        self.charge(now);
    }

    /// What is locked in for too long goes back.
    pub(super) fn end_holds(&mut self, now: u64) {
        for index in 0..self.invoices.len() {
            match self.invoices[index].is {
                Is::Locked(_, since) if now > since + LOCKED_SECS => self.give_back(index),
                Is::Accepted(until) if self.height >= until => self.invoices[index].is = Is::Dead,
                Is::Open | Is::Locked(..) | Is::Accepted(_) | Is::Claiming | Is::Paid | Is::Dead => {}
            }
        }
    }

    /// Holding money costs from the second period on that anybody looks at.
    fn charge(&mut self, now: u64) {
        let period = now / HOLDING_SECS;
        let last = self.period.replace(period);
        if last.is_some_and(|last| last < period) {
            for money in &mut self.money[1..] {
                let fee = HOLDING.min(*money);
                *money -= fee;
                self.house += fee;
            }
        }
    }

    /// Somebody pays from outside. True if the money is kept, be it taken or locked in.
    pub(super) fn claimable(&mut self, index: usize, deadline: u32, now: u64) -> bool {
        let (until, height) = (deadline - BLOCKS_BEFORE, self.height);
        let invoice = &mut self.invoices[index];
        match invoice.is {
            Is::Claiming | Is::Accepted(_) => true,
            Is::Open if now <= invoice.until && !invoice.hold => {
                invoice.is = Is::Claiming;
                true
            }
            Is::Open if now <= invoice.until && height < until => {
                invoice.is = Is::Accepted(until);
                true
            }
            Is::Open | Is::Locked(..) | Is::Paid | Is::Dead => false,
        }
    }

    pub(super) fn received(&mut self, index: usize) {
        let invoice = &mut self.invoices[index];
        if invoice.is == Is::Claiming {
            invoice.is = Is::Paid;
            let (payee, msat) = (invoice.payee, invoice.msat);
            self.credit(payee, msat);
            self.node -= msat;
        }
    }

    /// `refused`: the node says at once that nothing left.
    pub(super) fn pay_foreign(&mut self, asks: Asks, index: usize, refused: bool) -> Says {
        let Asks { payer, through, now } = asks;
        let msat = self.foreign[index].msat;
        match self.foreign[index].sent {
            Sent::Arrived(by) if by == payer => return Says::Known,
            Sent::InFlight(by) if by == payer => return Says::Waits,
            Sent::Arrived(_) | Sent::InFlight(_) => return Says::No,
            Sent::Never | Sent::GivenUp(_) => {}
        }
        let total = msat + reserve(msat) + fee(msat);
        if !self.is_solvent() || !self.affords(asks, total) {
            return Says::No;
        }
        let row = &mut self.foreign[index];
        row.through = through.map(|by| (by, now));
        if refused {
            (row.sent, row.costs) = (Sent::GivenUp(payer), 0);
            return Says::No;
        }
        (row.sent, row.costs) = (Sent::InFlight(payer), total);
        self.money[payer] -= total;
        self.hold += total;
        Says::Waits
    }

    pub(super) fn arrived(&mut self, index: usize, routing: i64) {
        let Foreign { msat, sent, .. } = self.foreign[index];
        let (payer, costs) = match sent {
            Sent::InFlight(payer) => {
                self.hold -= msat + reserve(msat) + fee(msat);
                self.money[payer] += reserve(msat) - routing;
                self.house += fee(msat);
                (payer, msat + routing + fee(msat))
            }
            Sent::GivenUp(payer) => {
                let charged = self.money[payer].min(msat + routing);
                self.money[payer] -= charged;
                self.suspense -= msat + routing - charged;
                (payer, msat + routing)
            }
            Sent::Never | Sent::Arrived(_) => return,
        };
        self.node += msat + routing;
        let row = &mut self.foreign[index];
        (row.sent, row.costs) = (Sent::Arrived(payer), costs);
    }

    pub(super) fn failed(&mut self, index: usize) {
        let Foreign { msat, sent, .. } = self.foreign[index];
        if let Sent::InFlight(payer) = sent {
            let total = msat + reserve(msat) + fee(msat);
            self.hold -= total;
            self.money[payer] += total;
            let row = &mut self.foreign[index];
            (row.sent, row.costs) = (Sent::GivenUp(payer), 0);
        }
    }
}
