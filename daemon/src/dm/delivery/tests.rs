use std::collections::HashMap;
use std::time::Duration;

use nostr::event::{EventId, Kind};
use nostr::key::Keys;
use protocol::event::sign;
use tokio::sync::{Notify, watch};
use units::{SystemClock, UnixSecs};

use super::lane::TRY_WAIT;
use super::relays::{ours_again, theirs_again};
use super::*;
use crate::store::tests::Fixture;

/// Within this time what nothing is in the way of is delivered.
const SOON: Duration = Duration::from_secs(60);

/// Relays that do as they are told.
#[derive(Debug)]
struct Told<const OURS: bool> {
    /// How often they refuse what is for somebody before they take something.
    refusals: Mutex<HashMap<PublicKey, usize>>,
    stalling: Mutex<Vec<PublicKey>>,
    /// They say nothing to anybody.
    all_stall: Mutex<bool>,
    taken: Mutex<Vec<(PublicKey, EventId)>>,
    some: Notify,
    connected: watch::Sender<u64>,
}

impl<const OURS: bool> Default for Told<OURS> {
    fn default() -> Self {
        Self {
            refusals: Mutex::default(),
            stalling: Mutex::default(),
            all_stall: Mutex::default(),
            taken: Mutex::default(),
            some: Notify::new(),
            connected: watch::Sender::new(0),
        }
    }
}

impl<const OURS: bool> Told<OURS> {
    /// What they took for somebody, once that is so much.
    async fn taken(&self, to: &PublicKey, count: usize, within: Duration) -> Vec<EventId> {
        let all = async {
            loop {
                let own: Vec<_> = {
                    let taken = self.taken.lock().unwrap();
                    taken.iter().filter(|(whose, _)| whose == to).map(|(_, id)| *id).collect()
                };
                if own.len() >= count {
                    return own;
                }
                self.some.notified().await;
            }
        };
        tokio::time::timeout(within, all).await.expect("it is late or lost")
    }

    fn refuse(&self, to: &PublicKey, times: usize) {
        self.refusals.lock().unwrap().insert(*to, times);
    }

    fn stall(&self, to: &PublicKey) {
        self.stalling.lock().unwrap().push(*to);
    }
}

impl<const OURS: bool> Carrier for Told<OURS> {
    const NAME: &'static str = if OURS { "ours" } else { "theirs" };

    fn again(tries: usize) -> Option<Duration> {
        if OURS { ours_again(tries) } else { theirs_again(tries) }
    }

    async fn carry(&self, to: &PublicKey, event: &CheckedEvent) -> bool {
        if *self.all_stall.lock().unwrap() || self.stalling.lock().unwrap().contains(to) {
            std::future::pending::<()>().await;
        }
        {
            let mut refusals = self.refusals.lock().unwrap();
            let left = refusals.entry(*to).or_default();
            if *left > 0 {
                *left -= 1;
                return false;
            }
        }
        self.taken.lock().unwrap().push((*to, event.id));
        self.some.notify_one();
        true
    }

    fn connected(&self) -> watch::Receiver<u64> {
        self.connected.subscribe()
    }
}

impl Records for Fixture {
    fn store(&self) -> &Store {
        &self.store
    }
}

type TestPost = Post<Told<true>, Told<false>>;

fn post() -> TestPost {
    post_of(&Arc::new(Fixture::new()))
}

/// A process with these records.
fn post_of(records: &Arc<Fixture>) -> TestPost {
    let records: Arc<dyn Records> = Arc::<Fixture>::clone(records);
    Post::new(Told::default(), Told::default(), records, Arc::new(SystemClock))
}

fn key() -> PublicKey {
    Keys::generate().public_key()
}

fn message(to: &PublicKey, weight: Weight) -> Outgoing {
    let event = sign(&Keys::generate(), Kind::GiftWrap, UnixSecs(1), Vec::new(), "x".into()).unwrap();
    Outgoing { to: *to, is_customer: true, channel: Channel::Wrapped(Kind::GiftWrap), event, weight }
}

/// Puts a message to somebody on its way.
fn deliver(post: &TestPost, to: &PublicKey, weight: Weight) -> EventId {
    let message = message(to, weight);
    let id = message.event.id;
    post.deliver(message);
    id
}

fn deliver_to_stranger(post: &TestPost, to: &PublicKey, weight: Weight) {
    post.deliver(Outgoing { is_customer: false, ..message(to, weight) });
}

async fn is_settled(post: &TestPost, to: &PublicKey) -> bool {
    tokio::time::sleep(Duration::from_millis(1)).await;
    post.ours.lock().first(to).is_none() && post.theirs.lock().first(to).is_none()
}

#[tokio::test(start_paused = true)]
async fn relays_that_strangers_name_and_that_stall_delay_no_customer() {
    let (post, owner) = (post(), key());
    for _ in 0..10 * THEIRS_UNDER_WAY_MAX {
        let stalls = key();
        post.theirs.carrier.stall(&stalls);
        deliver_to_stranger(&post, &stalls, Weight::Talk);
    }
    // The strangers have all that they get.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let sent: Vec<_> = (0..5).map(|_| deliver(&post, &owner, Weight::Talk)).collect();
    assert_eq!(post.theirs.carrier.taken(&owner, 5, Duration::from_secs(1)).await, sent);
}

#[tokio::test(start_paused = true)]
async fn customers_relays_that_stall_lose_nothing_of_others() {
    let (post, owner) = (post(), key());
    for _ in 0..4 * THEIRS_UNDER_WAY_MAX {
        let stalls = key();
        post.theirs.carrier.stall(&stalls);
        deliver(&post, &stalls, Weight::Talk);
    }
    let sent: Vec<_> = (0..5).map(|_| deliver(&post, &owner, Weight::Kept)).collect();
    assert_eq!(post.theirs.carrier.taken(&owner, 5, TRY_WAIT * 5).await, sent);
}

#[tokio::test(start_paused = true)]
async fn stranger_has_so_much_talk_taken_outside_and_all_of_it_to_our_relays() {
    let (post, stranger) = (post(), key());
    let talk = usize::try_from(TALK_PER_STRANGER).unwrap();
    for count in 1..=talk + 5 {
        deliver_to_stranger(&post, &stranger, Weight::Talk);
        post.ours.carrier.taken(&stranger, count, SOON).await;
        assert!(is_settled(&post, &stranger).await);
    }
    deliver_to_stranger(&post, &stranger, Weight::Kept);
    assert!(is_settled(&post, &stranger).await);
    let outside = post.theirs.carrier.taken(&stranger, talk + 1, SOON).await;
    assert_eq!(outside.len(), talk + 1, "an invoice is delivered all the same");
}

#[tokio::test(start_paused = true)]
async fn relays_that_never_say_ok_hold_up_nobody_who_answers() {
    let (post, owner) = (post(), key());
    *post.ours.carrier.all_stall.lock().unwrap() = true;
    // It returns, and that is all that is asked of it.
    for _ in 0..10 * OURS_UNDER_WAY_MAX {
        deliver_to_stranger(&post, &key(), Weight::Talk);
    }
    let kept = deliver(&post, &owner, Weight::Kept);
    assert!(tokio::time::timeout(TRY_WAIT * 20, post.ours.all_tried()).await.is_ok());
    *post.ours.carrier.all_stall.lock().unwrap() = false;
    assert_eq!(post.ours.carrier.taken(&owner, 1, SOON * 2).await, [kept]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_tried_again_and_in_order_and_talk_is_not() {
    let (post, owner) = (post(), key());
    post.theirs.carrier.refuse(&owner, 5);
    deliver(&post, &owner, Weight::Talk);
    let [first, second] = [(); 2].map(|()| deliver(&post, &owner, Weight::Kept));
    assert_eq!(post.theirs.carrier.taken(&owner, 2, SOON * 30).await, [first, second]);
    assert!(is_settled(&post, &owner).await, "nothing waits any more");
    assert_eq!(post.theirs.carrier.taken.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_our_own_relays_do_not_take_is_not_lost_and_holds_nothing_up() {
    let (post, owner) = (post(), key());
    // More often than what is behind it is tried.
    post.ours.carrier.refuse(&owner, 1);
    let kept = deliver(&post, &owner, Weight::Kept);
    let [answer, other] = [(); 2].map(|()| deliver(&post, &owner, Weight::Talk));
    let taken = post.ours.carrier.taken(&owner, 2, Duration::from_secs(1)).await;
    assert_eq!(taken, [answer, other], "an answer waits for what was refused");
    assert_eq!(post.ours.carrier.taken(&owner, 3, SOON).await, [answer, other, kept]);
    // Talk that nobody takes is gone.
    post.ours.carrier.refuse(&owner, 1);
    deliver(&post, &owner, Weight::Talk);
    assert!(is_settled(&post, &owner).await);
}

/// Hours after our relays went, an owner is answered within a minute of their return, and at once if they are
/// connected to again.
#[tokio::test(start_paused = true)]
async fn owner_is_answered_soon_after_an_outage_of_our_relays() {
    let (post, owner) = (post(), key());
    post.ours.carrier.refuse(&owner, usize::MAX);
    let notice = deliver(&post, &owner, Weight::Kept);
    tokio::time::sleep(Duration::from_secs(2 * 3_600)).await;
    post.ours.carrier.refuse(&owner, 0);
    let answer = deliver(&post, &owner, Weight::Talk);
    let taken = post.ours.carrier.taken(&owner, 2, Duration::from_secs(61)).await;
    assert!(taken.contains(&notice) && taken.contains(&answer), "{taken:?}");

    post.ours.carrier.refuse(&owner, usize::MAX);
    deliver(&post, &owner, Weight::Kept);
    tokio::time::sleep(Duration::from_secs(3_605)).await;
    post.ours.carrier.refuse(&owner, 0);
    post.ours.carrier.connected.send_modify(|made| *made += 1);
    post.ours.carrier.taken(&owner, 3, Duration::from_secs(6)).await;
}

/// The same of the relays that the receiver names.
#[tokio::test(start_paused = true)]
async fn message_wakes_what_waits_for_its_receivers_relays() {
    let (post, owner) = (post(), key());
    post.theirs.carrier.refuse(&owner, usize::MAX);
    let notice = deliver(&post, &owner, Weight::Kept);
    // It is tried again after hours only.
    tokio::time::sleep(Duration::from_secs(5_000)).await;
    post.theirs.carrier.refuse(&owner, 0);
    let answer = deliver(&post, &owner, Weight::Talk);
    assert_eq!(post.theirs.carrier.taken(&owner, 2, Duration::from_secs(6)).await, [notice, answer]);
}

#[tokio::test(start_paused = true)]
async fn receiver_that_is_never_reached_is_given_up() {
    let (post, gone) = (post(), key());
    post.theirs.carrier.stall(&gone);
    deliver(&post, &gone, Weight::Kept);
    let tries = (0..).map_while(theirs_again);
    let all: Duration = tries.map(|wait| wait + TRY_WAIT).sum();
    tokio::time::sleep(all + 2 * TRY_WAIT).await;
    assert!(is_settled(&post, &gone).await);
}

/// Our relays are away, and the server is restarted meanwhile.
#[tokio::test(start_paused = true)]
async fn what_is_kept_outlives_the_process_and_goes_out_once_on_each_way() {
    let (records, owner) = (Arc::new(Fixture::new()), key());
    let first = post_of(&records);
    first.ours.carrier.refuse(&owner, usize::MAX);
    deliver(&first, &owner, Weight::Talk);
    let kept = deliver(&first, &owner, Weight::Kept);
    assert_eq!(first.theirs.carrier.taken(&owner, 2, SOON).await.last(), Some(&kept));
    tokio::time::sleep(Duration::from_secs(1)).await;

    let second = post_of(&records);
    second.resume();
    assert_eq!(second.ours.carrier.taken(&owner, 1, SOON).await, [kept]);
    assert!(is_settled(&second, &owner).await);
    assert_eq!(second.theirs.carrier.taken.lock().unwrap().len(), 0, "their relays have it");

    let third = post_of(&records);
    third.resume();
    assert!(is_settled(&third, &owner).await);
    assert_eq!(third.ours.carrier.taken.lock().unwrap().len(), 0, "it was taken");
}
