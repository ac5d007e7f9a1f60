//! SQLite files: the journal and the embedded store are opened and closed alike.
//!
//! # Failure modes
//! - Many tasks of one process poll for the file's lock and starve. All writes use one connection,
//!   where they queue in order. A write waits [`BUSY_TIMEOUT`] for other processes.
//! - SQLite ends a transaction by itself, for example when the disk is full
//!   (<https://www.sqlite.org/lang_transaction.html>, section 3). sqlx still counts it as open, and
//!   no other begins. The writing connection is replaced then.
//! - SQLite does not wait when two connections switch a new file to a write-ahead log at once. The
//!   first connection retries.
//! - Another process writes for long, and a command that reads cannot open the file. The write lock
//!   is taken only where migrations are missing.
//! - Two processes create the tables at once; sqlx takes no lock for that on SQLite. Migrations run
//!   in a transaction that holds the write lock from its beginning.
//! - Another user of the machine reads the file. It is created with mode 0600.
//! - A file never shrinks. A new one can return its free pages (`auto_vacuum = INCREMENTAL`). An
//!   existing one keeps its mode until it is rewritten.
//! - A reader finds a file that is still being closed. [`Database::close`] waits for SQLite, which
//!   removes `-wal` and `-shm` with the last connection.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    Sqlite, SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode,
    SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Transaction};
use tokio::sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard};

/// Wait for the write lock of another process. Every transaction takes milliseconds; only a paging
/// machine needs this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// Wait of a write for earlier writes of this process; as long as sqlx's pool waits.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two attempts to open a file that another process is creating.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);
/// Page cache of a connection in SQLite's notation: 512 KiB. Nothing is read often enough for more.
/// Each of five connections would keep the default 2 MiB permanently.
const CACHE_SIZE: &str = "-512";
/// Number of connections that only read.
const READERS: u32 = 4;
/// Wait for the connections in use when a file is closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open SQLite file: one connection that writes, several that read.
#[derive(Debug, Clone)]
pub struct Database {
    /// `None` once closed. Not a pool of one: a pool pings a connection before and after each use,
    /// and each ping costs as much as a statement.
    writer: Arc<Mutex<Option<SqliteConnection>>>,
    readers: SqlitePool,
}

/// Exclusive use of the writing connection. A single statement is a transaction of its own;
/// [`write()`] combines several.
pub type Writer = OwnedMappedMutexGuard<Option<SqliteConnection>, SqliteConnection>;

/// A transaction that holds the file's write lock from its beginning. Dropping it rolls back.
///
/// # Errors
/// sqlx's error.
pub async fn write(writer: &mut Writer) -> sqlx::Result<Transaction<'_, Sqlite>> {
    writer.begin_with("BEGIN IMMEDIATE").await
}

impl Database {
    /// Opens the file and creates it and its tables where they are missing. The folder must exist.
    ///
    /// # Errors
    /// sqlx's error. Its text never repeats a bound value.
    pub async fn open(
        path: &Path,
        synchronous: SqliteSynchronous,
        migrations: &Migrator,
    ) -> sqlx::Result<Self> {
        create_private(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous);
        let is_new = std::fs::metadata(path)?.len() == 0;
        Self::connect(options, is_new, migrations).await
    }

    /// An empty database in memory, with its tables: stands for the file at `path`, which does not
    /// exist, but can be created.
    ///
    /// # Errors
    /// sqlx's error; that of the folder.
    pub async fn in_place_of(path: &Path, migrations: &Migrator) -> sqlx::Result<Self> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        // Linux gives it no name, and removes it when it is closed.
        tempfile::tempfile_in(folder.unwrap_or(Path::new(".")))?;
        Self::connect("sqlite::memory:".parse()?, true, migrations).await
    }

    async fn connect(
        options: SqliteConnectOptions,
        is_new: bool,
        migrations: &Migrator,
    ) -> sqlx::Result<Self> {
        let options = options
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true)
            .pragma("cache_size", CACHE_SIZE)
            .disable_statement_logging();
        let mut first = options.clone();
        if is_new {
            // On an existing file this statement writes, with each connection.
            first = first.auto_vacuum(SqliteAutoVacuum::Incremental);
        }
        let database = Self {
            writer: Arc::new(Mutex::new(Some(first_connection(&first).await?))),
            readers: SqlitePoolOptions::new()
                .max_connections(READERS)
                .test_before_acquire(false)
                .connect_lazy_with(options),
        };
        let mut writer = database.writer().await?;
        if !is_current(&mut writer, migrations).await {
            let mut tx = write(&mut writer).await?;
            // `run` makes the future impossible to spawn: its bound on `Acquire` is too narrow.
            migrations.run_direct(None, &mut *tx, false).await?;
            tx.commit().await?;
        }
        drop(writer);
        Ok(database)
    }

    /// The writing connection, after all earlier writes.
    ///
    /// # Errors
    /// sqlx's error, `PoolClosed` after [`Self::close`].
    pub async fn writer(&self) -> sqlx::Result<Writer> {
        let lock = Arc::clone(&self.writer).lock_owned();
        let lock = tokio::time::timeout(QUEUE_TIMEOUT, lock).await;
        let lock = lock.map_err(|_| sqlx::Error::PoolTimedOut)?;
        let writer = OwnedMutexGuard::try_map(lock, Option::as_mut);
        let mut writer = writer.map_err(|_| sqlx::Error::PoolClosed)?;
        // The last transaction was not committed. Its rollback may be queued, or may have failed.
        if writer.is_in_transaction() {
            let responds = writer.ping().await.is_ok();
            if !responds || writer.is_in_transaction() {
                *writer = self.options().connect().await?;
            }
        }
        Ok(writer)
    }

    /// A snapshot of the file for several reads.
    ///
    /// # Errors
    /// sqlx's error.
    pub async fn read(&self) -> sqlx::Result<Transaction<'static, Sqlite>> {
        self.readers.begin().await
    }

    /// A connection for a single reading statement.
    ///
    /// # Errors
    /// sqlx's error.
    pub async fn reader(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        self.readers.acquire().await
    }

    /// Options that open another connection to the file.
    pub fn options(&self) -> Arc<SqliteConnectOptions> {
        self.readers.connect_options()
    }

    /// Closes all connections of this database and of its clones, after the calls in flight.
    ///
    /// Dropping a connection leaves the closing to SQLite's own thread. After this call, nothing of
    /// this process changes the file or its companions. A second call does nothing.
    pub async fn close(&self) {
        let closing = async {
            self.readers.close().await;
            match self.writer.lock().await.take() {
                Some(writer) => writer.close().await,
                None => Ok(()),
            }
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "SQLite file not closed cleanly"),
            Err(_) => tracing::warn!("SQLite file not closed: a connection is still in use"),
        }
    }
}

/// Whether exactly these migrations were applied. If so, a command that reads needs no write lock.
async fn is_current(connection: &mut SqliteConnection, migrations: &Migrator) -> bool {
    let applied = "SELECT version, checksum FROM _sqlx_migrations WHERE success ORDER BY version";
    let applied = sqlx::query_as(applied).fetch_all(connection).await;
    // Without the table, none was applied.
    let applied: Vec<(i64, Vec<u8>)> = applied.unwrap_or_default();
    let known = migrations.iter().map(|one| (one.version, &*one.checksum));
    known.eq(applied.iter().map(|(version, sum)| (*version, &**sum)))
}

/// Creates the file with mode 0600, unless it exists. SQLite gives `-wal` and `-shm` the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    // Closing a file drops all POSIX locks of this process on it, SQLite's included. The lock
    // prevents that another task opens the new file as a database before it is closed here.
    static CREATION: parking_lot::Mutex<()> = parking_lot::Mutex::new(());
    let _creation = CREATION.lock();
    let created = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

async fn first_connection(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let mut retries = BUSY_TIMEOUT.as_millis() / RETRY_INTERVAL.as_millis();
    loop {
        match options.connect().await {
            Err(error) if retries > 0 && is_busy(&error) => {
                retries -= 1;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            result => return result,
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

    async fn new_database() -> (tempfile::TempDir, Database) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        let database = Database::open(&file, SqliteSynchronous::Off, &MIGRATIONS).await;
        (folder, database.unwrap())
    }

    async fn execute(db: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
        sqlx::query(sql).execute(db).await.map(drop)
    }

    async fn count(database: &Database) -> i64 {
        let mut reader = database.reader().await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM rotations");
        count.fetch_one(&mut *reader).await.unwrap()
    }

    const INSERT: &str = "INSERT INTO rotations (name) VALUES ('one')";
    const INSERT_OR_ROLLBACK: &str = "INSERT OR ROLLBACK INTO rotations (name) VALUES ('one')";

    #[tokio::test]
    async fn rolls_back_an_uncommitted_transaction_before_the_next() {
        let (_folder, database) = new_database().await;
        for commit in [false, true] {
            let mut writer = database.writer().await.unwrap();
            let mut tx = write(&mut writer).await.unwrap();
            execute(&mut tx, INSERT).await.unwrap();
            if commit {
                tx.commit().await.unwrap();
            }
        }
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn writes_again_after_sqlite_ended_a_transaction_itself() {
        let (_folder, database) = new_database().await;
        let mut writer = database.writer().await.unwrap();
        let mut tx = write(&mut writer).await.unwrap();
        execute(&mut tx, INSERT).await.unwrap();
        execute(&mut tx, INSERT_OR_ROLLBACK).await.unwrap_err();
        drop(tx);
        drop(writer);
        let mut writer = database.writer().await.unwrap();
        let mut tx = write(&mut writer).await.unwrap();
        execute(&mut tx, INSERT).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&database).await, 1);
    }

    #[tokio::test]
    async fn close_leaves_one_file_and_refuses_further_use() {
        let (folder, database) = new_database().await;
        let mut writer = database.writer().await.unwrap();
        execute(&mut writer, INSERT).await.unwrap();
        drop(writer);
        assert_eq!(count(&database).await, 1);
        database.clone().close().await;
        database.close().await;
        let files = std::fs::read_dir(folder.path()).unwrap();
        let names: Vec<_> = files.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(names, ["a.db"]);
        let error = database.writer().await.unwrap_err();
        assert!(matches!(error, sqlx::Error::PoolClosed), "{error}");
        database.read().await.unwrap_err();
    }
}
