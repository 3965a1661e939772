//! A public note that asks for a launch.

use anyhow::{Context, Result, ensure};
use nostr::event::Kind;
use nostr::filter::Filter;
use protocol::event::{CheckedEvent, tag_value};
use protocol::rpc::enclaved::ContainerList;
use relay::Subscription;
use relay::dm::{Channel, Mailbox};
use serde_json::{Value, json};
use units::{Clock, SystemClock};

use crate::in_world::{calm, in_world};
use crate::stranger::{SOON, Stranger};

const PARTS: &str = "units 2 name \"my blog\" env MODE=quiet port 8080 volume /data upgrade owner";

/// In public there is a price and nothing else: neither an invoice, nor the image, nor a container.
#[tokio::test(flavor = "multi_thread")]
async fn mention_by_name_is_answered_with_a_quote_only_and_goes_on_in_private() -> Result<()> {
    in_world(calm()?, async |world| {
        let image = world.push_echo().await?;
        let asker = Stranger::with(world, 0).await?;
        let (pool, service, mailbox) =
            (world.pool().await?, world.service()?, Mailbox::new(asker.keys.clone()));
        let profile = world.newest(Filter::new().kind(Kind::Metadata).author(service)).await?;
        let profile: Value = serde_json::from_str(&profile.content)?;
        let name = profile["name"].as_str().context("the server has no name")?;
        let to_asker = Filter::new().pubkey(asker.keys.public_key());
        let mut notes = pool.subscribe(to_asker.clone().kind(Kind::TextNote).author(service)).await?;
        let mut wraps = pool.subscribe(to_asker.clone().kind(Kind::GiftWrap)).await?;
        let write = async |text: &str, channel| {
            let letter = mailbox.write(&service, text, channel, None, SystemClock.now())?;
            ensure!(pool.publish(&letter).await.is_published());
            anyhow::Ok(letter)
        };
        // What is no launch, and what is said to nobody here, is not answered; nor is a launch that cannot be.
        for text in [
            format!("@{name} status"),
            format!("@{name} hello"),
            format!("@not-{name} deploy {image}"),
            format!("deploy {image}"),
            format!("@{name} deploy {image} units 51"),
        ] {
            write(&text, Channel::Public).await?;
        }
        let asked = write(&format!("hey @{name}: deploy {image} {PARTS}"), Channel::Public).await?;

        let quote = next(&mut notes, "the quote").await?;
        ensure!(tag_value(&quote, "e") == Some(&asked.id.to_hex()), "{quote:?}");
        ensure!(
            quote.content.starts_with("2 units cost ") && quote.content.contains("private message"),
            "{quote:?}"
        );
        let hash = image.rsplit(':').next().context("a digest")?;
        for secret in ["lnbc", "lnbcrt", "lightning", hash, "blog"] {
            ensure!(!quote.content.contains(secret), "{secret} in public: {}", quote.content);
        }
        let private = mailbox.open(&next(&mut wraps, "the private message").await?)?;
        ensure!(private.from == service && !private.text.contains("lightning:"), "{}", private.text);
        let launched: ContainerList = asker.call("list", json!({})).await?;
        ensure!(launched.containers.is_empty(), "{launched:?}");

        // What was asked for in public is what is launched in private.
        let deploy = private.text.lines().find(|line| line.starts_with("deploy ")).context("no command")?;
        write(deploy, Channel::Wrapped(Kind::GiftWrap)).await?;
        let answer = mailbox.open(&next(&mut wraps, "the invoice").await?)?;
        ensure!(answer.text.contains("lightning:"), "{}", answer.text);
        let launched: ContainerList = asker.call("list", json!({})).await?;
        let [one] = launched.containers.as_slice() else { anyhow::bail!("{launched:?}") };
        let status = asker.status(&one.info.pubkey).await?;
        let manifest = serde_json::to_value(&status.manifest)?;
        ensure!(
            one.info.name.as_deref() == Some("my blog") && manifest["image"] == json!(image),
            "{status:?}"
        );
        for (field, wanted) in [
            ("units", json!(2)),
            ("ports", json!([8080])),
            ("volumes", json!(["/data"])),
            ("upgrade", json!("owner")),
        ] {
            ensure!(manifest[field] == wanted, "{field}: {manifest}");
        }
        ensure!(status.manifest.env.contains_key("MODE"), "{manifest}");
        let public = pool.fetch(to_asker.kind(Kind::TextNote).author(service), SOON).await?;
        ensure!(public.len() == 1, "one quote, and nothing else in public: {public:?}");
        Ok(())
    })
    .await
}

async fn next(events: &mut Subscription, what: &str) -> Result<CheckedEvent> {
    tokio::time::timeout(SOON, events.next())
        .await
        .with_context(|| format!("no {what}"))?
        .context("the relay is gone")
}
