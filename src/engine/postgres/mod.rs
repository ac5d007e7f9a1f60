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
    Admin, Change, Credentials, Engine, EngineError, InspectRequest, Inspection, PostgresOptions,
    Session, SignedIn, Target, proof,
};
use crate::secret::Sensitive;
use crate::secret::pair::Pair;

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
        probes: &[String],
    ) -> Result<SignedIn, EngineError> {
        let peer = Peer::new(target, credentials)?;
        let proof = async {
            let mut connection = peer.connect().await?;
            let greeting = greet(&mut connection, &peer).await?;
            for probe in probes {
                sqlx::raw_sql(AssertSqlSafe(probe.clone()))
                    .execute(&mut connection)
                    .await
                    .map_err(|error| peer.explain(&format!("the probe {probe:?}"), false, error))?;
            }
            // What was asked is answered; how the connection ends changes nothing.
            let _ = connection.close().await;
            Ok(greeting.signed_in)
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
        let greeting = greet(&mut connection, &peer).await?;
        Ok(Box::new(Master {
            connection,
            peer,
            version: greeting.version,
            server_identity: greeting.signed_in.server_identity,
            options: self.options.clone(),
        }))
    }
}

struct Greeting {
    version: u32,
    signed_in: SignedIn,
}

/// Who we are, and where. By the simple protocol, which takes one round trip a question.
async fn greet(connection: &mut PgConnection, peer: &Peer) -> Result<Greeting, EngineError> {
    let explain = |error| peer.explain("asking who has signed in", false, error);
    let asked = sqlx::raw_sql(
        "SELECT session_user::text, current_setting('server_version_num')::int, \
         has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')",
    )
    .fetch_one(&mut *connection);
    let row = proof::answer(asked).await.map_err(explain)?;
    let may_identify: bool = row.try_get(2).map_err(explain)?;
    let server_identity = if may_identify {
        let asked =
            sqlx::raw_sql("SELECT system_identifier::text FROM pg_catalog.pg_control_system()")
                .fetch_one(connection);
        match proof::answer(asked).await {
            Ok(row) => row.try_get(0).map_err(explain)?,
            // Some services have no control file to show.
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(explain(error)),
        }
    } else {
        None
    };
    let version: i32 = row.try_get(1).map_err(explain)?;
    Ok(Greeting {
        version: version.unsigned_abs(),
        signed_in: SignedIn {
            user: row.try_get(0).map_err(explain)?,
            server_identity,
        },
    })
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

    async fn apply(&mut self, changes: &[Change], password: &Sensitive) -> Result<(), EngineError> {
        apply::apply(&mut self.connection, &self.peer, changes, password).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(&mut self.connection, &self.peer, user)
            .await
            .map(Some)
    }

    /// `DISCARD ALL` frees all advisory locks too, and what it makes of the settings is what the sign-in asked for
    /// (PostgreSQL manual, "DISCARD"). It fails inside a transaction, and then the session is no new one.
    async fn reset(&mut self) -> bool {
        let asked = sqlx::raw_sql("DISCARD ALL").execute(&mut self.connection);
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

/// One lock a pair and cluster of databases: advisory locks are a database's, and a pair's workers
/// all come to the database of its secret.
fn lock_key(base: &str) -> i64 {
    let hash = digest::digest(&digest::SHA256, format!("twinkey/pair/{base}").as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&hash.as_ref()[..8]);
    i64::from_be_bytes(first)
}
