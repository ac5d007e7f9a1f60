//! PostgreSQL on RDS and Aurora.
//!
//! `plan.rs` says how the pair works. What else can go wrong, and what prevents it:
//! - two runs at once: an advisory lock of the session that applies the changes. It is the
//!   server's, so workers with different journals meet there too, and it ends with its connection.

mod apply;
mod connect;
mod inspect;
pub(super) mod master;
mod ownership;
mod plan;
mod preflight;
mod quote;
mod sessions;

use async_trait::async_trait;
use aws_lc_rs::digest;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

pub(super) use self::connect::Peer;
pub(super) use self::quote::list_elements;
use super::{
    Admin, Credentials, Engine, EngineError, Filled, InspectRequest, Inspection, PostgresOptions,
    Questions, Session, SignedIn, Target, proof,
};
use twinkey_core::secret::pair::Pair;

/// The engine, with the rotation's options.
#[derive(Debug, Clone)]
pub struct Postgres {
    options: PostgresOptions,
}

impl Postgres {
    #[must_use]
    pub const fn new(options: PostgresOptions) -> Self {
        Self { options }
    }
}

#[async_trait]
impl Engine for Postgres {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name)
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError> {
        let peer = Peer::new(target, credentials)?;
        let proof = async {
            let mut connection = peer.connect().await?;
            let user = who(&mut connection, &peer).await?;
            let server_identity = if questions.identity {
                identity(&mut connection, &peer).await?
            } else {
                None
            };
            for probe in questions.probes {
                sqlx::raw_sql(AssertSqlSafe(probe.clone()))
                    .execute(&mut connection)
                    .await
                    .map_err(|error| peer.explain(&format!("the probe {probe:?}"), false, error))?;
            }
            // What was asked is answered; how the connection ends changes nothing.
            let _ = connection.close().await;
            Ok(SignedIn {
                user,
                server_identity,
            })
        };
        proof::in_time(&peer.host, peer.port, proof).await
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let peer = Peer::admin(target, master)?;
        let mut connection = peer.connect().await?;
        let version = version(&mut connection, &peer).await?;
        let server_identity = identity(&mut connection, &peer).await?;
        Ok(Box::new(Master {
            connection,
            peer,
            version,
            server_identity,
            options: self.options.clone(),
        }))
    }
}

/// Who has signed in.
async fn who(connection: &mut PgConnection, peer: &Peer) -> Result<String, EngineError> {
    ask(connection, "SELECT session_user::text")
        .await
        .map_err(|error| peer.explain("asking who has signed in", false, error))
}

/// `160004`
async fn version(connection: &mut PgConnection, peer: &Peer) -> Result<u32, EngineError> {
    let version = "SELECT current_setting('server_version_num')::int";
    ask(connection, version)
        .await
        .map(i32::unsigned_abs)
        .map_err(|error| peer.explain("asking which version this is", false, error))
}

/// What tells this cluster, with its replicas, from every other one. `None`: it may not be asked, or some service has
/// no control file to show.
async fn identity(
    connection: &mut PgConnection,
    peer: &Peer,
) -> Result<Option<String>, EngineError> {
    let explain = |error| peer.explain("asking which server this is", false, error);
    let may = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    if !ask::<bool>(connection, may).await.map_err(explain)? {
        return Ok(None);
    }
    let identity = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    match ask(connection, identity).await {
        Ok(identity) => Ok(identity),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

/// One value, by the simple protocol: one round trip.
async fn ask<T>(connection: &mut PgConnection, question: &'static str) -> sqlx::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let row = proof::answer(sqlx::raw_sql(question).fetch_one(connection)).await?;
    row.try_get(0)
}

/// The master's connection.
struct Master {
    connection: PgConnection,
    peer: Peer,
    version: u32,
    server_identity: Option<String>,
    options: PostgresOptions,
}

#[async_trait]
impl Admin for Master {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    async fn lock(&mut self, pair: &Pair) -> Result<bool, EngineError> {
        let key = lock_key(&pair.base);
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock('{key}')");
        let asked = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(&mut self.connection);
        proof::answer(asked)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.peer.explain("taking the pair's lock", false, error))
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let facts =
            inspect::facts(&mut self.connection, &self.peer, self.version, request.pair).await?;
        Ok(plan::plan(&facts, request.pair, &self.options))
    }

    async fn apply(&mut self, changes: &[Filled]) -> Result<(), EngineError> {
        apply::apply(&mut self.connection, &self.peer, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(&mut self.connection, &self.peer, user)
            .await
            .map(Some)
    }

    async fn reset(&mut self) -> bool {
        if self.connection.is_in_transaction() {
            return false;
        }
        let asked = sqlx::raw_sql(DISCARD).execute(&mut self.connection);
        matches!(proof::farewell(asked).await, Some(Ok(_)))
    }

    /// The server frees the lock only when it has noticed the end of the connection, which may be after
    /// the next run has asked for it: so it is given back first.
    async fn close(mut self: Box<Self>) {
        proof::farewell(async {
            let free = sqlx::query("SELECT pg_catalog.pg_advisory_unlock_all()");
            let freed = free.execute(&mut self.connection).await;
            (freed, self.connection.close().await)
        })
        .await;
    }
}

/// What `DISCARD ALL` does (PostgreSQL manual, "DISCARD"), which frees the lock too and makes of the settings what the
/// sign-in asked for; but for `DEALLOCATE ALL` and `DISCARD PLANS`: the questions stay prepared.
const DISCARD: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// One lock a pair and cluster of databases: advisory locks are a database's, and a pair's workers
/// all come to the database of its secret.
fn lock_key(base: &str) -> i64 {
    let hash = digest::digest(&digest::SHA256, format!("twinkey/pair/{base}").as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    i64::from_be_bytes(first)
}
