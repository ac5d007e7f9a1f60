//! The queries about tables, views, routines and their DEFINERs.

use sqlx::{AssertSqlSafe, Row};

use super::facts::{Definer, ExistingObjects};
use super::queries::Queries;
use crate::mysql::connect::number_and_message;
use crate::mysql::grants::Object;
use crate::{EngineError, timeouts};

/// Broken views too, which have no rows in information_schema.COLUMNS.
const TABLES: &str = "SELECT CAST(TABLE_NAME AS CHAR), CAST(TABLE_TYPE AS CHAR) \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?";

/// TABLE_ROWS makes MariaDB open the view, and then its comment is the error instead of `VIEW`.
const BROKEN_VIEW: &str = "SELECT CAST(TABLE_COMMENT AS CHAR), CAST(COALESCE(TABLE_ROWS, 0) AS CHAR) \
     FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND TABLE_COMMENT <> 'VIEW'";

const COLUMNS: &str = "SELECT CAST(TABLE_NAME AS CHAR), CAST(LOWER(COLUMN_NAME) AS CHAR) \
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ?";

const ROUTINES: &str = "SELECT CAST(ROUTINE_TYPE AS CHAR), CAST(LOWER(ROUTINE_NAME) AS CHAR) \
     FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?";

/// `DEFINER` is `user@host` without quotes; a host holds no `@`.
const DEFINERS: &str = "SELECT CAST(o.what AS CHAR), CAST(o.definer AS CHAR) FROM (\
     SELECT CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME) AS what, DEFINER AS definer FROM information_schema.VIEWS \
     UNION ALL SELECT CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME), DEFINER FROM information_schema.TRIGGERS \
     UNION ALL SELECT CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME), DEFINER FROM information_schema.EVENTS \
     UNION ALL SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, '.', ROUTINE_NAME), DEFINER FROM information_schema.ROUTINES\
     ) o WHERE LEFT(o.definer, CHAR_LENGTH(o.definer) - LOCATE('@', REVERSE(o.definer))) IN (?, ?) ORDER BY 1";

const TABLE_DENIED: u16 = 1142;

impl Queries<'_> {
    pub(super) async fn schema(
        &mut self,
        schema: &str,
        into: &mut ExistingObjects,
    ) -> Result<(), EngineError> {
        for (table, kind) in self.pairs("reading tables", TABLES, &[schema]).await? {
            let key = (schema.to_owned(), table);
            into.tables.entry(key).or_default().is_view = kind == "VIEW";
        }
        for (table, column) in self.pairs("reading columns", COLUMNS, &[schema]).await? {
            let key = (schema.to_owned(), table);
            into.tables.entry(key).or_default().columns.insert(column);
        }
        for (kind, name) in self.pairs("reading routines", ROUTINES, &[schema]).await? {
            into.routines
                .insert((kind, schema.to_owned(), name.to_lowercase()));
        }
        into.schemas.insert(schema.to_owned());
        Ok(())
    }

    /// Whether the view selects from a table or column that does not exist.
    pub(super) async fn is_broken(
        &mut self,
        schema: &str,
        view: &str,
    ) -> Result<bool, EngineError> {
        let broken = self
            .pairs("reading a view", BROKEN_VIEW, &[schema, view])
            .await?;
        Ok(!broken.is_empty())
    }

    /// Whether the server refuses a grant of the master on the columns of the view.
    pub(super) async fn refuses_columns(&mut self, view: &Object) -> Result<bool, EngineError> {
        let check = format!("CHECK TABLE {view}");
        let query = sqlx::raw_sql(AssertSqlSafe(check));
        let rows = timeouts::statement(query.fetch_all(&mut *self.connection)).await;
        let kinds = rows.and_then(|rows| rows.iter().map(|row| row.try_get("Msg_type")).collect());
        match kinds {
            Ok(kinds) => {
                let kinds: Vec<String> = kinds;
                Ok(kinds.iter().any(|kind| kind.eq_ignore_ascii_case("error")))
            }
            // The master has no privilege on the view. The plan names the missing one.
            Err(sqlx::Error::Database(error)) if number_and_message(&*error).0 == TABLE_DENIED => {
                Ok(false)
            }
            Err(error) => Err(self.connector.explain("checking a view", false, error)),
        }
    }

    pub(super) async fn definers(
        &mut self,
        one: &str,
        other: &str,
    ) -> Result<Vec<Definer>, EngineError> {
        let rows = self
            .pairs("reading DEFINER clauses", DEFINERS, &[one, other])
            .await?;
        let read = |(object, definer): (String, String)| {
            let (user, host) = definer.rsplit_once('@')?;
            // The comparison in SQL ignores case.
            (user == one || user == other).then(|| Definer {
                object,
                user: user.to_owned(),
                host: host.to_owned(),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }
}
