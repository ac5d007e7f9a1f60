//! SQLite files of ours, the journal and the embedded store: opened alike.
//!
//! What can go wrong, and what prevents it:
//! - many tasks of one process poll for the file's lock and starve: writes go through one
//!   connection, where they queue in order; other processes are waited for ([`BUSY`]);
//! - SQLite ends a transaction by itself (the disk is full, say: <https://www.sqlite.org/lang_transaction.html>, section 3),
//!   sqlx counts it as open, and no other ever begins: the connection that writes is replaced then;
//! - SQLite does not wait, as it does everywhere else, where two connections turn a new file into a
//!   write-ahead-logged one at once: the first connection is tried again;
//! - two processes make the tables at once (sqlx takes no lock for that on SQLite): migrations run
//!   inside a transaction that holds the write lock from its beginning;
//! - somebody else on the machine reads it: the file is made with mode 0600.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Transaction};
use tokio::sync::OwnedMutexGuard;

/// How long a write waits for another process to let go of the file. Every transaction here is over
/// in milliseconds; this is for a machine that is paging.
const BUSY: Duration = Duration::from_secs(10);
/// How long a write waits for those before it. As long as sqlx's pool waits.
const QUEUE: Duration = Duration::from_secs(30);
/// Between two tries to open a file that another process is making.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// The pages that a connection keeps, as SQLite takes it: 512 KiB. Nothing here is read often enough for more to be of
/// use, and each of five connections would keep its 2 MiB for ever.
const CACHE: &str = "-512";
/// Connections that only read.
const READERS: u32 = 4;

/// An open file: one connection that writes, several that read.
#[derive(Debug, Clone)]
pub struct Database {
    /// No pool of one: that asks a connection whether it is alive before each use and after it, which is a turn of
    /// SQLite's thread each, as a statement is.
    writer: Arc<tokio::sync::Mutex<SqliteConnection>>,
    readers: SqlitePool,
}

/// The connection that writes, for as long as this is kept. One statement is a transaction of its own; of several,
/// [`write()`] makes one.
pub type Writer = OwnedMutexGuard<SqliteConnection>;

/// A transaction that holds the file's write lock from its beginning. It is undone unless it is committed.
///
/// # Errors
/// sqlx's
pub async fn write(writer: &mut Writer) -> sqlx::Result<Transaction<'_, Sqlite>> {
    writer.begin_with("BEGIN IMMEDIATE").await
}

impl Database {
    /// Opens the file, and makes it and its tables where they are missing. The folder must be there.
    ///
    /// # Errors
    /// sqlx's; their texts repeat nothing that was bound to a statement.
    pub async fn open(
        path: &Path,
        synchronous: SqliteSynchronous,
        migrations: &Migrator,
    ) -> sqlx::Result<Self> {
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .pragma("cache_size", CACHE)
            .disable_statement_logging();
        let database = Self {
            writer: Arc::new(tokio::sync::Mutex::new(first_connection(&options).await?)),
            readers: SqlitePoolOptions::new()
                .max_connections(READERS)
                .test_before_acquire(false)
                .connect_lazy_with(options),
        };
        let mut writer = database.writer().await?;
        let mut tx = write(&mut writer).await?;
        // `run` makes the future impossible to spawn (its bound on Acquire is too narrow).
        migrations.run_direct(None, &mut *tx, false).await?;
        tx.commit().await?;
        drop(writer);
        Ok(database)
    }

    /// Waits for those who write before.
    ///
    /// # Errors
    /// sqlx's
    pub async fn writer(&self) -> sqlx::Result<Writer> {
        let free = Arc::clone(&self.writer).lock_owned();
        let free = tokio::time::timeout(QUEUE, free).await;
        let mut writer = free.map_err(|_| sqlx::Error::PoolTimedOut)?;
        // The last transaction was not committed: its end may still be on its way, or not have come to pass.
        if writer.is_in_transaction() {
            let answers = writer.ping().await.is_ok();
            if !answers || writer.is_in_transaction() {
                *writer = self.options().connect().await?;
            }
        }
        Ok(writer)
    }

    /// A snapshot of the file, for as many reads as it takes.
    ///
    /// # Errors
    /// sqlx's
    pub async fn read(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.readers.begin().await
    }

    /// What one statement is read through, which sees one state of the file.
    ///
    /// # Errors
    /// sqlx's
    pub async fn reader(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        self.readers.acquire().await
    }

    /// How to open one more connection to the file.
    pub fn options(&self) -> Arc<SqliteConnectOptions> {
        self.readers.connect_options()
    }
}

/// Makes the file readable by its owner alone; SQLite gives its companions (`-wal`, `-shm`) the
/// same mode. A file that is there keeps the mode it has.
fn create_private(path: &Path) -> std::io::Result<()> {
    // Closing a file drops all of this process's POSIX locks on it, SQLite's too. One at a time,
    // nobody can have opened the new file as a database before it is closed here.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let made = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

async fn first_connection(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let mut tries = BUSY.as_millis() / TRY_AGAIN.as_millis();
    loop {
        match options.connect().await {
            Err(error) if tries > 0 && is_busy(&error) => {
                tries -= 1;
                tokio::time::sleep(TRY_AGAIN).await;
            }
            settled => return settled,
        }
    }
}

/// `SQLITE_BUSY`, or one of its extended codes: <https://www.sqlite.org/rescode.html#busy>.
fn is_busy(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code()?.parse::<u32>().ok())
        .is_some_and(|code| code & 0xff == 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

    async fn fresh() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let database = Database::open(&file, SqliteSynchronous::Off, &MIGRATIONS).await;
        (folder, database.unwrap())
    }

    async fn know(db: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
        sqlx::query(sql).execute(db).await.map(drop)
    }

    async fn known(database: &Database) -> i64 {
        let mut reader = database.reader().await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM rotations");
        count.fetch_one(&mut *reader).await.unwrap()
    }

    const ONE: &str = "INSERT INTO rotations (name) VALUES ('one')";
    const ONE_OR_NOTHING: &str = "INSERT OR ROLLBACK INTO rotations (name) VALUES ('one')";

    #[tokio::test]
    async fn a_transaction_that_is_not_committed_is_undone_before_the_next_one_begins() {
        let (_folder, database) = fresh().await;
        for end in [false, true] {
            let mut writer = database.writer().await.unwrap();
            let mut tx = write(&mut writer).await.unwrap();
            know(&mut tx, ONE).await.unwrap();
            if end {
                tx.commit().await.unwrap();
            }
        }
        assert_eq!(known(&database).await, 1);
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_has_ended_by_itself_keeps_no_other_from_beginning() {
        let (_folder, database) = fresh().await;
        let mut writer = database.writer().await.unwrap();
        let mut tx = write(&mut writer).await.unwrap();
        know(&mut tx, ONE).await.unwrap();
        know(&mut tx, ONE_OR_NOTHING).await.unwrap_err();
        drop(tx);
        drop(writer);
        let mut writer = database.writer().await.unwrap();
        let mut tx = write(&mut writer).await.unwrap();
        know(&mut tx, ONE).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(known(&database).await, 1);
    }
}
