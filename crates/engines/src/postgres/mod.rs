//! PostgreSQL on RDS and Aurora. `plan` explains how the pair works.
//!
//! # Failure modes
//! - Two runs change one pair: the session that applies the changes holds an advisory lock
//!   (`lock`). The server keeps it, so workers with different journals exclude each other, and it ends with its
//!   connection.

mod apply;
mod connect;
mod inspect;
mod lock;
mod mark;
pub(super) mod master;
mod one_user;
mod ownership;
mod plan;
mod preflight;
mod quote;
mod remedies;
mod replication;
mod service;
mod session;
mod sessions;
mod signin;
mod signin_causes;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

pub(super) use self::connect::Connector;
use self::lock::Lock;
#[cfg(feature = "redshift")]
pub(super) use self::quote::list_elements;
use super::{
    Admin, Credentials, Engine, EngineError, Finding, InspectRequest, Inspection, LockHolder,
    PairLock, PostgresOptions, RenderedChange, Replication, Session, SignInChecks, SignedIn,
    Target, UserInspection, UserRequest, timeouts,
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
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let connector = Connector::new(target, credentials)?;
        let signing_in = async {
            let (mut connection, facts) = connector.connect_with_facts().await?;
            let (user, process) = session_user(&mut connection, &connector, checks.role).await?;
            let server_identity = if checks.identity {
                identity(&mut connection, &connector).await?
            } else {
                None
            };
            let replication = match checks.replication {
                Some(user) => replication::read(&mut connection, &connector, user).await?,
                None => Replication::default(),
            };
            let sees_mark = match checks.mark {
                Some(mark) => mark::is_seen(&mut connection, &connector, mark).await?,
                None => None,
            };
            for probe in checks.probes {
                sqlx::raw_sql(AssertSqlSafe(probe.clone()))
                    .execute(&mut connection)
                    .await
                    .map_err(|error| {
                        connector.explain(&format!("the probe {probe:?}"), false, error)
                    })?;
            }
            // The answers are complete; an error of the close changes nothing.
            let _ = connection.close().await;
            Ok(SignedIn {
                user,
                server_identity,
                is_pooled: facts.process.is_some_and(|announced| announced != process),
                stored_form: facts.form,
                replication,
                sees_mark,
            })
        };
        timeouts::sign_in(&connector.host, connector.port, signing_in).await
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let connector = Connector::admin(target, master)?;
        let mut connection = connector.connect().await?;
        let version = version(&connection, &connector)?;
        let server_identity = identity(&mut connection, &connector).await?;
        Ok(Box::new(PostgresAdmin {
            connection,
            connector,
            version,
            server_identity,
            options: self.options.clone(),
            lock: Lock::default(),
        }))
    }
}

/// The user that signed in, and the session's process id. The session must have `role`, if one is
/// given.
async fn session_user(
    connection: &mut PgConnection,
    connector: &Connector,
    role: Option<&str>,
) -> Result<(String, i32), EngineError> {
    let query =
        sqlx::raw_sql("SELECT session_user::text, current_user::text, pg_catalog.pg_backend_pid()");
    let (user, current, process): (String, String, i32) =
        timeouts::statement(query.fetch_one(connection))
            .await
            .and_then(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
            .map_err(|error| connector.explain("reading the signed-in user", false, error))?;
    match role {
        Some(role) if role != current => Err(EngineError::Refused {
            what: format!("the role of a session of {user:?}"),
            reason: format!("it is {current:?}; sessions of the base user have {role:?}"),
            hint: format!(
                "compare the role settings of both users (\\drds) and grant {role:?} to the base user with SET"
            ),
        }),
        _ => Ok((user, process)),
    }
}

/// `160004`, as the server reported it at the sign-in.
fn version(connection: &PgConnection, connector: &Connector) -> Result<u32, EngineError> {
    connection
        .server_version_num()
        .ok_or_else(|| EngineError::Refused {
            what: "reading the server's version".into(),
            reason: "the server reported none that is a number".into(),
            hint: format!(
                "check which server listens at {}:{}: PostgreSQL reports its version",
                connector.host, connector.port
            ),
        })
}

/// The identity that the cluster and its replicas share. `None`: the user may not read it, or the
/// service has no control file.
async fn identity(
    connection: &mut PgConnection,
    connector: &Connector,
) -> Result<Option<String>, EngineError> {
    let explain = |error| connector.explain("reading the server's identity", false, error);
    let may = "SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
    if !scalar::<bool>(connection, may).await.map_err(explain)? {
        return Ok(None);
    }
    let identity = "SELECT system_identifier::text FROM pg_catalog.pg_control_system()";
    match scalar(connection, identity).await {
        Ok(identity) => Ok(identity),
        Err(sqlx::Error::Database(_)) => Ok(None),
        Err(error) => Err(explain(error)),
    }
}

/// One value by the simple protocol, which takes one round trip.
async fn scalar<T>(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    let row = timeouts::statement(sqlx::raw_sql(sql).fetch_one(connection)).await?;
    row.try_get(0)
}

/// The admin connection.
struct PostgresAdmin {
    connection: PgConnection,
    connector: Connector,
    version: u32,
    server_identity: Option<String>,
    options: PostgresOptions,
    lock: Lock,
}

#[async_trait]
impl Admin for PostgresAdmin {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    async fn mark_server(&mut self) -> Result<Option<String>, EngineError> {
        let mark = mark::place(&mut self.connection, &self.connector).await?;
        Ok(Some(mark))
    }

    async fn unmark_server(&mut self, mark: &str) -> Result<(), EngineError> {
        mark::remove(&mut self.connection, &self.connector, mark).await
    }

    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError> {
        self.lock
            .take(&mut self.connection, &self.connector, pair)
            .await
    }

    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        lock::holders(&mut self.connection, &self.connector, pair).await
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let (connection, connector) = (&mut self.connection, &self.connector);
        let pair = request.pair;
        let mut facts = inspect::facts(connection, connector, self.version, pair).await?;
        let service = service::read(connection, connector, pair).await?;
        service.complete(&mut facts);
        let mut inspection = plan::plan(&facts, pair, &self.options);
        inspection.findings.extend(service.findings(pair));
        inspection.obstacles.extend(service.causes(pair));
        Ok(inspection)
    }

    async fn inspect_user(
        &mut self,
        request: &UserRequest<'_>,
    ) -> Result<UserInspection, EngineError> {
        one_user::inspect(&mut self.connection, &self.connector, request.user).await
    }

    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError> {
        self.lock
            .confirm(&mut self.connection, &self.connector)
            .await?;
        apply::apply(&mut self.connection, &self.connector, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        sessions::of_user(&mut self.connection, &self.connector, user)
            .await
            .map(Some)
    }

    async fn cannot_end_sessions(&mut self, user: &str) -> Result<Vec<Finding>, EngineError> {
        sessions::cannot_end(&mut self.connection, &self.connector, user).await
    }

    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError> {
        sessions::end(&mut self.connection, &self.connector, user).await
    }

    async fn reset(&mut self) -> bool {
        if self.connection.is_in_transaction() {
            return false;
        }
        let reset = session::reset(&mut self.connection);
        matches!(timeouts::close_gracefully(reset).await, Some(Ok(())))
    }

    /// Frees the lock first: the server notices the end of a connection late, perhaps after the
    /// next run tried to take the lock.
    async fn close(mut self: Box<Self>) {
        timeouts::close_gracefully(async {
            let free = sqlx::query("SELECT pg_catalog.pg_advisory_unlock_all()");
            let freed = free.execute(&mut self.connection).await;
            (freed, self.connection.close().await)
        })
        .await;
    }
}
