//! Settings of the master's session.
//!
//! # Failure modes
//! - The owner of the database changes what the master's statements mean or how they end, by
//!   `ALTER DATABASE … SET`. The start-up options outrank it (PostgreSQL manual, "Parameter
//!   Interaction via the Configuration File"), so that even the first statement has these settings.
//!   All other settings of a database or a role return to PostgreSQL's own defaults.
//! - `transaction_timeout` ends the sign-in, or the statement that removes it. It is removed first,
//!   and after such an end the next sign-in removes it as a start-up option. A server before
//!   PostgreSQL 17 would refuse this option.
//! - The server's own `password_encryption`, which counts where hashes cannot be read, is hidden by
//!   a setting of the session. It is not a start-up option: only a setting of the database is
//!   removed.
//! - The session is one of a pooler, which other clients get later: the first round trip compares its
//!   process id, and changes nothing in another one.
//! - A reset of the session restores the settings of the database: they are removed again.

#[cfg(test)]
mod tests;

use sqlx::postgres::PgConnection;

/// The start-up options, which every supported version has.
pub(super) const SETTINGS: [(&str, &str); 25] = [
    ("role", "none"),
    ("search_path", "pg_catalog"),
    // Time limits that keep the master from blocking an application, and that end nothing early.
    ("lock_timeout", "2s"),
    ("statement_timeout", "30s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("idle_session_timeout", "0"),
    ("exit_on_error", "off"),
    // The server notices within a minute that a worker's machine is gone, and frees the lock.
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    // Transactions.
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // The meaning and the form of statements and answers.
    ("standard_conforming_strings", "on"),
    ("quote_all_identifiers", "off"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("bytea_output", "hex"),
    ("IntervalStyle", "postgres"),
    ("row_security", "on"),
    ("check_function_bodies", "on"),
    ("client_min_messages", "warning"),
    ("local_preload_libraries", ""),
    // Compiling a query of the catalogue takes longer than executing it.
    ("jit", "off"),
    // Planning one too, and a run executes it twice.
    ("plan_cache_mode", "force_generic_plan"),
];

/// Returns the settings of the database and of the role that are not in [`SETTINGS`] to the
/// defaults of PostgreSQL. Only a superuser sets those of another context.
const REMOVE: &str = "SELECT pg_catalog.set_config(name, COALESCE(boot_val, ''), false) \
     FROM pg_catalog.pg_settings WHERE context = 'user' \
     AND source IN ('database', 'user', 'database user')";

/// `DISCARD ALL` (PostgreSQL manual, "DISCARD"), which also frees the lock and resets the settings
/// to those of the sign-in. It lacks `DEALLOCATE ALL` and `DISCARD PLANS`: the queries stay
/// prepared.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; \
     SET role = none; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// Removes what the database or the role sets, in one round trip. `process`: the session's process
/// id as the server announced it.
///
/// # Errors
/// One of [`is_of_pooler`] if the session has another process id.
pub(super) async fn prepare(
    connection: &mut PgConnection,
    process: Option<i32>,
) -> sqlx::Result<()> {
    // A condition of the statement that is needed anyway: each further one costs a cold session a
    // third of a millisecond. It is evaluated before the first row, and its error undoes the rest.
    let own = process.map_or_else(String::new, |process| {
        format!(" AND 1 / (pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {process})::int4 = 1")
    });
    let statements = format!("{}{REMOVE}{own}", unlimited(connection));
    execute(connection, statements).await
}

/// Whether [`prepare`] found another process id, which is a division by zero.
pub(super) fn is_of_pooler(error: &sqlx::Error) -> bool {
    let error = error.as_database_error().and_then(|error| error.code());
    error.as_deref() == Some("22012")
}

/// Frees the lock and restores the state after [`prepare`].
pub(super) async fn reset(connection: &mut PgConnection) -> sqlx::Result<()> {
    let unlimited = unlimited(connection);
    // Before the rest: a transaction limit counts from the reset on.
    let discard = DISCARD.replacen("RESET ALL; ", &format!("RESET ALL; {unlimited}"), 1);
    execute(connection, format!("{discard}; {REMOVE}")).await
}

/// The statement that removes the limit of a transaction, where the server has one.
fn unlimited(connection: &PgConnection) -> &'static str {
    if connection.server_version_num() >= Some(170_000) {
        "SET transaction_timeout = 0; "
    } else {
        ""
    }
}

async fn execute(connection: &mut PgConnection, statements: String) -> sqlx::Result<()> {
    let query = sqlx::raw_sql(sqlx::AssertSqlSafe(statements));
    query.execute(connection).await.map(drop)
}
