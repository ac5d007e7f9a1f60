//! Connections to the server behind it.

use std::collections::HashMap;

use parking_lot::MutexGuard;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::secret::ExposeSecret;

use super::Redshift;

impl Redshift {
    /// As the server's superuser, past the Data API: for what a test makes and looks at.
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

    /// One that was given back, or a new one.
    pub(super) async fn take(&self, database: &str) -> Result<PgConnection, sqlx::Error> {
        let idle = self.idle().get_mut(database).and_then(Vec::pop);
        match idle {
            Some(connection) => Ok(connection),
            None => self.root(database).await,
        }
    }

    /// As good as new, or not at all.
    pub(super) async fn give_back(&self, database: &str, mut connection: PgConnection) {
        // Not DISCARD ALL, which takes the driver's prepared statements too.
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

/// Runs one statement, or several that give no rows.
pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await;
    done.map(|done| done.rows_affected())
}
