use std::sync::Arc;

use lifecycle::{Phase, State};
use nostr::key::{Keys, PublicKey};
use protocol::manifest::{Egress, LaunchManifest, MANIFEST_VERSION, Upgrade};
use protocol::receipt::{RECEIPT_VERSION, Receipt, check_chain};
use units::{ComputeUnits, Msat, UnixSecs};

use super::*;

pub(crate) const ROOM: Room = Room { units: 10, unpaid_max: 3, slots: 8, ports: (100, 102) };

#[derive(Debug)]
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("state.db")).unwrap();
        Self { dir, store }
    }

    /// Somebody who has paid for a period.
    pub(crate) fn paid(&self, now: UnixSecs) -> PublicKey {
        let owner = key();
        let pubkey = self.store.reserve(launch(owner, 1), &ROOM).unwrap().pubkey();
        self.store.intend_charge(&pubkey, 0, Msat::new(5), now).unwrap();
        let receipt = receipt(&self.store, &pubkey, 0);
        self.store.save_charge_paid(&pubkey, 0, "bb", now, &receipt).unwrap();
        // There is room for more such.
        let over = State { phase: Phase::Terminated, ..State::waiting(now) };
        self.store.save_state(&pubkey, &over, None).unwrap();
        self.store.release(&pubkey).unwrap();
        owner
    }

    /// A container under the policy `signed`.
    pub(crate) fn signed(&self, state: State) -> Container {
        let owner = key();
        let mut new = NewLaunch { state, ..launch(owner, 1) };
        new.spec.manifest = Some(LaunchManifest {
            version: MANIFEST_VERSION,
            image: new.spec.image.clone(),
            args: None,
            env: [].into(),
            secrets: [].into(),
            units: new.spec.units,
            ports: Vec::new(),
            volumes: Vec::new(),
            egress: Egress::None,
            upgrade: Upgrade::Signed,
            owner,
            logs: true,
            exec: false,
        });
        self.store.reserve(new, &ROOM).unwrap()
    }

    pub(super) fn reopen(self) -> Self {
        drop(self.store);
        let store = Store::open(&self.dir.path().join("state.db")).unwrap();
        Self { store, ..self }
    }
}

pub(crate) fn key() -> PublicKey {
    Keys::generate().public_key()
}

pub(crate) fn launch(owner: PublicKey, units: u32) -> NewLaunch {
    let keys = Keys::generate();
    NewLaunch {
        token: Token::new(keys.public_key().to_hex()),
        origin: Origin::Launched { owner, request_key: keys.public_key().to_hex() },
        spec: Spec {
            name: Some("x".into()),
            image: "r/x@sha256:ab".into(),
            config_digest: "sha256:cd".into(),
            args: None,
            env: [("SECRET".to_owned(), "hunter2".to_owned())].into(),
            secrets: None,
            units: ComputeUnits::new(units).unwrap(),
            volume_bytes: None,
            ports: Vec::new(),
            volumes: Vec::new(),
            image_volumes: Vec::new(),
            egress: Egress::None,
            price_per_period: Msat::new(5_000),
            manifest: None,
            manifest_sha256: None,
            salt: None,
        },
        container_ports: Vec::new(),
        state: State::waiting(UnixSecs(100)),
        created_at: UnixSecs(1),
        keys,
    }
}

#[test]
fn launch_is_remembered_whole() {
    let fixture = Fixture::new();
    let owner = key();
    let made = fixture
        .store
        .reserve(NewLaunch { container_ports: vec![80, 443], ..launch(owner, 2) }, &ROOM)
        .unwrap();
    let fixture = fixture.reopen();
    let read = fixture.store.container(&made.pubkey()).unwrap().unwrap();
    assert_eq!((read.spec.clone(), read.state, read.origin.clone()), (made.spec, made.state, made.origin));
    assert_eq!(read.spec.ports.iter().map(|m| m.server_port).collect::<Vec<_>>(), [100, 101]);
    assert_eq!((read.keys.secret_key(), read.token == made.token), (made.keys.secret_key(), true));
    assert!(!format!("{read:?}").contains("hunter2"));
    assert_eq!(fixture.store.owned_by(&owner, None, 10).unwrap().unwrap().len(), 1);
}

#[test]
fn reservation_is_all_or_nothing() {
    let store = Fixture::new().store;
    let owner = key();
    store.reserve(launch(owner, 4), &ROOM).unwrap();
    assert!(matches!(store.reserve(launch(owner, 1), &ROOM), Err(ReserveError::OwnerHasUnpaid)));
    assert!(matches!(store.reserve(launch(key(), 7), &ROOM), Err(ReserveError::Full(_))));
    let four_ports = NewLaunch { container_ports: vec![1, 2, 3, 4], ..launch(key(), 1) };
    assert!(matches!(store.reserve(four_ports, &ROOM), Err(ReserveError::Full(_))));
    store.reserve(launch(key(), 1), &ROOM).unwrap();
    store.reserve(launch(key(), 1), &ROOM).unwrap();
    assert!(matches!(store.reserve(launch(key(), 1), &ROOM), Err(ReserveError::TooManyUnpaid)));
    assert_eq!((store.units_free(ROOM.units).unwrap(), store.containers().unwrap().len()), (4, 3));
}

#[test]
fn of_many_launches_for_the_last_unit_one_wins() {
    let store = Arc::new(Fixture::new().store);
    let room = Room { units: 1, unpaid_max: 100, ..ROOM };
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let store = Arc::clone(&store);
            std::thread::spawn(move || store.reserve(launch(key(), 1), &room).is_ok())
        })
        .collect();
    let won = threads.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count();
    assert_eq!((won, store.units_free(1).unwrap()), (1, 0));
}

#[test]
fn units_follow_the_state() {
    let store = Fixture::new().store;
    let made = store.reserve(launch(key(), 6), &ROOM).unwrap();
    let paused = State { phase: Phase::Paused { since: UnixSecs(5) }, ..made.state };
    store.save_state(&made.pubkey(), &paused, None).unwrap();
    assert_eq!(store.units_free(ROOM.units).unwrap(), 10);
    let other = store.reserve(launch(key(), 6), &ROOM).unwrap();
    assert!(!store.readmit(&made.pubkey(), 6, ROOM.units).unwrap());
    store.save_state(&other.pubkey(), &State { phase: Phase::Expired, ..other.state }, None).unwrap();
    assert!(store.readmit(&made.pubkey(), 6, ROOM.units).unwrap());
    assert!(store.readmit(&made.pubkey(), 6, ROOM.units).unwrap(), "asking twice is asking once");
    assert_eq!(store.units_free(ROOM.units).unwrap(), 4);
}

#[test]
fn network_and_ports_are_reused_once_released() {
    let store = Fixture::new().store;
    let room = Room { slots: 1, ..ROOM };
    let first = store.reserve(NewLaunch { container_ports: vec![80], ..launch(key(), 1) }, &room).unwrap();
    assert!(matches!(store.reserve(launch(key(), 1), &room), Err(ReserveError::Full(_))));
    store.release(&first.pubkey()).unwrap();
    let second = store.reserve(NewLaunch { container_ports: vec![80], ..launch(key(), 1) }, &room).unwrap();
    assert_eq!((second.slot, second.spec.ports[0].server_port), (Some(0), 100));
}

#[test]
fn charge_is_intended_once_and_its_proof_stays() {
    let store = Fixture::new().store;
    let pubkey = store.reserve(launch(key(), 1), &ROOM).unwrap().pubkey();
    let intend = |amount| store.intend_charge(&pubkey, 0, Msat::new(amount), UnixSecs(1)).unwrap();
    assert_eq!(intend(5).invoice, None);
    store.save_charge_invoice(&pubkey, 0, Some(("lnbc1", "aa"))).unwrap();
    assert_eq!(
        intend(9),
        Charge {
            amount: Msat::new(5),
            invoice: Some("lnbc1".into()),
            payment_hash: Some("aa".into()),
            preimage: None,
        }
    );
    let receipt = receipt(&store, &pubkey, 0);
    store.save_charge_paid(&pubkey, 0, "bb", UnixSecs(2), &receipt).unwrap();
    store.save_charge_invoice(&pubkey, 0, None).unwrap();
    assert_eq!((intend(5).invoice.as_deref(), intend(5).preimage.as_deref()), (Some("lnbc1"), Some("bb")));
    assert_eq!(store.charged(&pubkey).unwrap(), (1, Msat::new(5)));
}

/// The next receipt of a container's chain, as billing makes it.
fn receipt(store: &Store, container: &PublicKey, period: u64) -> NewReceipt {
    let NextReceipt { number, previous } = store.next_receipt(container).unwrap();
    let from = UnixSecs(1_000 + 3_600 * period);
    let receipt = Receipt {
        version: RECEIPT_VERSION,
        container: *container,
        number,
        previous,
        image: "r/x@sha256:ab".into(),
        manifest_sha256: None,
        units: ComputeUnits::new(1).unwrap(),
        period,
        from,
        until: from.plus_secs(3_600),
        amount_msat: Msat::new(5),
        payment_hash: Some(format!("{period:064x}")),
    };
    NewReceipt { number, event: receipt.sign(&service(), from).unwrap() }
}

fn service() -> Keys {
    Keys::parse(&"05".repeat(32)).unwrap()
}

#[test]
fn receipts_are_one_for_each_paid_period_and_a_chain() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    let [one, other] = [1, 2].map(|_| store.reserve(launch(key(), 1), &ROOM).unwrap().pubkey());
    let pay = |pubkey: &PublicKey, period| {
        store.intend_charge(pubkey, period, Msat::new(5), UnixSecs(1)).unwrap();
        store.save_charge_paid(pubkey, period, "bb", UnixSecs(2), &receipt(store, pubkey, period)).unwrap();
    };
    for period in [0, 1, 3] {
        pay(&one, period);
    }
    pay(&other, 0);
    // Recorded again after a crash, a payment makes no second receipt.
    pay(&one, 3);
    // Without an intent there is no payment, and no receipt of one.
    let unintended = store.save_charge_paid(&one, 9, "bb", UnixSecs(2), &receipt(store, &one, 9));
    assert!(matches!(unintended, Err(StoreError::Missing)));
    let fixture = fixture.reopen();
    let all = fixture.store.receipts(&one, 0, 10).unwrap();
    let (read, head) = check_chain(&all, &service().public_key(), &one).unwrap();
    assert_eq!(read.iter().map(|receipt| receipt.period).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(fixture.store.next_receipt(&one).unwrap(), NextReceipt { number: 3, previous: head });
    assert_eq!(fixture.store.receipts(&one, 1, 1).unwrap(), all[1..2]);
    assert_eq!(fixture.store.receipts(&one, 3, 10).unwrap(), []);
    assert_eq!(fixture.store.next_receipt(&other).unwrap().number, 1);
}

#[test]
fn withdrawal_is_intended_once_per_command() {
    let store = Fixture::new().store;
    let owner = key();
    let pubkey = store.reserve(launch(owner, 1), &ROOM).unwrap().pubkey();
    let intend = |invoice: &str| {
        let asked = store.intend_withdrawal("k", (&pubkey, &owner), invoice, Msat::new(7), UnixSecs(1));
        asked.unwrap().unwrap()
    };
    assert_eq!(intend("a").paid, None);
    store.save_withdrawal_paid("k", "ff", Msat::new(1)).unwrap();
    assert_eq!((intend("b").invoice.as_str(), intend("b").paid), ("a", Some(("ff".into(), Msat::new(1)))));
}

#[test]
fn withdrawal_is_forgotten_unless_it_is_paid() {
    let store = Fixture::new().store;
    let owner = key();
    let pubkey = store.reserve(launch(owner, 1), &ROOM).unwrap().pubkey();
    let intend = |invoice: &str| {
        let asked = store.intend_withdrawal("k", (&pubkey, &owner), invoice, Msat::new(7), UnixSecs(1));
        asked.unwrap().unwrap()
    };
    intend("a");
    store.forget_withdrawal("k").unwrap();
    assert_eq!(intend("b").invoice, "b");
    store.save_withdrawal_paid("k", "ff", Msat::ZERO).unwrap();
    store.forget_withdrawal("k").unwrap();
    assert_eq!(intend("c").invoice, "b");
}

#[test]
fn only_a_launch_without_an_invoice_is_forgotten() {
    let store = Fixture::new().store;
    let made = store.reserve(launch(key(), 1), &ROOM).unwrap();
    let invoice = protocol::rpc::enclaved::Invoice {
        direction: "incoming".into(),
        invoice: "lnbc1".into(),
        description: None,
        payment_hash: "aa".into(),
        amount: Msat::new(5),
        created_at: UnixSecs(1),
        expires_at: UnixSecs(2),
    };
    let state = State::waiting(UnixSecs(9));
    store.save_invoice(&made.pubkey(), &invoice, &state).unwrap();
    store.forget_launch(&made.pubkey()).unwrap();
    let found = store.container(&made.pubkey()).unwrap().unwrap();
    assert_eq!((found.invoice, found.state), (Some(invoice), state));
    let other = store.reserve(launch(key(), 1), &ROOM).unwrap();
    store.forget_launch(&other.pubkey()).unwrap();
    assert!(store.container(&other.pubkey()).unwrap().is_none());
}

#[test]
fn unpaid_launches_are_forgotten_and_nothing_else() {
    let Fixture { store, dir: _dir } = Fixture::new();
    let room = Room { unpaid_max: 9, slots: 9, ..ROOM };
    let made = |phase: Phase| {
        let made = store.reserve(launch(key(), 1), &room).unwrap().pubkey();
        store.save_state(&made, &State { phase, ..State::waiting(UnixSecs(100)) }, None).unwrap();
        made
    };
    let expired = [made(Phase::Expired), made(Phase::Expired), made(Phase::Expired), made(Phase::Expired)];
    let [unpaid, holding, credited, charged] = expired;
    let others = [made(Phase::Failed), made(Phase::Terminated), made(Phase::Waiting { until: UnixSecs(9) })];
    others.iter().chain([&unpaid, &credited, &charged]).for_each(|one| store.release(one).unwrap());
    store.save_balance(&credited, Msat::new(1)).unwrap();
    store.intend_charge(&charged, 0, Msat::new(5), UnixSecs(1)).unwrap();

    let listed = |created: u64, limit: u32| -> Vec<PublicKey> {
        store.unpaid(UnixSecs(created), limit).unwrap().iter().map(Container::pubkey).collect()
    };
    assert_eq!((listed(1, 9), listed(2, 0), listed(2, 9)), (vec![], vec![], vec![unpaid]));
    assert!(!store.forget_unpaid(&unpaid, UnixSecs(1)).unwrap(), "too young");
    for kept in others.iter().chain([&holding, &credited, &charged]) {
        assert!(!store.forget_unpaid(kept, UnixSecs(2)).unwrap());
        assert!(store.container(kept).unwrap().is_some());
    }
    assert!(store.forget_unpaid(&unpaid, UnixSecs(2)).unwrap());
    assert!(store.container(&unpaid).unwrap().is_none());
}

#[test]
fn heartbeat_is_remembered() {
    let fixture = Fixture::new();
    assert_eq!(fixture.store.last_beat().unwrap(), None);
    fixture.store.beat(UnixSecs(5)).unwrap();
    fixture.store.beat(UnixSecs(9)).unwrap();
    assert_eq!(fixture.reopen().store.last_beat().unwrap(), Some(UnixSecs(9)));
}
