//! Settings of the master's session.
//!
//! # Failure modes
//! - A global setting of the server changes what the master's statements mean, or how they end.
//!   Every setting that they depend on is set after the sign-in, in one round trip. `DEFAULT` would
//!   restore the global value, so that each one has a value here.
//! - The server's settings prevent their own change: the statements are parsed alike in every
//!   `sql_mode`.
//! - A server does not have a setting: the version comments of MySQL (`/*!`) and MariaDB (`/*M!`)
//!   hide it.

#[cfg(test)]
mod tests;

use sqlx::Row;
use sqlx::mysql::MySqlConnection;

/// With the session's number. ProxySQL answers the function alone itself, and passes a longer expression on.
const SETTINGS: &str = "SET NAMES utf8mb4 COLLATE utf8mb4_bin, SESSION \
     sql_mode = 'NO_BACKSLASH_ESCAPES', lc_messages = 'en_US', time_zone = '+00:00', \
     sql_quote_show_create = 1, sql_select_limit = 18446744073709551615, sql_big_selects = 1, \
     sql_safe_updates = 0, sql_auto_is_null = 0, autocommit = 1, completion_type = 0, \
     lock_wait_timeout = 2, innodb_lock_wait_timeout = 2, wait_timeout = 600, \
     net_read_timeout = 30, net_write_timeout = 60, sort_buffer_size = 2097152 \
     /*!80000 , max_execution_time = 30000 */ \
     /*M! , max_statement_time = 30, max_session_mem_used = 9223372036854775807, \
     tmp_disk_table_size = 18446744073709551615 */ \
     /*M!100502 , sql_if_exists = 0 */; \
     SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE; \
     SELECT CAST(connection_id() AS UNSIGNED)";

/// Sets what the master's statements depend on, and returns the session's number. The server ends the
/// session, and frees its lock, a while after the worker's machine is gone.
pub(super) async fn prepare(connection: &mut MySqlConnection) -> sqlx::Result<u64> {
    let rows = sqlx::raw_sql(SETTINGS).fetch_all(connection).await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}

/// Whether a session is not the one of the greeting, which has the lower 32 bits of the number.
pub(super) const fn is_other(number: u64, greeting: u32) -> bool {
    number & 0xFFFF_FFFF != greeting as u64
}
