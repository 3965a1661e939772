use super::*;

fn limits() -> Limits {
    Limits { open_per_key: 4, open_unfunded: 5, open_total: 8, ..Limits::default() }
}

fn counts(of_payee: u32, house: u32) -> OpenCounts {
    OpenCounts { of_payee, house }
}

#[test]
fn a_payee_reaches_its_own_bound_whatever_others_have() {
    use AskedBy::{House, Key, Payee, Web};
    use Standing::{Holder, Stranger};
    for (counts, asked_by, asker, exceeded) in [
        (counts(3, 8), Payee, Stranger, false),
        (counts(4, 0), Payee, Holder, true),
        // Keys that hold nothing leave half of their part to those that do.
        (counts(1, 0), Key, Stranger, false),
        (counts(2, 0), Key, Stranger, true),
        (counts(3, 0), Key, Holder, false),
        (counts(4, 0), Key, Holder, true),
        (counts(3, 0), Web, Stranger, false),
        (counts(4, 0), Web, Stranger, true),
        (counts(4, 7), House, Stranger, false),
        (counts(0, 8), House, Holder, true),
    ] {
        assert_eq!(
            exceeds_own(&counts, asked_by, asker, &limits()),
            exceeded,
            "{counts:?} {asked_by:?} {asker:?}"
        );
    }
}
