//! Connections to the PostgreSQL server.

use std::collections::HashMap;

use parking_lot::MutexGuard;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::secret::ExposeSecret;

use super::Redshift;

impl Redshift {
    /// Connects as the superuser without the Data API.
    ///
    /// # Errors
    /// The server's.
    pub async fn root(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let root = self.server.superuser();
        let options = PgConnectOptions::new_without_pgpass()
            .host(self.server.host())
            .port(self.server.port())
            .username(&root.username)
            .password(root.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await
    }

    /// An idle connection, or a new one.
    pub(super) async fn take(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let idle = self.idle().get_mut(database).and_then(Vec::pop);
        match idle {
            Some(connection) => Ok(connection),
            None => self.root(database).await,
        }
    }

    /// Resets a connection and keeps it, or drops it.
    pub(super) async fn put_back(&self, database: &str, mut connection: PgConnection) {
        // DISCARD ALL would also drop the driver's prepared statements.
        let clean = "ROLLBACK; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DISCARD TEMP";
        for sql in clean.split("; ") {
            if execute(&mut connection, sql).await.is_err() {
                return;
            }
        }
        let mut idle = self.idle();
        idle.entry(database.to_owned())
            .or_default()
            .push(connection);
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<String, Vec<PgConnection>>> {
        self.idle.lock()
    }
}

/// Runs one statement, or several without rows.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await;
    done.map(|done| done.rows_affected())
}
