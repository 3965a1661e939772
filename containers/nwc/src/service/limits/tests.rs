use super::*;

fn limits() -> Limits {
    Limits { open_per_key: 4, open_unfunded: 5, open_total: 8, ..Limits::default() }
}

fn counts(of_payee: u32, unfunded: u32, total: u32, house: u32) -> OpenCounts {
    OpenCounts { of_payee, unfunded, total, house }
}

#[test]
fn strangers_reach_their_part_holders_the_whole_and_the_house_its_own() {
    use AskedBy::{House, Key, Payee, Web};
    use Standing::{Holder, Paid, Stranger};
    let full_of_strangers = counts(0, 5, 5, 0);
    let full_of_emptied = counts(0, 0, 6, 0);
    let full = counts(0, 5, 8, 0);
    for (counts, asked_by, payee, asker, exceeded) in [
        (full_of_strangers, Payee, Stranger, Stranger, true),
        (full_of_strangers, Web, Stranger, Stranger, true),
        (full_of_strangers, Payee, Paid, Paid, false),
        (full_of_emptied, Payee, Paid, Paid, true),
        (full_of_emptied, Payee, Holder, Holder, false),
        (full, Payee, Holder, Holder, true),
        (full, House, Stranger, Stranger, false),
        (counts(0, 0, 0, 8), House, Holder, Holder, true),
        (counts(0, 0, 0, 8), Payee, Stranger, Stranger, false),
        // Of one payee: keys that were never paid leave half of their part to those that were.
        (counts(2, 0, 2, 0), Key, Holder, Stranger, true),
        (counts(2, 0, 2, 0), Key, Holder, Paid, false),
        (counts(3, 0, 3, 0), Web, Holder, Stranger, false),
        (counts(4, 0, 4, 0), Web, Holder, Stranger, true),
    ] {
        assert_eq!(
            exceeds_open(&counts, asked_by, payee, asker, &limits()),
            exceeded,
            "{counts:?} {asked_by:?} {payee:?} {asker:?}"
        );
    }
}
