//! The proof of a password by a connection to the secret's host, over the PostgreSQL protocol and TLS.
//!
//! What can go wrong, and what prevents it:
//! - the driver asks what only PostgreSQL knows: nothing but `current_user` and the probes is asked;
//! - a sha256 password has a sign-in of Redshift's own, which the driver does not know: the error says so.

use sqlx::{AssertSqlSafe, Connection, Row};

use super::connect::Peer;
use crate::postgres::Peer as Postgres;
use crate::{Credentials, EngineError, Target, proof};

/// Signs in, runs the probes, and tells who it is.
pub(super) async fn sign_in(
    peer: &Peer,
    target: &Target,
    who: &Credentials,
    probes: &[String],
) -> Result<String, EngineError> {
    let target = Target {
        port: Some(peer.port),
        dbname: Some(peer.database.clone()),
        ..target.clone()
    };
    let postgres = Postgres::new(&target, who)?;
    let proof = async {
        let mut connection = postgres.connect().await.map_err(of_redshift)?;
        let explain = |what: &str, error| of_redshift(postgres.explain(what, false, error));
        let user: String = sqlx::raw_sql("SELECT current_user::varchar")
            .fetch_one(&mut connection)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| explain("asking who has signed in", error))?;
        for probe in probes {
            sqlx::raw_sql(AssertSqlSafe(probe.clone()))
                .execute(&mut connection)
                .await
                .map_err(|error| explain(&format!("the probe {probe:?}"), error))?;
        }
        // What was asked is answered; how the connection ends changes nothing.
        let _ = connection.close().await;
        Ok(user)
    };
    proof::in_time(&postgres.host, postgres.port, proof).await
}

/// The hints are Redshift's.
fn of_redshift(error: EngineError) -> EngineError {
    match error {
        EngineError::Refused {
            what,
            reason,
            hint: _,
        } => EngineError::Refused {
            what,
            hint: if reason.contains("authentication method") {
                "the driver does not know how users with a sha256 password sign in: use redshift = { probe = \"secret\" }"
            } else {
                "see that Redshift listens at the secret's host and port"
            }
            .into(),
            reason,
        },
        error => error,
    }
}
