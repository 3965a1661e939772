//! Double-entry books in SQLite.
//!
//! ```text
//!  NewTransaction ──post──► ledger_transaction (unique key, kind, memo, time)
//!                                │ 1..n
//!                                ▼
//!                           ledger_posting (amount, balance after) ──► ledger_account (balance)
//! ```
//!
//! - **One sign for everything**: a positive posting is money that the house owes to the account. Users'
//!   balances are therefore positive, assets (the Lightning node's channels) and expenses negative, and
//!   all balances together are always zero.
//! - **Append-only**: a posting is never changed or deleted; a mistake is another transaction. Only the oldest
//!   transactions, all of them up to one, may be replaced by what they add up to ([`Compaction`]), and an empty
//!   account that no posting names any more may go with them.
//! - **Idempotent**: a transaction has a unique key. The same key with the same content is already
//!   posted; with other content it is an error.
//! - **Twice enforced**: the code checks that postings sum to zero and that no liability falls below
//!   zero, and so does the schema (triggers, `CHECK`, and a deferred foreign key that lets no unbalanced
//!   or incomplete transaction commit). [`View::check_books`] recomputes all of it from the journal.
//! - **One writer**: [`Ledger`] holds the only writing connection (WAL, `synchronous=FULL`,
//!   `BEGIN IMMEDIATE`). [`Reader`]s have connections of their own and never wait for it.
//! - **Shared file**: the program that embeds the ledger keeps its own tables in the same file and writes
//!   them in the same SQLite transaction as postings ([`LedgerTx::sql`]); it also owns the order of
//!   migrations ([`SCHEMA_V1`], [`SCHEMA_V2`], [`SCHEMA_V3`]).

mod account;
mod books;
mod check;
mod compaction;
mod connection;
mod transaction;
mod view;

pub use account::{Account, AccountKeyError, Class};
pub use books::{Batch, Ledger, LedgerTx, PostError, Posted};
pub use check::BooksBroken;
pub use compaction::{CompactError, Compaction};
pub use connection::{OpenError, Reader};
pub use transaction::{InvalidTransaction, NewTransaction, Posting};
pub use view::{Entry, STATEMENT_ENTRIES_MAX, TransactionId, View};

/// The ledger's tables and triggers, the first step of its schema. A program that keeps its own tables
/// in the same file puts this before them in its list of migrations, and every later step at the list's end.
pub const SCHEMA_V1: &str = include_str!("schema_v1.sql");

/// The second step: compaction.
pub const SCHEMA_V2: &str = include_str!("schema_v2.sql");

/// The third step: empty accounts may go.
pub const SCHEMA_V3: &str = include_str!("schema_v3.sql");
