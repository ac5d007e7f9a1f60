//! Queries of the admin.

use crate::EngineError;
use crate::redshift::RedshiftAdmin;
use crate::redshift::api::{BatchStatement, Failure, READ_LIMIT, Row, Table};

impl RedshiftAdmin {
    /// Runs queries in the secret's database and returns one list of rows for each.
    pub(in crate::redshift) async fn read(
        &self,
        statements: &[BatchStatement],
    ) -> Result<Vec<Vec<Row>>, EngineError> {
        self.read_in(&self.address.database, statements).await
    }

    pub(in crate::redshift) async fn read_in(
        &self,
        database: &str,
        statements: &[BatchStatement],
    ) -> Result<Vec<Vec<Row>>, EngineError> {
        let tables = self.tables(database, statements).await;
        let tables = tables.map_err(|failed| self.explain_read(database, statements, failed))?;
        Ok(tables.into_iter().map(|table| table.rows).collect())
    }

    async fn tables(
        &self,
        database: &str,
        statements: &[BatchStatement],
    ) -> Result<Vec<Table>, Failure> {
        let client = &self.client;
        let finished = client
            .query(&self.login, database, statements, READ_LIMIT)
            .await?;
        let mut all = Vec::new();
        for statement in 0..statements.len() {
            all.push(client.table(&finished, statement).await?);
        }
        Ok(all)
    }

    /// Runs queries in one batch with others that the server may refuse. After a refusal, each of
    /// the others runs on its own, and the reason is in place of its rows.
    pub(in crate::redshift) async fn read_with_optional(
        &self,
        database: &str,
        needed: &[BatchStatement],
        optional: &[BatchStatement],
    ) -> Result<(Vec<Vec<Row>>, Vec<Result<Table, String>>), EngineError> {
        let all = [needed, optional].concat();
        match self.tables(database, &all).await {
            Ok(mut tables) => {
                let optional = tables.split_off(needed.len()).into_iter().map(Ok).collect();
                let needed = tables.into_iter().map(|table| table.rows).collect();
                return Ok((needed, optional));
            }
            Err(failed) if failed.kind.is_refusal() => {}
            Err(failed) => return Err(self.explain_read(database, &all, failed)),
        }
        let needed = self.read_in(database, needed).await?;
        let mut tables = Vec::new();
        for statement in optional {
            tables.push(self.table_or_reason(database, statement).await?);
        }
        Ok((needed, tables))
    }

    /// Runs a query that the server may refuse. Returns the reason in place of the rows.
    pub(in crate::redshift) async fn table_or_reason(
        &self,
        database: &str,
        statement: &BatchStatement,
    ) -> Result<Result<Table, String>, EngineError> {
        let statements = std::slice::from_ref(statement);
        match self.tables(database, statements).await {
            Ok(tables) => Ok(Ok(tables.into_iter().next().unwrap_or_default())),
            Err(failed) if failed.kind.is_refusal() => Ok(Err(failed.reason)),
            Err(failed) => Err(self.explain_read(database, statements, failed)),
        }
    }

    fn explain_read(
        &self,
        database: &str,
        statements: &[BatchStatement],
        failed: Failure,
    ) -> EngineError {
        let what = format!("inspecting {database:?}");
        self.address.explain(&what, statements, failed)
    }
}
