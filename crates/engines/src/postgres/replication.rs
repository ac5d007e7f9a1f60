//! What a user of the pair reads of a server as a replica.
//!
//! # Failure modes
//! - Aurora has no position of the WAL: its functions are an error. The lag is then not known.
//! - The primary is idle, so that the last replayed transaction is old. A replica that has replayed
//!   all that it received is not behind.
//! - The user may not see another user's session. Its name and its application are visible to every
//!   user, which is enough to count and to name it.

use std::time::Duration;

use sqlx::postgres::PgConnection;

use super::connect::Connector;
use super::{scalar, sessions};
use crate::{EngineError, Replication};

const IS_REPLICA: &str = "SELECT pg_catalog.pg_is_in_recovery()";
const LAG: &str = "SELECT CASE \
     WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() THEN 0 \
     ELSE extract(epoch FROM pg_catalog.clock_timestamp() \
       - pg_catalog.pg_last_xact_replay_timestamp()) END::float8";

/// Reads the state of the replication, and the sessions of `user`.
pub(super) async fn read(
    connection: &mut PgConnection,
    connector: &Connector,
    user: &str,
) -> Result<Replication, EngineError> {
    let explain = |error| connector.explain("reading the state of the replication", false, error);
    let is_replica: bool = scalar(connection, IS_REPLICA).await.map_err(explain)?;
    let lag = if is_replica {
        match scalar::<Option<f64>>(connection, LAG).await {
            Ok(seconds) => seconds,
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(explain(error)),
        }
    } else {
        None
    };
    let sessions = sessions::of_user(connection, connector, user).await?;
    Ok(Replication {
        is_replica: Some(is_replica),
        // The clocks of the two servers differ.
        lag: lag.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
        sessions: Some(sessions),
    })
}
