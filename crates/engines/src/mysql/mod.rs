//! MySQL and MariaDB on RDS, and Aurora MySQL: one engine with two dialects. `plan` explains how
//! the pair works.
//!
//! # Failure modes
//! - Two runs change one pair: the session that applies the changes holds a named lock (`lock`). The server keeps it, so workers with different journals exclude each other, and
//!   it ends with its connection.
//! - The server maps the sign-in to another user (a proxy user, or an anonymous account that
//!   matches first): a sign-in reads the name of the user, and the stored hash of every account is
//!   compared.

mod accounts;
mod apply;
mod connect;
mod dialect;
mod diff;
mod grants;
mod inspect;
mod lock;
mod mark;
pub(super) mod master;
mod objects;
mod one_user;
mod parse;
mod plan;
mod preflight;
mod privileges;
mod quote;
#[cfg(test)]
mod roundtrip_tests;
mod session;
mod sessions;
mod signin;
mod signin_causes;
#[cfg(test)]
mod test_servers;

#[cfg(fuzzing)]
pub use self::parse::fuzzing;

use async_trait::async_trait;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use self::accounts::Passwords;
use self::connect::Connector;
use self::dialect::Dialect;
use self::grants::Account;
use self::lock::{Lock, Server};
use self::sessions::Clients;
use super::{
    Admin, Credentials, Engine, EngineError, Finding, InspectRequest, Inspection, LockHolder,
    MysqlOptions, PairLock, RenderedChange, Replication, Session, SignInChecks, SignedIn, Target,
    TlsMode, UserInspection, UserRequest, timeouts,
};
use twinkey_core::secret::pair::Pair;

/// The engine, as a secret names it. The server's version decides about the dialect.
#[derive(Debug, Clone)]
pub struct Mysql {
    /// In characters.
    name_limit: usize,
    options: MysqlOptions,
}

impl Mysql {
    /// User names have at most 32 characters (MySQL manual, "Access Control, Stage 1", since
    /// 5.7.8).
    #[must_use]
    pub const fn of_mysql() -> Self {
        Self {
            name_limit: 32,
            options: MysqlOptions { accounts: None },
        }
    }

    /// User names have at most 80 characters (MariaDB, "Identifier Names", "Maximum Length").
    #[must_use]
    pub const fn of_mariadb() -> Self {
        Self {
            name_limit: 80,
            options: MysqlOptions { accounts: None },
        }
    }

    /// With the options of a rotation.
    #[must_use]
    pub fn with_options(self, options: MysqlOptions) -> Self {
        Self { options, ..self }
    }
}

#[async_trait]
impl Engine for Mysql {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        quote::check_user_name(name, self.name_limit)
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let connector = Connector::new(target, credentials)?;
        timeouts::sign_in(&connector.host, connector.port, sign_in(&connector, checks)).await
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let connector = Connector::admin(target, master)?;
        let mut connection = connector.connect().await?;
        let info = server_info(&mut connection, &connector).await?;
        let mut queries = inspect::queries::Queries {
            connection: &mut connection,
            connector: &connector,
        };
        let master = inspect::facts::Master {
            grants: queries.own_grants(info.roles.as_deref()).await?,
            account: info.account,
            client: info.client,
            schemas_are_literal: info.variables.schemas_are_literal,
        };
        Ok(Box::new(MysqlAdmin {
            connection,
            connector,
            dialect: info.dialect,
            server_identity: info.variables.server_identity,
            master,
            listed: self.options.accounts.clone(),
            lock: Lock::default(),
        }))
    }
}

async fn sign_in(connector: &Connector, checks: SignInChecks<'_>) -> Result<SignedIn, EngineError> {
    let (mut connection, in_greeting) = connector.connect_with_number().await?;
    let explain = |error| connector.explain("reading the signed-in user", false, error);
    let query = sqlx::query_as("SELECT USER(), CAST(connection_id() AS UNSIGNED)")
        .fetch_one(&mut connection);
    let (user, number): (String, u64) = timeouts::statement(query).await.map_err(explain)?;
    let server_identity = if checks.identity {
        variables(&mut connection, connector).await?.server_identity
    } else {
        None
    };
    let user = user_part(&user).to_owned();
    let replication = match checks.replication {
        Some(listed) => sessions::at_reader(&mut connection, connector, &user, listed).await?,
        None => Replication::default(),
    };
    let sees_mark = match checks.mark {
        Some(mark) => mark::is_seen(&mut connection, connector, mark).await?,
        None => None,
    };
    for probe in checks.probes {
        sqlx::raw_sql(AssertSqlSafe(probe.clone()))
            .execute(&mut connection)
            .await
            .map_err(|error| connector.explain(&format!("the probe {probe:?}"), false, error))?;
    }
    // The answers are complete; an error of the close changes nothing.
    let _ = connection.close().await;
    Ok(SignedIn {
        user,
        server_identity,
        is_pooled: session::is_other(number, in_greeting),
        stored_form: None,
        replication,
        sees_mark,
    })
}

/// The name in `name@host`. The name can hold an `@`, the host cannot.
fn user_part(account: &str) -> &str {
    account.rsplit_once('@').map_or(account, |(name, _)| name)
}

/// The identity is MySQL's `server_uuid`, or MariaDB's `server_uid` since 10.5.26, 10.6.19 and
/// 10.11.9. Older versions have none, so the names of hosts must be equal.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES \
     WHERE Variable_name IN ('server_uuid', 'server_uid', 'partial_revokes')";

struct ServerInfo {
    dialect: Dialect,
    /// The account whose privileges the session has.
    account: Account,
    /// The worker's host, as the server shows it.
    client: String,
    /// MySQL's active roles, as an SQL list.
    roles: Option<String>,
    variables: Variables,
}

/// Variables of the server.
#[derive(Default)]
struct Variables {
    server_identity: Option<String>,
    schemas_are_literal: bool,
}

async fn variables(
    connection: &mut MySqlConnection,
    connector: &Connector,
) -> Result<Variables, EngineError> {
    let query = sqlx::query_as(VARIABLES).fetch_all(connection);
    let all: Vec<(String, String)> = timeouts::statement(query)
        .await
        .map_err(|error| connector.explain("reading the server's identity", false, error))?;
    let mut variables = Variables::default();
    for (name, value) in all {
        if name == "partial_revokes" {
            variables.schemas_are_literal = value == "ON";
        } else {
            variables.server_identity = Some(value);
        }
    }
    Ok(variables)
}

/// Version, account, active roles and variables of the admin session.
async fn server_info(
    connection: &mut MySqlConnection,
    connector: &Connector,
) -> Result<ServerInfo, EngineError> {
    let explain = |error| connector.explain("reading the signed-in user", false, error);
    let query = sqlx::query("SELECT VERSION(), CURRENT_USER(), USER()").fetch_one(&mut *connection);
    let row = timeouts::statement(query).await.map_err(explain)?;
    let dialect = Dialect::of(&row.try_get::<String, _>(0).map_err(explain)?)?;
    let account: String = row.try_get(1).map_err(explain)?;
    let (account, host) = account.rsplit_once('@').unwrap_or((&account, ""));
    let account = Account::new(account, host);
    let user: String = row.try_get(2).map_err(explain)?;
    let (_, client) = user.rsplit_once('@').unwrap_or(("", &user));
    let client = client.to_owned();
    let variables = variables(connection, connector).await?;
    let roles = if dialect.is_mariadb() {
        None
    } else {
        let query = sqlx::query_scalar::<_, Option<String>>("SELECT CAST(CURRENT_ROLE() AS CHAR)")
            .fetch_one(connection);
        timeouts::statement(query).await.map_err(explain)?
    };
    Ok(ServerInfo {
        dialect,
        account,
        client,
        roles: roles.filter(|roles| roles != "NONE"),
        variables,
    })
}

/// The admin connection.
struct MysqlAdmin {
    connection: MySqlConnection,
    connector: Connector,
    dialect: Dialect,
    server_identity: Option<String>,
    master: inspect::facts::Master,
    /// The hosts of the pair's accounts in the config.
    listed: Option<Vec<String>>,
    lock: Lock,
}

impl MysqlAdmin {
    fn lock_and_server(&mut self) -> (&mut Lock, Server<'_>) {
        let server = Server {
            connection: &mut self.connection,
            connector: &self.connector,
            dialect: &self.dialect,
            master: &self.master,
        };
        (&mut self.lock, server)
    }

    /// The clients that use accounts of the pair.
    async fn clients(&mut self, user: &str) -> Result<Clients, EngineError> {
        let Some(listed) = &self.listed else {
            return Ok(Clients::all());
        };
        if !self.master.reads_accounts() {
            return Ok(Clients::all());
        }
        let mut queries = inspect::queries::Queries {
            connection: &mut self.connection,
            connector: &self.connector,
        };
        let hosts = queries.hosts(&self.dialect, user).await?;
        Ok(Clients::of_accounts(listed.clone(), hosts))
    }
}

#[async_trait]
impl Admin for MysqlAdmin {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    async fn mark_server(&mut self) -> Result<Option<String>, EngineError> {
        mark::place(&mut self.connection, &self.connector).await
    }

    async fn unmark_server(&mut self, mark: &str) -> Result<(), EngineError> {
        mark::remove(&mut self.connection, &self.connector, mark).await
    }

    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError> {
        let (lock, mut server) = self.lock_and_server();
        lock.take(&mut server, pair).await
    }

    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        self.lock_and_server().1.holders(pair).await
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let facts = inspect::facts(
            &mut self.connection,
            &self.connector,
            &self.dialect,
            &self.master,
            self.listed.as_deref(),
            request,
        )
        .await?;
        let passwords = Passwords {
            current: request.current,
            pending: request.password,
        };
        let mut inspection = plan::plan(&facts, request.pair, passwords);
        let unprovable = self.connector.login.unprovable(&facts.active);
        inspection.findings.extend(unprovable);
        let (pair, tls) = (request.pair, request.tls);
        inspection.obstacles = signin_causes::of_active(&facts, pair, passwords, tls);
        inspection.standby_obstacles = signin_causes::of_standby(&facts, pair, tls);
        Ok(inspection)
    }

    async fn inspect_user(
        &mut self,
        request: &UserRequest<'_>,
    ) -> Result<UserInspection, EngineError> {
        let pair = Pair::of_one(request.user);
        let accounts = InspectRequest {
            pair: &pair,
            password: request.pending,
            current: Some(request.current),
            tls: TlsMode::VerifyFull,
            thorough: false,
        };
        let facts = inspect::facts(
            &mut self.connection,
            &self.connector,
            &self.dialect,
            &self.master,
            self.listed.as_deref(),
            &accounts,
        )
        .await?;
        let mut inspection = one_user::plan(&facts, request);
        let unprovable = self.connector.login.unprovable(&facts.active);
        inspection.findings.extend(unprovable);
        Ok(inspection)
    }

    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError> {
        let (lock, mut server) = self.lock_and_server();
        lock.confirm(&mut server).await?;
        apply::apply(&mut self.connection, &self.connector, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        if !self.master.sees_sessions() {
            return Ok(None);
        }
        let clients = self.clients(user).await?;
        sessions::of_user(&mut self.connection, &self.connector, user, &clients)
            .await
            .map(Some)
    }

    async fn cannot_end_sessions(&mut self, _user: &str) -> Result<Vec<Finding>, EngineError> {
        let (master, dialect) = (&self.master, &self.dialect);
        sessions::cannot_end(&mut self.connection, &self.connector, master, dialect).await
    }

    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError> {
        let clients = self.clients(user).await?;
        let (connector, master) = (&self.connector, &self.master);
        sessions::end(&mut self.connection, connector, master, user, &clients).await
    }

    /// Frees the lock, the only state of a run: it sets no session variables, and each statement
    /// about a user is its own transaction.
    async fn reset(&mut self) -> bool {
        if !self.lock.is_held() {
            return false;
        }
        let freed = self.lock.release(&mut self.connection);
        matches!(timeouts::close_gracefully(freed).await, Some(Ok(true)))
    }

    /// Frees the lock first: the server notices the end of a connection late, perhaps after the
    /// next run tried to take the lock.
    async fn close(mut self: Box<Self>) {
        timeouts::close_gracefully(async {
            let _ = self.lock.release(&mut self.connection).await;
            self.connection.close().await
        })
        .await;
    }
}
