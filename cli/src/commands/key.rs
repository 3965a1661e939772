//! `encli key create`.

use nostr::key::PublicKey;
use nostr::nips::nip19::ToBech32;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::KeyCreate;
use crate::error::Failure;
use crate::output::page::npub;
use crate::output::{Page, View};
use crate::{files, key};

/// A key that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Created {
    npub: String,
    pubkey: PublicKey,
    file: String,
}

/// Makes a key and writes it to a file.
///
/// # Errors
/// If the file exists or cannot be written.
pub(crate) fn create(args: &KeyCreate) -> Result<Created, Failure> {
    let keys = key::generate()?;
    let no_text = |_| Failure::refused("key_invalid", "the key cannot be written as text; try again");
    let nsec = Zeroizing::new(keys.secret_key().to_bech32().map_err(no_text)?);
    files::write_private(&args.out, &nsec)?;
    let file = args.out.display().to_string();
    Ok(Created { npub: npub(&keys.public_key()), pubkey: keys.public_key(), file })
}

impl View for Created {
    fn show(&self, page: &mut Page) {
        page.good("A key was made. Keep the file: whoever has it commands your containers.");
        page.field("npub", &self.npub);
        page.field("hex", self.pubkey);
        page.field("file", &self.file);
        page.line(format!("Use it with `--key file:{}`.", self.file));
    }
}
