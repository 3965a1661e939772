//! Messages that lie about who wrote them, or to whom.

use anyhow::{Context, Result, ensure};
use nostr::event::{Event, Kind, Tag, UnsignedEvent};
use nostr::filter::Filter;
use nostr::key::{Keys, PublicKey};
use nostr::nips::nip44::{self, Version};
use nostr::types::Timestamp;
use protocol::event::{CheckedEvent, sign};
use protocol::tag;
use relay::dm::Mailbox;
use units::{Clock, SystemClock};

use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

/// What a wrap is made of, each part to be spoilt.
#[derive(Clone)]
struct Forgery {
    text: &'static str,
    /// Who wrote it, as it says.
    author: PublicKey,
    sealer: Keys,
    /// The seal's signature is of another event.
    is_broken: bool,
    /// To whom, as the message says.
    to: PublicKey,
    /// To whom, as the wrap says.
    wrapped_to: PublicKey,
    /// Who can open it.
    opener: PublicKey,
}

impl Forgery {
    fn wrap(&self) -> Result<CheckedEvent> {
        let now = SystemClock.now();
        let tags = [Tag::parse(tag!["p", self.to.to_hex()])?];
        let at = Timestamp::from_secs(now.0);
        let mut rumor = UnsignedEvent::new(self.author, at, Kind::PrivateDirectMessage, tags, self.text);
        rumor.ensure_id();
        let encrypt =
            |keys: &Keys, text: &str| nip44::encrypt(keys.secret_key(), &self.opener, text, Version::V2);
        let content = encrypt(&self.sealer, &serde_json::to_string(&rumor)?)?;
        let mut seal: Event = sign(&self.sealer, Kind::Seal, now, vec![], content)?.into_event();
        if self.is_broken {
            seal.sig = sign(&self.sealer, Kind::Seal, now, vec![], "other".into())?.into_event().sig;
        }
        let once = Keys::generate();
        let content = encrypt(&once, &seal.as_json())?;
        Ok(sign(&once, Kind::GiftWrap, now, vec![tag!["p", self.wrapped_to.to_hex()]], content)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attack_21_a_message_whose_seal_is_by_another_key_is_not_obeyed() -> Result<()> {
    in_world(calm()?, async |world| {
        let owner = Stranger::with(world, 100).await?;
        let pubkey = owner.settled(&world.push_echo().await?).await?;
        let (pool, service, eve) = (world.pool().await?, world.service()?, Keys::generate());
        let own = owner.keys.public_key();
        let receivers = Filter::new().kind(Kind::GiftWrap).pubkeys([own, eve.public_key()]);
        let mut answers = pool.subscribe(receivers).await?;
        let honest = Forgery {
            text: "terminate",
            author: own,
            sealer: owner.keys.clone(),
            is_broken: false,
            to: service,
            wrapped_to: service,
            opener: service,
        };
        let by_eve = Forgery { sealer: eve.clone(), ..honest.clone() };
        let broken = Forgery { is_broken: true, ..honest.clone() };
        // What the owner wrote to somebody else, who hands it on.
        let handed_on = Forgery { to: eve.public_key(), ..honest.clone() };
        let elsewhere = Forgery { wrapped_to: eve.public_key(), ..honest.clone() };
        let closed = Forgery { opener: eve.public_key(), ..honest.clone() };
        let forged = [&by_eve, &broken, &handed_on, &elsewhere, &closed];
        for forgery in forged {
            // What Eve sends to herself is on the relay, and no answer to anything.
            ensure!(pool.publish(&forgery.wrap()?).await.is_published());
        }
        // An honest one comes through, made in the same way.
        let asked = Forgery { text: "status", ..honest };
        ensure!(pool.publish(&asked.wrap()?).await.is_published());
        let answer = loop {
            let wrap = tokio::time::timeout(SOON, answers.next()).await?.context("the relay is gone")?;
            if Mailbox::new(eve.clone()).open(&wrap).is_ok() {
                anyhow::bail!("Eve is answered");
            }
            if let Ok(letter) = Mailbox::new(owner.keys.clone()).open(&wrap) {
                break letter;
            }
        };
        ensure!(answer.from == service && answer.text.contains("is deployed."), "{}", answer.text);
        // Nothing was done, and the next answer is to the next question.
        ensure!(pool.publish(&asked.wrap()?).await.is_published());
        let wrap = tokio::time::timeout(SOON, answers.next()).await?.context("the relay is gone")?;
        let again = Mailbox::new(owner.keys.clone()).open(&wrap)?;
        ensure!(again.text.contains("is deployed."), "{}", again.text);
        ensure!(owner.status(&pubkey).await?.info.state == "deployed");
        Ok(())
    })
    .await
}
