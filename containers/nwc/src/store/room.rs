//! How large the file is, and may become.

use ledger::{LedgerTx, View};

/// The write-ahead log may take a sixteenth of what the file may: a page that changes all the time is copied from there
/// once for all the commits that it is in. The ledger's own bound is for the smallest volume.
const LOG_PART: u32 = 16;
/// More pages than that make no difference, and who waits for the one commit that copies them would notice.
const LOG_PAGES: std::ops::RangeInclusive<u32> = 512..=8_192;

/// Bounds the file: a statement that would need a page beyond it fails, and leaves nothing. A file that is
/// larger already keeps its size.
pub(crate) fn bound(tx: &LedgerTx<'_>, bytes_max: u32) -> rusqlite::Result<()> {
    let page_bytes: u32 = tx.sql().pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = bytes_max / page_bytes.max(1);
    let log_pages = (pages / LOG_PART).clamp(*LOG_PAGES.start(), *LOG_PAGES.end());
    tx.sql().pragma_update_and_check(None, "wal_autocheckpoint", log_pages, |_| Ok(()))?;
    tx.sql().pragma_update_and_check(None, "journal_size_limit", log_pages * page_bytes, |_| Ok(()))?;
    tx.sql().pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Bytes of the pages in use. Those that were freed count no more, although the file keeps them.
pub(crate) fn used_bytes(view: View<'_>) -> rusqlite::Result<u64> {
    // As statements that stay prepared: as tables, pragmas are prepared anew each time.
    let read = |pragma| view.sql().prepare_cached(pragma)?.query_row([], |row| row.get::<_, u64>(0));
    let pages = read("PRAGMA page_count")?.saturating_sub(read("PRAGMA freelist_count")?);
    Ok(pages * read("PRAGMA page_size")?)
}
