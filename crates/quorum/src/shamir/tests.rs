use proptest::prelude::*;

use super::*;

/// A stream that is as good as random for one who does not know the seed.
fn stream(mut seed: u64) -> impl FnMut(&mut [u8]) -> bool {
    move |buffer| {
        for byte in buffer {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = seed.to_be_bytes()[0];
        }
        true
    }
}

fn fixed(bytes: &'static [u8]) -> impl FnMut(&mut [u8]) -> bool {
    let mut rest = bytes;
    move |buffer| {
        let (now, later) = rest.split_at(buffer.len());
        buffer.copy_from_slice(now);
        rest = later;
        true
    }
}

#[test]
fn field_is_that_of_aes() {
    // FIPS 197, 4.2 and 4.2.1.
    for (a, b, product) in [(0x57, 0x83, 0xc1), (0x57, 0x13, 0xfe), (0x57, 0x02, 0xae), (0x57, 0x10, 0x07)] {
        assert_eq!((multiply(a, b), multiply(b, a)), (product, product));
    }
    for a in 1..=u8::MAX {
        assert_eq!(multiply(a, inverse(a)), 1, "{a:#x}");
    }
    assert_eq!(inverse(0), 0);
}

#[test]
fn parts_are_values_of_the_polynomial() {
    // 0x42 + 0x07·x, and 0x01 + 0x53·x; and 0x42 + 0x07·x + 0x02·x².
    let parts = divide(&[0x42, 0x01], 2, 3, fixed(&[0x07, 0x53])).unwrap();
    let values: Vec<_> = parts.iter().map(|part| (part.x, part.y.to_vec())).collect();
    assert_eq!(values, [(1, vec![0x45, 0x52]), (2, vec![0x4c, 0xa7]), (3, vec![0x4b, 0xf4])]);
    let parts = divide(&[0x42], 3, 3, fixed(&[0x02, 0x07])).unwrap();
    let values: Vec<_> = parts.iter().map(|part| part.y[0]).collect();
    assert_eq!(values, [0x42 ^ 0x07 ^ 0x02, 0x42 ^ 0x0e ^ 0x08, 0x42 ^ 0x09 ^ 0x0a]);
}

#[test]
fn what_cannot_be_divided_or_combined_is_refused() {
    for (threshold, parts) in [(0, 3), (4, 3), (1, 0)] {
        let refused = divide(b"s", threshold, parts, stream(1)).unwrap_err();
        assert_eq!(refused, ShamirError::Threshold { threshold, parts });
    }
    assert_eq!(divide(b"s", 2, 3, |_| false).unwrap_err(), ShamirError::Random);
    let part = |x, y: &[u8]| Part { x, y: Zeroizing::new(y.to_vec()) };
    for parts in
        [vec![], vec![part(0, b"a")], vec![part(1, b"a"), part(1, b"a")], vec![part(1, b"a"), part(2, b"ab")]]
    {
        assert_eq!(combine(&parts).unwrap_err(), ShamirError::Parts);
    }
}

#[test]
fn parts_do_not_print() {
    let parts = divide(b"top secret", 1, 1, stream(1)).unwrap();
    assert_eq!(format!("{parts:?}"), "[Part { x: 1, .. }]");
}

proptest! {
    #[test]
    fn any_threshold_of_the_parts_gives_the_secret_back(
        secret in prop::collection::vec(any::<u8>(), 0..64),
        (threshold, parts) in (1_u8..8).prop_flat_map(|parts| (1..=parts, Just(parts))),
        seed in any::<u64>(),
        order in any::<prop::sample::Index>(),
    ) {
        let mut divided = divide(&secret, threshold, parts, stream(seed)).unwrap();
        divided.rotate_left(order.index(usize::from(parts)));
        divided.truncate(usize::from(threshold));
        prop_assert_eq!(combine(&divided).unwrap().to_vec(), secret);
    }

    /// With one part less, every secret is as likely as any other: there is a last part that makes it.
    #[test]
    fn one_part_less_tells_nothing(secret in any::<u8>(), other in any::<u8>(), seed in any::<u64>()) {
        let divided = divide(&[secret], 2, 3, stream(seed)).unwrap();
        let known = divided[0].clone();
        let fits = (0..=u8::MAX).filter(|y| {
            let guess = Part { x: 2, y: Zeroizing::new(vec![*y]) };
            combine(&[known.clone(), guess]).unwrap().to_vec() == [other]
        });
        prop_assert_eq!(fits.count(), 1);
    }
}
