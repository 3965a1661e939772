use nostr::event::{Event, Tag, UnsignedEvent};
use nostr::nips::nip44::{self, Version};
use nostr::nips::nip59::{GiftWrapBuilder, UnwrappedGift};
use nostr::types::Timestamp;

use super::*;

const NOW: UnixSecs = UnixSecs(1_800_000_000);

fn boxes() -> (Mailbox, Mailbox) {
    (Mailbox::new(Keys::generate()), Mailbox::new(Keys::generate()))
}

fn key(mailbox: &Mailbox) -> PublicKey {
    mailbox.keys().public_key()
}

/// What a wrap is made of, each part to be spoilt.
struct Parts {
    writer: Keys,
    sealer: Keys,
    seal_kind: Kind,
    rumor_kind: Kind,
    receivers: Vec<PublicKey>,
    rumor_id: Option<EventId>,
    forge_signature: bool,
}

impl Parts {
    fn honest(to: &Mailbox) -> Self {
        let writer = Keys::generate();
        Self {
            sealer: writer.clone(),
            writer,
            seal_kind: Kind::Seal,
            rumor_kind: Kind::PrivateDirectMessage,
            receivers: vec![key(to)],
            rumor_id: None,
            forge_signature: false,
        }
    }

    fn wrap(&self, to: &Mailbox) -> CheckedEvent {
        let tags = self.receivers.iter().map(|to| Tag::parse(tag!["p", to.to_hex()]).unwrap());
        let at = Timestamp::from_secs(NOW.0);
        let mut rumor = UnsignedEvent::new(self.writer.public_key(), at, self.rumor_kind, tags, "help");
        rumor.id = self.rumor_id;
        let encrypt =
            |keys: &Keys, text: &str| nip44::encrypt(keys.secret_key(), &key(to), text, Version::V2).unwrap();
        let content = encrypt(&self.sealer, &serde_json::to_string(&rumor).unwrap());
        let seal = sign(&self.sealer, self.seal_kind, NOW, vec![], content).unwrap();
        let mut seal: Event = seal.into_event();
        if self.forge_signature {
            seal.sig = sign(&self.sealer, Kind::Seal, NOW, vec![], "other".into()).unwrap().into_event().sig;
        }
        let once = Keys::generate();
        let content = encrypt(&once, &seal.as_json());
        sign(&once, Kind::GiftWrap, NOW, vec![tag!["p", key(to).to_hex()]], content).unwrap()
    }
}

#[test]
fn letters_come_and_go_by_every_channel() {
    let (us, them) = boxes();
    for channel in [Channel::Wrapped(Kind::GiftWrap), Channel::Wrapped(EPHEMERAL_GIFT_WRAP), Channel::Nip04] {
        let asked = EventId::from_byte_array([0; 32]);
        let event = us.write(&key(&them), "hello", channel, Some(&asked), NOW).unwrap();
        assert!(!event.as_json().contains("hello"));
        let letter = them.open(&event).unwrap();
        assert_eq!((letter.from, letter.text.as_str()), (key(&us), "hello"));
        assert_eq!((letter.written_at, letter.channel, letter.work_bits), (NOW, channel, 0));
        let (eve, _) = boxes();
        assert!(matches!(eve.open(&event), Err(LetterError::Open(OpenError::NotForUs))));
    }
}

#[test]
fn wraps_hide_their_time_and_their_writer() {
    let (us, them) = boxes();
    let write = |kind| us.write(&key(&them), "x", Channel::Wrapped(kind), None, NOW).unwrap();
    let times: Vec<_> = (0..8).map(|_| write(Kind::GiftWrap).created_at()).collect();
    assert!(times.iter().all(|at| *at <= NOW && NOW.secs_since(*at) < WRAP_AGE_SECS_MAX));
    assert!(times.iter().any(|at| *at != times[0]), "{times:?}");
    let (one, two) = (write(Kind::GiftWrap), write(EPHEMERAL_GIFT_WRAP));
    assert_eq!(two.created_at(), NOW);
    assert!(one.pubkey != two.pubkey && one.pubkey != key(&us));
}

#[test]
fn library_reads_ours_and_is_read() {
    let (us, them) = boxes();
    let ours = us.write(&key(&them), "hi", Channel::Wrapped(Kind::GiftWrap), None, NOW).unwrap();
    let read = UnwrappedGift::from_gift_wrap(them.keys(), ours.event()).unwrap();
    assert_eq!((read.sender, read.rumor.content.as_str()), (key(&us), "hi"));
    let tags = [Tag::parse(tag!["p", key(&us).to_hex()]).unwrap()];
    let at = Timestamp::from_secs(NOW.0);
    let rumor = UnsignedEvent::new(key(&them), at, Kind::PrivateDirectMessage, tags, "back");
    let theirs = GiftWrapBuilder::new(key(&us), rumor);
    use nostr::event::FinalizeEvent;
    let theirs = CheckedEvent::check(theirs.finalize(them.keys()).unwrap()).unwrap();
    assert_eq!(us.open(&theirs).unwrap().text, "back");
}

#[test]
fn id_is_the_messages_own() {
    let (us, _) = boxes();
    let parts = Parts::honest(&us);
    let (one, two) = (parts.wrap(&us), parts.wrap(&us));
    assert_ne!(one.id, two.id);
    assert_eq!(us.open(&one).unwrap().id, us.open(&two).unwrap().id);
}

#[test]
fn wraps_that_lie_are_refused() {
    let (us, them) = boxes();
    assert!(us.open(&Parts::honest(&us).wrap(&us)).is_ok());
    let refused = |spoil: fn(&mut Parts, &Mailbox), part: &str| {
        let mut parts = Parts::honest(&us);
        spoil(&mut parts, &them);
        let error = us.open(&parts.wrap(&us)).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(|p, _| p.writer = Keys::generate(), "another author than the seal's");
    refused(|p, _| p.forge_signature = true, "signature is not by its author");
    refused(|p, _| p.seal_kind = Kind::TextNote, "its kind is 1");
    refused(|p, _| p.rumor_kind = Kind::TextNote, "its kind is not 14");
    refused(|p, _| p.rumor_id = Some(EventId::from_byte_array([0; 32])), "its id is not the hash");
    refused(|p, them| p.receivers = vec![key(them)], "not to this key alone");
    refused(|p, them| p.receivers.push(key(them)), "not to this key alone");
    refused(|p, _| p.receivers.clear(), "not to this key alone");
}

#[test]
fn other_kinds_and_garbage_are_no_letters() {
    let (us, them) = boxes();
    let to_us = || vec![tag!["p", key(&us).to_hex()]];
    let event = |kind, tags, content: &str| sign(them.keys(), kind, NOW, tags, content.into()).unwrap();
    assert!(matches!(us.open(&event(Kind::Metadata, to_us(), "{}")), Err(LetterError::Kind(_))));
    for content in ["", "garbage", "AAAA", "bm9wZQ==?iv=bm9wZQ=="] {
        assert!(us.open(&event(Kind::GiftWrap, to_us(), content)).is_err(), "{content}");
        assert!(us.open(&event(Kind::EncryptedDirectMessage, to_us(), content)).is_err(), "{content}");
    }
    let both = vec![tag!["p", key(&us).to_hex()], tag!["p", key(&them).to_hex()]];
    let nip04 = nip04::encrypt(them.keys().secret_key(), &key(&us), "hi").unwrap();
    assert!(us.open(&event(Kind::EncryptedDirectMessage, to_us(), &nip04)).is_ok());
    assert!(us.open(&event(Kind::EncryptedDirectMessage, both, &nip04)).is_err());
}

#[test]
fn longest_text_is_one_that_relays_take_and_clients_read() {
    let (us, them) = boxes();
    let write = |text: &str| {
        let asked = EventId::from_byte_array([0; 32]);
        us.write(&key(&them), text, Channel::Wrapped(Kind::GiftWrap), Some(&asked), NOW)
    };
    for one in ["x", "\u{1}", "\n", "\"", "\u{1f600}", "\u{7f}"] {
        let text = one.repeat(TEXT_BYTES_MAX);
        let fits = fitting(&text, TEXT_BYTES_MAX);
        assert_eq!(serde_json::to_string(fits).unwrap().len(), escaped_bytes(fits) + 2, "{one:?}");
        assert!(escaped_bytes(fits) > TEXT_BYTES_MAX - 6, "{one:?}");
        let wrap = write(fits).unwrap();
        assert!(wrap.as_json().len() < 64 * 1024, "{one:?}: {}", wrap.as_json().len());
        assert_eq!(them.open(&wrap).unwrap().text, fits);
    }
    // As 8,000 characters of output may be.
    let error = write(&"\u{1}".repeat(8_000)).unwrap_err().to_string();
    assert!(error.contains("more than 65535"), "{error}");
}
