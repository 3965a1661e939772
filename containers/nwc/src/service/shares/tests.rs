use super::*;

const LEAST: Msat = Msat::new(1_000);

fn load(have: u64, holds: i64) -> Load {
    Load::new(have, Msat::new(holds), LEAST)
}

#[test]
fn load_is_what_one_has_for_what_one_holds() {
    for (less, more) in [
        (load(0, 0), load(1, 0)),
        (load(99, 0), load(100, 0)),
        // A first satoshi is a share, and so is every doubling.
        (load(1, 1_000), load(1, 999)),
        (load(1, 2_000), load(1, 1_999)),
        (load(10, 1_000_000), load(2, 1_000)),
        (load(0, 0), load(1, i64::MAX)),
        (load(u64::MAX - 1, i64::MAX), load(u64::MAX, i64::MAX)),
    ] {
        assert!(less.is_lighter(more) && !more.is_lighter(less), "{less:?} {more:?}");
    }
    // Equals do not give way: what one gains the other could take back at once.
    for (one, other) in
        [(load(1, 0), load(1, 999)), (load(3, 1_000), load(3, 1_999)), (load(0, 0), load(0, 5_000))]
    {
        assert!(!one.is_lighter(other) && !other.is_lighter(one), "{one:?} {other:?}");
    }
    // Nothing held, no least configured: no fault.
    assert!(Load::new(1, Msat::new(-5), Msat::ZERO).is_lighter(load(2, 0)));
}

#[test]
fn what_cannot_be_given_up_costs_more_the_less_is_left() {
    let worth = |all| least_worth(all, 200, LEAST).map(Msat::msat);
    for (all, least) in [
        (0, Some(0)),
        (100, Some(0)),
        (106, Some(0)),
        (107, Some(2_000)),
        (150, Some(256_000)),
        (199, Some(32_768_000)),
        (200, None),
        (u32::MAX, None),
    ] {
        assert_eq!(worth(all), least, "{all}");
    }
    assert!((0..199).all(|all| worth(all) <= worth(all + 1)));
    assert_eq!((least_worth(0, 0, LEAST), least_worth(0, 1, LEAST)), (None, Some(Msat::ZERO)));
    assert_eq!(least_worth(u32::MAX - 1, u32::MAX, Msat::new(i64::MAX)), Some(Msat::new(i64::MAX)));
}
