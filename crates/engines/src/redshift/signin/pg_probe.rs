//! Sign-in check over the PostgreSQL protocol and TLS, at the secret's host.
//!
//! # Failure modes
//! - The driver runs queries that only PostgreSQL supports. The check runs only
//!   `SELECT current_user` and the probes.
//! - A user with a sha256 password needs an authentication method that the driver does not support.
//!   The error's hint names the other probe.

use sqlx::{AssertSqlSafe, Connection, Row};

use crate::postgres::Connector as Postgres;
use crate::redshift::connect::DatabaseAddress;
use crate::{Credentials, EngineError, Target, timeouts};

/// Signs in, runs the probes and returns the user's name.
pub(in crate::redshift) async fn sign_in(
    address: &DatabaseAddress,
    target: &Target,
    credentials: &Credentials,
    probes: &[String],
) -> Result<String, EngineError> {
    let target = Target {
        port: Some(address.port),
        dbname: Some(address.database.clone()),
        ..target.clone()
    };
    let postgres = Postgres::new(&target, credentials)?;
    let proof = async {
        let mut connection = postgres.connect().await.map_err(with_redshift_hint)?;
        let explain = |what: &str, error| with_redshift_hint(postgres.explain(what, false, error));
        let user: String = sqlx::raw_sql("SELECT current_user::varchar")
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| explain("reading the current user", error))?;
        for probe in probes {
            sqlx::raw_sql(AssertSqlSafe(probe.clone()))
                .execute(&mut connection)
                .await
                .map_err(|error| explain(&format!("the probe {probe:?}"), error))?;
        }
        // The check is complete; a failure to close has no effect.
        let _ = connection.close().await;
        Ok(user)
    };
    timeouts::sign_in(&postgres.host, postgres.port, proof).await
}

/// The same error with a hint for Redshift.
fn with_redshift_hint(error: EngineError) -> EngineError {
    match error {
        EngineError::Refused {
            what,
            reason,
            hint: _,
        } => EngineError::Refused {
            what,
            hint: if reason.contains("authentication method") {
                "set redshift = { probe = \"secret\" }: the driver does not support users with a sha256 password"
            } else {
                "check that Redshift listens at the secret's host and port"
            }
            .into(),
            reason,
        },
        error => error,
    }
}
