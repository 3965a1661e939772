//! `docs/operations.md`: its commands, run exactly as they are printed, by an operator who has nothing else.

mod approval;
mod host;

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use devnet::world::{SealingOptions, World};
use serde_json::json;
use tests::page::Page;

use crate::facts::Facts;
use crate::in_world::{calm, in_world};
use crate::stranger::{Stranger, get, put};
use host::Host;

/// Often enough that the commands which wait for a backup do not wait long.
const INTERVAL_SECS: u64 = 3;
/// The section after which another server is there than before.
const BEGIN_ANEW: u32 = 8;
/// What may cost the state since the last backup.
const ENDS_WITHOUT_WARNING: &str = "host kill enclave";

/// The guide. Blocks of `console`, what is different on each host, and of `toml` are for readers alone.
fn guide() -> Result<Page> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = std::fs::read_to_string(path).context("docs/operations.md")?;
    let page = Page::parse(&text, &["console", "toml"])?;
    let sections: BTreeSet<_> = page.steps.iter().map(|step| step.section).collect();
    ensure!(page.programs.len() == 2 && sections == (1..=8).collect(), "the page was not understood");
    Ok(page)
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_guide_holds_as_it_is_printed() -> Result<()> {
    let page = guide()?;
    let sealing = SealingOptions { interval_secs: INTERVAL_SECS, ..SealingOptions::default() };
    in_world(calm()?.sealed(sealing), async |world| {
        let image = world.push_echo().await?;
        let owner = Stranger::with(world, 100).await?;
        let volumes = json!({"ports": [8080], "volumes": ["/data"]});
        let container = owner.run(&image, volumes).await?;
        owner.wait_settled(&container).await?;
        let url = owner.url(&container).await?;
        get(&format!("{url}/note")).await?;
        let service = world.service()?;
        let host = Host::new(world, &page).await?;
        for (number, step) in page.steps.iter().enumerate() {
            let run = async |world: &mut World| {
                let at = || format!("section {}: {}", step.section, step.commands);
                host.run(world, step).await.with_context(at)
            };
            if step.section == BEGIN_ANEW {
                run(world).await?;
                continue;
            }
            // What is written before a section is there after it.
            assert_eq!(put(&format!("{url}/note"), &number.to_string()).await?, 200);
            let before = Facts::of(world).await?;
            run(world).await?;
            world.wait_for_wallet().await?;
            assert_eq!(world.service()?, service);
            owner.wait_for(&container, "deployed").await?;
            assert_eq!(Facts::at_rest(world).await?.accounts, before.accounts, "section {}", step.section);
            check_note(&url, number, step.commands.contains(ENDS_WITHOUT_WARNING)).await?;
        }
        check_anew(world, service).await
    })
    .await
}

/// The note that was written before the step, or, after a loss without warning, one that was there before it.
async fn check_note(url: &str, number: usize, may_lose: bool) -> Result<()> {
    let (status, note) = get(&format!("{url}/note")).await?;
    ensure!(status == 200, "the container answers {status}");
    let read: usize = note.parse().context("a note of ours")?;
    ensure!(read == number || (may_lose && read + 1 == number), "step {number}: the note is of {read}");
    Ok(())
}

/// Another server, with nothing of the one before.
async fn check_anew(world: &mut World, before: nostr::key::PublicKey) -> Result<()> {
    world.wait_for_daemon().await?;
    world.wait_for_wallet().await?;
    ensure!(world.service()? != before, "a fresh start has another key");
    let facts = Facts::of(world).await?;
    ensure!(facts.containers.is_empty() && facts.charges == (0, 0), "a fresh start has nothing: {facts:?}");
    Ok(())
}
