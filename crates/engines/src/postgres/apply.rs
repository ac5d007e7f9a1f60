//! Changes are carried out as planned, to the letter.
//!
//! What can go wrong, and what prevents it:
//! - a cut leaves half of it: changes of one database are one transaction, and the password is in
//!   the last one;
//! - a statement that waits for a lock takes effect after the worker that sent it has died: one alone is in a
//!   transaction too, which nobody commits then;
//! - a retry finds other statements in the way: nothing here reads or decides;
//! - the verifier leaks: it goes by the simple protocol (so that the server's log shows the planned statement), and the
//!   driver's log is off.

use secrecy::ExposeSecret;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::connect::Peer;
use crate::proof::{answer, farewell};
use crate::{EngineError, Filled};

/// Carries `changes` out in order, each run of changes in one database as one transaction.
pub(super) async fn apply(
    own: &mut PgConnection,
    peer: &Peer,
    changes: &[Filled],
) -> Result<(), EngineError> {
    for group in changes.chunk_by(|one, next| one.database == next.database) {
        match group.first().and_then(|change| change.database.as_ref()) {
            None => transaction(own, peer, group).await?,
            Some(database) => {
                let mut other = peer.in_database(database).connect().await?;
                transaction(&mut other, peer, group).await?;
            }
        }
    }
    Ok(())
}

async fn transaction(
    connection: &mut PgConnection,
    peer: &Peer,
    changes: &[Filled],
) -> Result<(), EngineError> {
    let failed = |error| peer.explain("a transaction", false, error);
    let mut transaction = answer(connection.begin()).await.map_err(failed)?;
    for change in changes {
        if let Err(error) = carry_out(&mut transaction, peer, change).await {
            // If even this fails, the connection is gone, and the transaction with it.
            farewell(transaction.rollback()).await;
            return Err(error);
        }
    }
    answer(transaction.commit()).await.map_err(failed)
}

async fn carry_out(
    connection: &mut PgConnection,
    peer: &Peer,
    change: &Filled,
) -> Result<(), EngineError> {
    let statement = change.sent.expose_secret().to_owned();
    let asked = sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection);
    answer(asked)
        .await
        .map(drop)
        .map_err(|error| peer.explain(&change.shown, change.filling.is_some(), error))
}
