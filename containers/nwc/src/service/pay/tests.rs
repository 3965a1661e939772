use super::*;

fn check(invoice: Option<i64>, requested: Option<i64>, expected: Result<i64, fn(&Refusal) -> bool>) {
    match (amount_to_pay(invoice.map(Msat::new), requested.map(Msat::new)), expected) {
        (Ok(amount), Ok(expected)) => assert_eq!(amount, Msat::new(expected)),
        (Err(refusal), Err(is_right)) => assert!(is_right(&refusal), "{refusal:?}"),
        (amount, _) => panic!("{invoice:?} {requested:?}: {amount:?}"),
    }
}

#[test]
fn the_amount_is_the_invoices_or_the_requests_and_never_a_mixture() {
    check(Some(5), None, Ok(5));
    check(Some(5), Some(5), Ok(5));
    check(None, Some(7), Ok(7));
    check(Some(5), Some(4), Err(|refusal| matches!(refusal, Refusal::AmountDiffers { invoice: 5 })));
    check(Some(5), Some(6), Err(|refusal| matches!(refusal, Refusal::AmountDiffers { invoice: 5 })));
    check(None, None, Err(|refusal| matches!(refusal, Refusal::AmountMissing)));
}
