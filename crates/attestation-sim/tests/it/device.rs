//! The module's registers, documents and leaf certificates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use attestation::nsm::{Nsm, NsmError, NsmErrorCode, NsmRequest, NsmResponse};
use attestation::{Expectations, Pcr, VerifiedDocument, VerifyAt, pcr_digest, verify};
use attestation_sim::{InstanceIdError, SimConfig, SimNsm, SimRoot, image_pcrs};
use units::{Clock, ManualClock};

use crate::support::NOW;

struct World {
    root: Arc<SimRoot>,
    clock: Arc<ManualClock>,
    module: Arc<SimNsm>,
    nsm: Nsm,
}

fn world(config: SimConfig) -> World {
    let root = Arc::new(SimRoot::generate().unwrap());
    let clock = Arc::new(ManualClock::at(NOW));
    let module = SimNsm::new(Arc::clone(&root), config, Arc::<ManualClock>::clone(&clock)).unwrap();
    let module = Arc::new(module);
    let nsm = Nsm::new(Arc::<SimNsm>::clone(&module));
    World { root, clock, module, nsm }
}

impl World {
    /// A fresh document, verified now.
    fn attested(&self, expectations: &Expectations) -> VerifiedDocument {
        let document = self.nsm.attest(None, None, None).unwrap();
        verify(&document, expectations, self.root.trust_root(), VerifyAt::now(&*self.clock)).unwrap()
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, NsmError>) -> NsmErrorCode {
    match result {
        Err(NsmError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn registers_begin_as_an_enclave_finds_them() {
    let eight = Pcr::from_bytes([8; 48]);
    let config = SimConfig {
        instance_id: "i-0feedfacecafebeef".parse().unwrap(),
        image_seed: "v1".to_owned(),
        pcrs: BTreeMap::from([(8, eight)]),
        is_debug: false,
    };
    let world = world(config);
    let image = image_pcrs("v1");
    let known =
        [(0, image[0]), (1, image[1]), (2, image[2]), (4, pcr_digest(b"i-0feedfacecafebeef")), (8, eight)];
    let known = BTreeMap::from(known);
    for index in 0..32 {
        let state = world.nsm.describe_pcr(index).unwrap();
        assert_eq!(state.value, known.get(&index).copied().unwrap_or(Pcr::ZERO), "PCR{index}");
        assert_eq!(state.is_locked, index < 16, "PCR{index}");
    }
    let description = world.nsm.describe().unwrap();
    assert_eq!(description.locked_pcrs, (0..16).collect::<BTreeSet<u16>>());
    assert_eq!((description.max_pcrs, description.version), (32, (1, 0, 0)));
    assert_eq!(description.module_id, world.module.module_id());
    let (instance, enclave) = description.module_id.split_once("-enc").unwrap();
    assert_eq!((instance, enclave.len()), ("i-0feedfacecafebeef", 16));
}

#[test]
fn registers_are_extended_until_they_are_locked() {
    let world = world(SimConfig::default());
    let once = world.nsm.extend_pcr(16, b"a").unwrap();
    assert_eq!(once, pcr_digest(b"a"));
    assert_eq!(world.nsm.extend_pcr(16, b"b").unwrap(), once.extended(b"b"));
    assert_eq!(world.attested(&Expectations::none()).pcr(16), None, "only locked registers are attested");
    world.nsm.lock_pcr(16).unwrap();
    assert_eq!(refusal(world.nsm.extend_pcr(16, b"c")), NsmErrorCode::ReadOnlyIndex);
    assert_eq!(refusal(world.nsm.lock_pcr(16)), NsmErrorCode::ReadOnlyIndex);
    assert_eq!(world.attested(&Expectations::none()).pcr(16), Some(once.extended(b"b")));

    world.nsm.lock_pcrs(20).unwrap();
    world.nsm.lock_pcrs(20).unwrap();
    assert_eq!(refusal(world.nsm.extend_pcr(19, b"c")), NsmErrorCode::ReadOnlyIndex);
    assert!(world.nsm.extend_pcr(20, b"c").is_ok());
    assert_eq!(world.attested(&Expectations::none()).pcrs().count(), 20);
    assert_eq!(refusal(world.nsm.lock_pcrs(33)), NsmErrorCode::InvalidIndex);
    world.nsm.lock_pcrs(32).unwrap();
    assert_eq!(world.attested(&Expectations::none()).pcrs().count(), 32);
}

#[test]
fn what_the_hypervisor_measured_stays() {
    let world = world(SimConfig::default());
    for index in 0..16 {
        let before = world.nsm.describe_pcr(index).unwrap();
        assert_eq!(refusal(world.nsm.extend_pcr(index, b"x")), NsmErrorCode::ReadOnlyIndex);
        assert_eq!(refusal(world.nsm.lock_pcr(index)), NsmErrorCode::ReadOnlyIndex);
        assert_eq!(world.nsm.describe_pcr(index).unwrap(), before);
    }
    for index in [32, 33, u16::MAX] {
        assert_eq!(refusal(world.nsm.describe_pcr(index)), NsmErrorCode::InvalidIndex);
        assert_eq!(refusal(world.nsm.extend_pcr(index, b"x")), NsmErrorCode::InvalidIndex);
        assert_eq!(refusal(world.nsm.lock_pcr(index)), NsmErrorCode::InvalidIndex);
    }
}

#[test]
fn debug_mode_zeroes_the_image_and_nothing_else() {
    let given = Pcr::from_bytes([7; 48]);
    let config =
        SimConfig { is_debug: true, pcrs: BTreeMap::from([(0, given), (3, given)]), ..SimConfig::default() };
    let world = world(config);
    let document = world.attested(&Expectations::none().allow_debug(true));
    assert!(document.is_debug());
    assert!((0..3).all(|index| document.pcr(index).unwrap().is_zero()));
    assert_eq!(document.pcr(3), Some(given));
    assert_eq!(document.pcr(4), Some(pcr_digest(b"i-0123456789abcdef0")));
}

#[test]
fn fields_have_the_limits_of_the_device() {
    let nsm = world(SimConfig::default()).nsm;
    let bytes = vec![1; 1_025];
    // All three at their longest, as AWS's nsm-check asks for them.
    let longest = Some(&bytes[..1_024]);
    assert!(nsm.attest(longest, longest, longest).is_ok());
    let longer = Some(&bytes[..]);
    for (key, user_data, nonce) in [(longer, None, None), (None, longer, None), (None, None, longer)] {
        assert_eq!(refusal(nsm.attest(key, user_data, nonce)), NsmErrorCode::InputTooLarge);
    }
}

#[test]
fn what_is_asked_for_is_attested() {
    let world = world(SimConfig::default());
    let document = world.nsm.attest(Some(b"key"), Some(b"data"), Some(b"nonce")).unwrap();
    // An indefinite map inside, as NSMs write it today.
    assert!(document.windows(11).any(|bytes| bytes == b"\xbf\x69module_id"));
    let expectations = Expectations::none().public_key(b"key").unwrap();
    let expectations = expectations.user_data(b"data").unwrap().nonce(b"nonce").unwrap();
    let at = VerifyAt::now(&*world.clock);
    let verified = verify(&document, &expectations, world.root.trust_root(), at).unwrap();
    assert_eq!(verified.timestamp_ms(), world.clock.now_ms());
    let nothing = world.attested(&Expectations::none());
    assert_eq!((nothing.public_key(), nothing.user_data(), nothing.nonce()), (None, None, None));
}

#[test]
fn the_leaf_is_issued_anew_fifteen_minutes_before_its_end() {
    let world = world(SimConfig::default());
    let end = || world.attested(&Expectations::none()).leaf_not_after();
    let first = end();
    assert_eq!(first, NOW.plus_secs(3 * 3_600));
    world.clock.advance(Duration::from_secs(9_900));
    assert_eq!(end(), first, "15 minutes are left");
    world.clock.advance(Duration::from_secs(1));
    let second = end();
    assert_eq!(second, NOW.plus_secs(9_901 + 3 * 3_600));
    // Long after everything ended, authorities included, a document is as good as the first.
    for days in [1, 7, 30] {
        world.clock.advance(Duration::from_secs(days * 86_400));
        assert_eq!(end(), world.clock.now().plus_secs(3 * 3_600), "after {days} more days");
    }
}

#[test]
fn authorities_stay_while_they_outlive_the_leaf() {
    let world = world(SimConfig::default());
    let cabundle = || {
        let document = world.nsm.attest(None, None, None).unwrap();
        let at = document.windows(8).position(|bytes| bytes == b"cabundle").unwrap();
        document[at..at + 1_500].to_vec()
    };
    let first = cabundle();
    world.clock.advance(Duration::from_secs(3 * 3_600));
    assert_eq!(cabundle(), first);
    world.clock.advance(Duration::from_secs(86_400));
    assert_ne!(cabundle(), first);
}

#[test]
fn random_bytes_differ() {
    let nsm = world(SimConfig::default()).nsm;
    let (one, other) = (nsm.random(600).unwrap(), nsm.random(600).unwrap());
    assert_eq!((one.len(), other.len()), (600, 600));
    assert_ne!(one[..], other[..]);
    assert_ne!(one[..256], one[256..512]);
}

#[test]
fn hostile_requests_are_refused_with_a_code() {
    let module = world(SimConfig::default()).module;
    let answer = |request: &[u8]| NsmResponse::decode(&module.handle_bytes(request)).unwrap();
    let extend = |bytes| NsmRequest::ExtendPcr { index: 16, data: vec![0; bytes] }.encode();
    let around = extend(1_000).len() - 1_000;
    assert!(matches!(answer(&extend(4_096 - around)), NsmResponse::ExtendPcr { .. }));
    let large = extend(4_097 - around);
    assert_eq!(answer(&large), NsmResponse::Error(NsmErrorCode::InputTooLarge));
    for bad in [&b""[..], b"\x00", b"\xa0", b"\xff", b"\x66Reboot", &[0x81; 4_000], b"\xa1\x67LockPCR\xa0"] {
        assert_eq!(answer(bad), NsmResponse::Error(NsmErrorCode::InvalidOperation), "{bad:?}");
    }
}

#[test]
fn instance_ids_are_plain() {
    assert!(format!("i-{}", "a".repeat(32)).parse::<attestation_sim::InstanceId>().is_ok());
    for bad in ["", "i-", "i-ABC", "i-a b", "0123", "i-../..", &format!("i-{}", "a".repeat(33))] {
        assert_eq!(bad.parse::<attestation_sim::InstanceId>(), Err(InstanceIdError), "{bad}");
    }
}
