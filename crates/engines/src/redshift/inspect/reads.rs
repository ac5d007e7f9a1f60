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
        let explain = |failed| {
            let what = format!("inspecting {database:?}");
            self.address.explain(&what, statements, failed)
        };
        let tables = self.tables(database, statements).await.map_err(explain)?;
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

    /// Runs queries that the server may refuse: in one batch, or else each on its own. Returns the
    /// reason in place of the rows that it refused.
    pub(in crate::redshift) async fn tables_or_reasons(
        &self,
        database: &str,
        statements: &[BatchStatement],
    ) -> Result<Vec<Result<Table, String>>, EngineError> {
        let explain = |failed| {
            let what = format!("inspecting {database:?}");
            self.address.explain(&what, statements, failed)
        };
        match self.tables(database, statements).await {
            Ok(tables) => return Ok(tables.into_iter().map(Ok).collect()),
            Err(failed) if !failed.kind.is_refusal() => return Err(explain(failed)),
            Err(_) => {}
        }
        let mut all = Vec::new();
        for statement in statements {
            let read = self.tables(database, std::slice::from_ref(statement)).await;
            all.push(match read {
                Ok(tables) => Ok(tables.into_iter().next().unwrap_or_default()),
                Err(failed) if failed.kind.is_refusal() => Err(failed.reason),
                Err(failed) => return Err(explain(failed)),
            });
        }
        Ok(all)
    }
}
