//! `encli keycrux ls`.

use nostr::key::PublicKey;
use serde::Serialize;
use units::UnixSecs;

use super::find::{self, Announced};
use crate::args::KeycruxLs;
use crate::commands::proof::show_pinned;
use crate::context::Context;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, Table, View, time};

/// Key stores that are announced.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    key_stores: Vec<Row>,
    unverified: usize,
}

#[derive(Debug, Serialize)]
struct Row {
    npub: String,
    pubkey: PublicKey,
    verified: bool,
    announced_at: UnixSecs,
    #[serde(flatten)]
    verdict: Verdict,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Verdict {
    Verified {
        launcher: PublicKey,
        name: Option<String>,
        version: Option<String>,
        env: protocol::nec::Env,
        expires_at: UnixSecs,
        pinned: bool,
    },
    Refused {
        code: String,
        message: String,
    },
}

/// Lists key stores, those that verify first.
///
/// # Errors
/// If the relays do not answer, or `ref_missing`.
pub(crate) async fn ls(ctx: &Context, args: &KeycruxLs) -> Result<Listed, Failure> {
    let found = find::announced(ctx, &args.of).await?;
    let unverified = found.iter().filter(|it| it.verdict.is_err()).count();
    let shown = found.iter().filter(|it| args.all || it.verdict.is_ok());
    let mut key_stores: Vec<_> = shown.map(Row::new).collect();
    key_stores.sort_by_key(|row| !row.verified);
    Ok(Listed { key_stores, unverified })
}

impl Row {
    fn new(announced: &Announced) -> Self {
        let Announced { event, verdict } = announced;
        let verified = verdict.is_ok();
        let verdict = match verdict {
            Ok(it) => Verdict::Verified {
                launcher: it.launcher,
                name: it.instance.announced().name.clone(),
                version: it.instance.announced().version.clone(),
                env: it.instance.env(),
                expires_at: it.instance.expires_at(),
                pinned: it.instance.is_pinned(),
            },
            Err(reason) => {
                let failure = Failure::from(reason);
                Verdict::Refused { code: failure.code().to_owned(), message: failure.message().to_owned() }
            }
        };
        let announced_at = event.created_at();
        Self { npub: npub(&event.pubkey), pubkey: event.pubkey, verified, announced_at, verdict }
    }

    fn cells(&self, now: UnixSecs) -> [String; 7] {
        let none = || "-".to_owned();
        let key = self.npub.clone();
        match &self.verdict {
            Verdict::Verified { launcher, version, env, expires_at, pinned, .. } => [
                key,
                npub(launcher),
                version.clone().unwrap_or_else(none),
                env.to_string(),
                time::relative(*expires_at, now),
                if *pinned { "yes" } else { "NO" }.to_owned(),
                "verified".to_owned(),
            ],
            Verdict::Refused { code, .. } => {
                [key, none(), none(), none(), none(), none(), format!("UNVERIFIED: {code}")]
            }
        }
    }
}

impl View for Listed {
    fn show(&self, page: &mut Page) {
        if !self.key_stores.is_empty() {
            let mut table =
                Table::new(&["NPUB", "LAUNCHER", "VERSION", "ENV", "EXPIRES", "PINNED", "STATUS"]);
            self.key_stores.iter().for_each(|row| table.row(row.cells(page.now())));
            page.table(&table);
        }
        let shown = self.key_stores.iter().filter(|row| !row.verified).count();
        match (self.key_stores.is_empty(), self.unverified - shown) {
            (true, 0) => page.line("No key store is announced on these relays."),
            (_, 0) => {}
            (_, hidden) => {
                page.line(format!("{hidden} more did not verify; `--all` shows them with the reason."));
            }
        }
        let unpinned = |row: &Row| matches!(row.verdict, Verdict::Verified { pinned: false, .. });
        show_pinned(page, !self.key_stores.iter().any(unpinned));
    }
}
