//! The books of the wallet and of the daemon, seen from outside and compared.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use devnet::world::World;
use ledger::{Account, Reader, View};
use nostr::key::PublicKey;
use units::Msat;

/// What a period costs in this world.
const PERIOD: Msat = Msat::new(5_000);
/// A container of a scene has a handful of entries.
const ENTRIES_MAX: u32 = 1_000;

/// Checks that the wallet's books balance, and that what each container paid is what it was charged.
pub(super) fn check(world: &World) -> Result<()> {
    let copy = tempfile::tempdir()?;
    let mut reader = Reader::open(&copy_of_wallet_db(world, copy.path())?)?;
    reader.snapshot(|books| compare(world, &books))
}

fn compare(world: &World, books: &View<'_>) -> Result<()> {
    let sum = books.sum()?;
    ensure!(sum == Msat::ZERO, "the ledger's sum is {sum}");
    books.check_books()?;
    let state = rusqlite::Connection::open(world.state_dir().join("state.db"))?;
    let mut statement = state.prepare(
        "SELECT containers.pubkey, coalesce(sum(amount_msat), 0) FROM containers
         LEFT JOIN charges ON charges.pubkey = containers.pubkey AND preimage IS NOT NULL
         WHERE builtin IS NULL GROUP BY containers.pubkey",
    )?;
    let charged = statement.query_map([], |row| Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?)))?;
    let mut earned = Msat::ZERO;
    for row in charged {
        let (pubkey, charged) = row?;
        let spent = spent_by(books, pubkey)?;
        // A charge that the wallet has settled may not have reached the daemon's books: it ended first.
        let open = spent.minus(Msat::new(charged))?;
        let name = PublicKey::from_byte_array(pubkey);
        ensure!(open == Msat::ZERO || open == PERIOD, "{name} spent {spent} sat, was charged {charged} msat");
        earned = earned.plus(spent)?;
    }
    let service = books.balance(Account::User(world.service()?.to_bytes()))?;
    ensure!(service == earned, "the server has {service}, its containers spent {earned}");
    Ok(())
}

/// What an account paid: everything that ever left it.
fn spent_by(books: &View<'_>, pubkey: [u8; 32]) -> Result<Msat> {
    let balance = books.balance(Account::User(pubkey))?;
    let mut received = Msat::ZERO;
    for line in books.statement(Account::User(pubkey), None, ENTRIES_MAX)? {
        if line.amount.is_positive() {
            received = received.plus(line.amount)?;
        }
    }
    Ok(received.minus(balance)?)
}

/// A copy of the wallet's database. Its volume is mounted in the box only, and SQLite does not follow
/// the way into the box (`/proc/PID/root` is no symbolic link that it could resolve); copying does. The
/// scene is over, so nobody writes meanwhile.
fn copy_of_wallet_db(world: &World, to: &Path) -> Result<PathBuf> {
    let state = rusqlite::Connection::open(world.state_dir().join("state.db"))?;
    let pubkey: [u8; 32] =
        state.query_row("SELECT pubkey FROM containers WHERE builtin = 'nwc'", [], |row| row.get(0))?;
    let volume = world.state_dir().join("volumes").join(PublicKey::from_byte_array(pubkey).to_hex());
    let root = PathBuf::from(format!("/proc/{}/root", world.enclave().init_pid()));
    let inside = root.join(volume.strip_prefix("/").context("an absolute path")?).join("0");
    for name in ["wallet.db", "wallet.db-wal"] {
        std::fs::copy(inside.join(name), to.join(name))
            .with_context(|| inside.join(name).display().to_string())?;
    }
    Ok(to.join("wallet.db"))
}
