use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::v2::ConversationKey;
use zeroize::Zeroizing;

use super::*;

fn client(n: usize) -> PublicKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    PublicKey::from_byte_array(bytes)
}

fn count(all: &Conversations) -> (usize, usize) {
    all.with(|all| (all.young.len(), all.old.len()))
}

#[test]
fn key_is_that_of_the_conversation_first_and_again() {
    let (ours, other, theirs) = (Keys::generate(), Keys::generate(), Keys::generate());
    let all = Conversations::default();
    for service in [&ours, &other] {
        let expected = ConversationKey::derive(theirs.secret_key(), &service.public_key()).unwrap();
        for _ in 0..3 {
            let key = all.key(service, &theirs.public_key()).unwrap();
            assert_eq!(key.as_bytes(), expected.as_bytes());
        }
    }
    assert_eq!(count(&all), (2, 0));
}

#[test]
fn strangers_without_end_take_a_bounded_place_and_who_comes_again_stays() {
    let (all, service) = (Conversations::default(), Keys::generate().public_key());
    let regular = (service, client(usize::MAX));
    all.with(|all| all.insert(regular, Zeroizing::new([1; 32])));
    for n in 0..5 * GENERATION_MAX {
        all.with(|all| {
            all.insert((service, client(n)), Zeroizing::new([2; 32]));
            assert_eq!(all.get(&regular).as_deref(), Some(&[1; 32]), "after {n}");
            assert!(all.young.len() <= GENERATION_MAX && all.old.len() <= GENERATION_MAX);
        });
    }
    assert_eq!(all.with(|all| all.get(&(service, client(0)))), None);
}

#[test]
fn conversations_of_a_revoked_connection_are_forgotten() {
    let (all, stays, revoked, theirs) =
        (Conversations::default(), Keys::generate(), Keys::generate(), Keys::generate().public_key());
    all.key(&stays, &theirs).unwrap();
    all.key(&revoked, &theirs).unwrap();
    all.keep(|service| *service == stays.public_key());
    assert_eq!(count(&all), (1, 0));
    assert!(!format!("{all:?}").contains('['), "no key prints");
}
