use nostr::key::Keys;
use quorum::{Boot, Entry, Epoch, GroupId, Incarnation, MemberId, Origin, Stamped, View};

use super::*;
use protocol::rpc::keycrux::{Identity, Policy};

fn stamp(seq: u64) -> Stamp {
    Stamp { epoch: Epoch::default(), seq }
}

fn reply(shares: Vec<Share>) -> Reply<Body> {
    let group = GroupId([0; 32]);
    let incarnation = Incarnation { count: 0, boot: Boot([0; 32]) };
    let from =
        Origin { member: MemberId([0; 32]), incarnation, view: View { group, seats: BTreeMap::new() } };
    let pcr = attestation::Pcr::from_bytes([1; 48]);
    let policy = Policy::default();
    let identity = Identity::new(pcr, [pcr; 3], &policy);
    let value = Body {
        identity,
        policy,
        lineage: vec![],
        material: Material::Split { threshold: 2, shares },
        shown: vec![],
    };
    let entry = Entry { body: Some(Stamped { stamp: stamp(9), value }), ..Entry::default() };
    Reply { from, answer: Answer::Promised(entry) }
}

fn shares(dealing: &Dealing, member: &PublicKey) -> Vec<Share> {
    let Material::Split { shares, .. } = dealing.material_for(member) else { panic!("not split") };
    shares
}

#[test]
fn newest_dealing_with_enough_shares_gives_the_secret() {
    let members: Vec<PublicKey> = (0..3).map(|_| Keys::generate().public_key()).collect();
    let deal = |text: &str, seq| {
        Dealing::new(&SecretData::new(text.into()), 2, members.iter().copied(), stamp(seq)).unwrap()
    };
    let (old, cut_short) = (deal("old", 1), deal("new", 2));
    let mut collected = Collected::default();
    // The newer dealing reached one member, which kept its share of the older one.
    collected.add(&reply([shares(&old, &members[0]), shares(&cut_short, &members[0])].concat()));
    assert_eq!((collected.secret(2), collected.most()), (None, 1));
    collected.add(&reply(shares(&old, &members[1])));
    assert_eq!(collected.secret(2).unwrap().expose(), "old");
    collected.add(&reply(shares(&cut_short, &members[2])));
    assert_eq!(collected.secret(2).unwrap().expose(), "new");
}

#[test]
fn each_member_gets_its_own_share_and_strangers_none() {
    let members: Vec<PublicKey> = (0..3).map(|_| Keys::generate().public_key()).collect();
    let secret = SecretData::new("secret".into());
    let dealing = Dealing::new(&secret, 2, members.iter().copied(), stamp(1)).unwrap();
    let places: Vec<u8> = members.iter().flat_map(|member| shares(&dealing, member)).map(|s| s.x).collect();
    assert_eq!(places, [1, 2, 3]);
    assert!(shares(&dealing, &Keys::generate().public_key()).is_empty());
    assert_eq!(dealing.material(), Material::Split { threshold: 2, shares: vec![] });
    let alone = Dealing::new(&secret, 1, members.iter().copied(), stamp(1)).unwrap_err();
    assert_eq!(alone, ShamirError::Threshold { threshold: 1, parts: 3 });
}
