use std::collections::HashMap;

use nostr::event::{EventId, Kind};
use nostr::key::Keys;
use protocol::event::sign;
use tokio::sync::Notify;
use units::{SystemClock, UnixSecs};

use super::*;

/// Relays that do as they are told.
#[derive(Debug, Default)]
struct Told {
    /// How often a receiver's relays refuse before they take something; for ever, if they stall.
    refusals: Mutex<HashMap<PublicKey, usize>>,
    stalling: Mutex<Vec<PublicKey>>,
    ours_refuse: Mutex<usize>,
    taken: Mutex<Vec<(Option<PublicKey>, EventId)>>,
    some: Notify,
}

impl Told {
    fn take(&self, by: Option<PublicKey>, event: &CheckedEvent) -> bool {
        self.taken.lock().unwrap().push((by, event.id));
        self.some.notify_one();
        true
    }
}

impl Carrier for Told {
    async fn to_ours(&self, event: &CheckedEvent) -> bool {
        {
            let mut refuse = self.ours_refuse.lock().unwrap();
            if *refuse > 0 {
                *refuse -= 1;
                return false;
            }
        }
        self.take(None, event)
    }

    async fn to_theirs(&self, to: &PublicKey, event: &CheckedEvent) -> bool {
        let stalls = self.stalling.lock().unwrap().contains(to);
        if stalls {
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
        self.take(Some(*to), event)
    }
}

fn post() -> Arc<Post<Told>> {
    Post::new(Told::default(), Arc::new(SystemClock))
}

fn key() -> PublicKey {
    Keys::generate().public_key()
}

fn event() -> CheckedEvent {
    sign(&Keys::generate(), Kind::GiftWrap, UnixSecs(1), Vec::new(), "x".into()).unwrap()
}

/// What somebody's relays took, once they took so many.
async fn taken(post: &Post<Told>, by: Option<PublicKey>, count: usize) -> Vec<EventId> {
    let all = async {
        loop {
            let own: Vec<_> = {
                let taken = post.carrier.taken.lock().unwrap();
                taken.iter().filter(|(whose, _)| *whose == by).map(|(_, id)| *id).collect()
            };
            if own.len() >= count {
                return own;
            }
            post.carrier.some.notified().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(24 * 3_600), all).await.expect("it is lost")
}

#[tokio::test(start_paused = true)]
async fn relays_that_stall_lose_nothing_of_others() {
    let (post, owner) = (post(), key());
    for _ in 0..10 * UNDER_WAY_MAX {
        let stalls = key();
        post.carrier.stalling.lock().unwrap().push(stalls);
        Post::deliver(&post, &stalls, true, &event(), Weight::Talk).await;
    }
    let notices: Vec<_> = (0..5).map(|_| event()).collect();
    for notice in &notices {
        Post::deliver(&post, &owner, true, notice, Weight::Kept).await;
    }
    let ids: Vec<_> = notices.iter().map(|notice| notice.id).collect();
    assert_eq!(taken(&post, Some(owner), 5).await, ids);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_tried_again_and_in_order_and_talk_is_not() {
    let (post, owner) = (post(), key());
    post.carrier.refusals.lock().unwrap().insert(owner, 4);
    let [talk, first, second] = [event(), event(), event()];
    Post::deliver(&post, &owner, true, &talk, Weight::Talk).await;
    Post::deliver(&post, &owner, true, &first, Weight::Kept).await;
    Post::deliver(&post, &owner, true, &second, Weight::Kept).await;
    assert_eq!(taken(&post, Some(owner), 2).await, [first.id, second.id]);
    tokio::task::yield_now().await;
    assert!(post.lock().first(&owner).is_none(), "nothing waits any more");
}

#[tokio::test(start_paused = true)]
async fn what_our_own_relays_do_not_take_is_not_lost_and_not_overtaken() {
    let (post, owner) = (post(), key());
    *post.carrier.ours_refuse.lock().unwrap() = 3;
    let [first, second, talk] = [event(), event(), event()];
    Post::deliver(&post, &owner, false, &first, Weight::Kept).await;
    Post::deliver(&post, &owner, false, &second, Weight::Kept).await;
    assert_eq!(taken(&post, None, 2).await, [first.id, second.id]);
    *post.carrier.ours_refuse.lock().unwrap() = 1;
    Post::deliver(&post, &key(), false, &talk, Weight::Talk).await;
    assert_eq!(taken(&post, None, 2).await, [first.id, second.id], "talk is not kept");
}

#[tokio::test(start_paused = true)]
async fn receiver_that_is_never_reached_is_given_up() {
    let (post, gone) = (post(), key());
    post.carrier.stalling.lock().unwrap().push(gone);
    Post::deliver(&post, &gone, true, &event(), Weight::Kept).await;
    tokio::time::sleep(TRY_AGAIN.iter().sum::<Duration>() + TRY_WAIT * 10).await;
    assert!(post.lock().first(&gone).is_none());
}
