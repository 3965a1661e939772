use super::*;

#[test]
fn wire_numbers_give_distinct_networks_of_the_benchmark_range() {
    let range: Ipv4Net = "198.18.0.0/15".parse().unwrap();
    let wires: Vec<Wire> = (0..NETWORKS).map(Wire::numbered).collect();
    assert!(wires.iter().all(|wire| range.contains(&wire.network())));
    let networks: BTreeSet<Ipv4Net> = wires.iter().map(|wire| wire.network()).collect();
    assert_eq!(networks.len(), usize::from(NETWORKS));
    assert_eq!(Wire::numbered(NETWORKS + 3), Wire::numbered(3));

    let last = Wire::numbered(NETWORKS - 1);
    assert_eq!(last.name(), "encl-7fff");
    assert_eq!(last.host_address(), Ipv4Addr::new(198, 19, 255, 253));
    assert_eq!(last.box_address(), Ipv4Addr::new(198, 19, 255, 254));
}

#[test]
fn wire_overlap_is_seen_both_ways() {
    let check = |used: &str, expected: bool| {
        let used = BTreeSet::from([used.parse().unwrap()]);
        assert_eq!(Wire::numbered(1).overlaps(&used), expected, "{used:?}");
    };
    check("198.18.0.4/30", true);
    check("198.18.0.6/32", true);
    check("198.18.0.0/16", true);
    check("198.18.0.0/30", false);
    check("10.0.0.0/8", false);
}
