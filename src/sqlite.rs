//! SQLite files of ours, the journal and the embedded store: opened alike.
//!
//! What can go wrong, and what prevents it:
//! - many tasks of one process poll for the file's lock and starve: writes go through one
//!   connection, where they queue in order; other processes are waited for ([`BUSY`]);
//! - SQLite does not wait, as it does everywhere else, where two connections turn a new file into a
//!   write-ahead-logged one at once: the first connection is tried again;
//! - two processes make the tables at once (sqlx takes no lock for that on SQLite): migrations run
//!   inside a transaction that holds the write lock from its beginning;
//! - somebody else on the machine reads it: the file is made with mode 0600.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Transaction};

/// How long a write waits for another process to let go of the file. Every transaction here is over
/// in milliseconds; this is for a machine that is paging.
const BUSY: Duration = Duration::from_secs(10);
/// Between two tries to open a file that another process is making.
const TRY_AGAIN: Duration = Duration::from_millis(10);
/// The pages that a connection keeps, as SQLite takes it: 512 KiB. Nothing here is read often enough for more to be of
/// use, and each of five connections would keep its 2 MiB for ever.
const CACHE: &str = "-512";
/// Connections that only read.
const READERS: u32 = 4;

/// An open file: one connection that writes, several that read.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub writer: SqlitePool,
    pub readers: SqlitePool,
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
            writer: first_connection(&options).await?,
            readers: SqlitePoolOptions::new()
                .max_connections(READERS)
                .connect_lazy_with(options),
        };
        let mut tx = database.write().await?;
        // `run` makes the future impossible to spawn (its bound on Acquire is too narrow).
        migrations.run_direct(None, &mut *tx, false).await?;
        tx.commit().await?;
        Ok(database)
    }

    /// A transaction that holds the file's write lock from its beginning.
    ///
    /// # Errors
    /// sqlx's
    pub async fn write(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }
}

/// Makes the file readable by its owner alone; SQLite gives its companions (`-wal`, `-shm`) the
/// same mode. A file that is there keeps the mode it has.
fn create_private(path: &Path) -> std::io::Result<()> {
    // Closing a file drops all of this process's POSIX locks on it, SQLite's too. One at a time,
    // nobody can have opened the new file as a database before it is closed here.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
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

async fn first_connection(options: &SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let mut tries = BUSY.as_millis() / TRY_AGAIN.as_millis();
    loop {
        let connected = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await;
        match connected {
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
