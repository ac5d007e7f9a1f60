//! Execution of planned changes, without any decision.
//!
//! # Failure modes
//! - A crash leaves a half-made standby: the changes in one database are one transaction, and the
//!   password is in the last one.
//! - A statement that waits for a lock takes effect after its worker exited: even a single
//!   statement is in a transaction, which then is not committed.
//! - The verifier leaks: it is sent by the simple protocol, so the server's log shows the planned
//!   statement, and the driver's log is disabled.

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::connect::Connector;
use crate::{EngineError, RenderedChange, timeouts};

/// Executes `changes` in order; adjacent changes in one database are one transaction.
pub(super) async fn apply(
    own: &mut PgConnection,
    connector: &Connector,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| one.database == next.database) {
        match group.first().and_then(|change| change.database.as_ref()) {
            None => transaction(own, connector, group).await?,
            Some(database) => {
                let mut other = connector.in_database(database).connect().await?;
                transaction(&mut other, connector, group).await?;
            }
        }
    }
    Ok(())
}

async fn transaction(
    connection: &mut PgConnection,
    connector: &Connector,
    changes: &[RenderedChange],
) -> Result<(), EngineError> {
    let failed = |error| connector.explain("a transaction", false, error);
    let mut transaction = timeouts::statement(connection.begin())
        .await
        .map_err(failed)?;
    for change in changes {
        if let Err(error) = execute(&mut transaction, connector, change).await {
            // Where the rollback fails, the connection is lost, and the server rolls back.
            timeouts::close_gracefully(transaction.rollback()).await;
            return Err(error);
        }
    }
    timeouts::statement(transaction.commit())
        .await
        .map_err(failed)
}

async fn execute(
    connection: &mut PgConnection,
    connector: &Connector,
    change: &RenderedChange,
) -> Result<(), EngineError> {
    let statement = change.sent.expose_secret().to_owned();
    let query = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
    timeouts::statement(query).await.map(drop).map_err(|error| {
        connector.explain(&change.shown, change.rendered_password.is_some(), error)
    })
}
