//! How large the file is, and may become.

use ledger::{LedgerTx, View};

/// Bounds the file: a statement that would need a page beyond it fails, and leaves nothing. A file that is
/// larger already keeps its size.
pub(crate) fn bound(tx: &LedgerTx<'_>, bytes_max: u32) -> rusqlite::Result<()> {
    let page_bytes: u32 = tx.sql().pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = bytes_max / page_bytes.max(1);
    tx.sql().pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Bytes of the pages in use. Those that were freed count no more, although the file keeps them.
pub(crate) fn used_bytes(view: View<'_>) -> rusqlite::Result<u64> {
    view.sql()
        .prepare_cached(
            "SELECT (page_count - freelist_count) * page_size
             FROM pragma_page_count, pragma_freelist_count, pragma_page_size",
        )?
        .query_row([], |row| row.get(0))
}
