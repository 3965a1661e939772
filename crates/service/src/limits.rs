//! What the kernel lets a process have.

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Files and connections at once: more than all bounds of a service's own together, and far more than the 1024 that
/// most systems give to who does not ask.
const FILES: rlim_t = 65_536;

/// Raises how many files and connections this process may have open, as far as the kernel lets it.
pub(crate) fn raise_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft >= FILES {
            return Ok(soft);
        }
        // Root may have more than its limit says.
        if setrlimit(Resource::RLIMIT_NOFILE, FILES, hard.max(FILES)).is_ok() {
            return Ok(FILES);
        }
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map(|()| hard)
    });
    match raised {
        Ok(files) if files < FILES => {
            tracing::warn!(files, "few files may be open at once; raise the hard limit to {FILES}");
        }
        Ok(_) => {}
        Err(e) => tracing::warn!("the limit of open files was not raised: {e}"),
    }
}
