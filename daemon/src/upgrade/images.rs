//! Images that no container needs any more. They are only kept to save fetching them again, so nothing hangs
//! on their removal, and nothing waits for it but the disk.

use crate::context::Context;
use crate::image::{Digest, LoadError};
use crate::store::{ImagePart, StoreError};

/// Images stay in the engine.
#[derive(Debug, thiserror::Error)]
enum ForgetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Engine(#[from] LoadError),
}

/// Removes the images of an upgrade that is settled, but for those that are needed.
pub(crate) async fn forget(ctx: &Context, parts: [&ImagePart; 2]) {
    let digests = parts.iter().filter_map(|part| part.config_digest.parse().ok()).collect();
    if let Err(e) = forget_all(ctx, digests).await {
        tracing::warn!("images of an upgrade stay in the engine: {e}");
    }
}

/// Removes all that no container needs: of one that is over, and whatever an older life of the server left,
/// or a load that was cancelled too late.
pub(crate) async fn forget_unneeded(ctx: &Context) {
    let forgotten = async {
        let (loaded, needed) = (ctx.images.all_loaded().await?, ctx.store.needed_images()?);
        let unneeded = loaded.into_iter().filter(|digest| !needed.contains(&digest.to_string()));
        forget_all(ctx, unneeded.collect()).await
    };
    if let Err(e) = forgotten.await {
        tracing::warn!("images that nobody needs stay in the engine: {e}");
    }
}

async fn forget_all(ctx: &Context, digests: Vec<Digest>) -> Result<(), ForgetError> {
    for digest in digests {
        // Asked each time: one may be launched meanwhile. Who finds its image gone fetches it again.
        if ctx.store.needed_images()?.contains(&digest.to_string()) {
            continue;
        }
        let removal = ctx.images.remove_unused(digest).await?;
        tracing::debug!(image = %digest, ?removal, "an image that nobody needs");
    }
    Ok(())
}
