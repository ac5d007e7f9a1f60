//! MySQL and MariaDB on RDS, and Aurora MySQL: one folder, two dialects.
//!
//! `plan.rs` says how the pair works. What else can go wrong, and what prevents it:
//! - two runs at once: a named lock (`GET_LOCK`) of the session that applies the changes. It is the
//!   server's, so workers with different journals meet there too, and it ends with its connection;
//! - the server takes one user for another (a proxy user, an anonymous account that matches first): a
//!   sign-in tells the name that signed in, and what every account stores is compared besides.

mod account;
mod apply;
mod connect;
mod dialect;
mod diff;
mod ed25519;
mod facts;
mod grants;
mod inspect;
mod look;
pub(super) mod master;
mod parse;
mod plan;
mod powers;
mod preflight;
mod quote;
#[cfg(test)]
mod roundtrip_tests;
#[cfg(test)]
mod servers;
mod sessions;

#[cfg(fuzzing)]
pub use self::parse::fuzzing;

use async_trait::async_trait;
use aws_lc_rs::digest;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Connection, Row};
use std::fmt::Write as _;

use self::connect::Peer;
use self::dialect::Dialect;
use self::grants::Account;
use super::{
    Admin, Credentials, Engine, EngineError, Filled, InspectRequest, Inspection, Questions,
    Session, SignedIn, Target, proof,
};
use twinkey_core::secret::pair::Pair;

/// The engine, as a secret names it. Which of the two a server is, it says itself.
#[derive(Debug, Clone)]
pub struct Mysql {
    /// In characters.
    name_limit: usize,
}

impl Mysql {
    /// User names have at most 32 characters (MySQL manual, "Access Control, Stage 1", since 5.7.8).
    #[must_use]
    pub const fn of_mysql() -> Self {
        Self { name_limit: 32 }
    }

    /// User names have at most 80 characters (MariaDB, "Identifier Names", "Maximum Length").
    #[must_use]
    pub const fn of_mariadb() -> Self {
        Self { name_limit: 80 }
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
        questions: Questions<'_>,
    ) -> Result<SignedIn, EngineError> {
        let peer = Peer::new(target, credentials)?;
        let proof = proof::in_time(&peer.host, peer.port, prove(&peer, questions));
        match proof.await {
            Err(error) if connect::needs_ed25519(&error) => {
                let who = MARIADB_IDENTITY;
                ed25519::sign_in(target, credentials, who, questions.probes, proof::LIMIT).await
            }
            result => result,
        }
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let peer = Peer::admin(target, master)?;
        let mut connection = peer.connect().await?;
        let greeting = greet(&mut connection, &peer).await?;
        peer.settle(&mut connection, &greeting.dialect).await?;
        let mut look = look::Look {
            connection: &mut connection,
            peer: &peer,
        };
        let show = match &greeting.roles {
            // MySQL shows what active roles give only where they are named.
            Some(roles) => format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"),
            None => "SHOW GRANTS".to_owned(),
        };
        let master = facts::Master {
            grants: look.grants(&show).await?,
            account: greeting.account,
            schemas_are_literal: greeting.variables.schemas_are_literal,
        };
        Ok(Box::new(Master {
            connection,
            peer,
            dialect: greeting.dialect,
            server_identity: greeting.variables.server_identity,
            master,
            lock: None,
        }))
    }
}

async fn prove(peer: &Peer, questions: Questions<'_>) -> Result<SignedIn, EngineError> {
    let mut connection = peer.connect().await?;
    let explain = |error| peer.explain("asking who has signed in", false, error);
    let asked = sqlx::query_scalar("SELECT USER()").fetch_one(&mut connection);
    let user: String = proof::answer(asked).await.map_err(explain)?;
    let server_identity = if questions.identity {
        variables(&mut connection, peer).await?.server_identity
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
        user: name_of(&user).to_owned(),
        server_identity,
    })
}

/// The name in `name@host`, of which the name can hold an `@`, and an address or an account's host cannot.
fn name_of(who: &str) -> &str {
    who.rsplit_once('@').map_or(who, |(name, _)| name)
}

/// The identity is MySQL's `server_uuid`, or MariaDB's `server_uid` since 10.5.26, 10.6.19 and 10.11.9;
/// before that there is none, and hosts must be equal by name.
const VARIABLES: &str = "SHOW GLOBAL VARIABLES \
     WHERE Variable_name IN ('server_uuid', 'server_uid', 'partial_revokes')";

/// MariaDB's identity as an expression.
const MARIADB_IDENTITY: &str = "(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'SERVER_UID')";

struct Greeting {
    dialect: Dialect,
    /// Whose privileges the session has.
    account: Account,
    /// MySQL's active roles, as SQL takes them.
    roles: Option<String>,
    variables: Variables,
}

/// What the server's variables tell.
#[derive(Default)]
struct Variables {
    server_identity: Option<String>,
    schemas_are_literal: bool,
}

async fn variables(
    connection: &mut MySqlConnection,
    peer: &Peer,
) -> Result<Variables, EngineError> {
    let asked = sqlx::query_as(VARIABLES).fetch_all(connection);
    let all: Vec<(String, String)> = proof::answer(asked)
        .await
        .map_err(|error| peer.explain("asking which server this is", false, error))?;
    let mut known = Variables::default();
    for (name, value) in all {
        if name == "partial_revokes" {
            known.schemas_are_literal = value == "ON";
        } else {
            known.server_identity = Some(value);
        }
    }
    Ok(known)
}

/// Whose privileges we have, and where.
async fn greet(connection: &mut MySqlConnection, peer: &Peer) -> Result<Greeting, EngineError> {
    let explain = |error| peer.explain("asking who has signed in", false, error);
    let asked = sqlx::query("SELECT VERSION(), CURRENT_USER()").fetch_one(&mut *connection);
    let row = proof::answer(asked).await.map_err(explain)?;
    let dialect = Dialect::of(&row.try_get::<String, _>(0).map_err(explain)?)?;
    let account: String = row.try_get(1).map_err(explain)?;
    let (account, host) = account.rsplit_once('@').unwrap_or((&account, ""));
    let account = Account::new(account, host);
    let variables = variables(connection, peer).await?;
    let roles = if dialect.is_mariadb() {
        None
    } else {
        let asked = sqlx::query_scalar::<_, Option<String>>("SELECT CAST(CURRENT_ROLE() AS CHAR)")
            .fetch_one(connection);
        proof::answer(asked).await.map_err(explain)?
    };
    Ok(Greeting {
        dialect,
        account,
        roles: roles.filter(|roles| roles != "NONE"),
        variables,
    })
}

/// The master's connection.
struct Master {
    connection: MySqlConnection,
    peer: Peer,
    dialect: Dialect,
    server_identity: Option<String>,
    master: facts::Master,
    /// The name of the lock that is held.
    lock: Option<String>,
}

#[async_trait]
impl Admin for Master {
    fn server_identity(&self) -> Option<&str> {
        self.server_identity.as_deref()
    }

    async fn lock(&mut self, pair: &Pair) -> Result<bool, EngineError> {
        let asked = sqlx::query_scalar::<_, Option<i64>>("SELECT GET_LOCK(?, 0)")
            .bind(lock_name(&pair.base))
            .fetch_one(&mut self.connection);
        proof::answer(asked)
            .await
            .map(|taken| taken == Some(1))
            .map_err(|error| self.peer.explain("taking the pair's lock", false, error))
            .inspect(|taken| self.lock = taken.then(|| lock_name(&pair.base)))
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let facts = inspect::facts(
            &mut self.connection,
            &self.peer,
            &self.dialect,
            &self.master,
            request,
        )
        .await?;
        Ok(plan::plan(&facts, request.pair, request.password))
    }

    async fn apply(&mut self, changes: &[Filled]) -> Result<(), EngineError> {
        apply::apply(&mut self.connection, &self.peer, changes).await
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        if !self.master.sees_sessions() {
            return Ok(None);
        }
        sessions::of_user(&mut self.connection, &self.peer, user)
            .await
            .map(Some)
    }

    /// The lock is all that a run leaves in its session: nothing is set there after the sign-in, and every statement
    /// that changes a user is its own transaction.
    async fn reset(&mut self) -> bool {
        let Some(lock) = self.lock.take() else {
            return false;
        };
        let asked = sqlx::query_scalar::<_, Option<i64>>("SELECT RELEASE_LOCK(?)")
            .bind(lock)
            .fetch_one(&mut self.connection);
        matches!(proof::farewell(asked).await, Some(Ok(Some(1))))
    }

    /// The server frees the lock only when it has noticed the end of the connection, which may be after
    /// the next run has asked for it: so it is given back first.
    async fn close(mut self: Box<Self>) {
        proof::farewell(async {
            if let Some(lock) = self.lock.take() {
                let free = sqlx::query("DO RELEASE_LOCK(?)").bind(lock);
                let _ = free.execute(&mut self.connection).await;
            }
            self.connection.close().await
        })
        .await;
    }
}

/// One lock a pair and server. A lock's name has at most 64 characters (MySQL manual, "Locking
/// Functions"), a user's may have more.
fn lock_name(base: &str) -> String {
    let hash = digest::digest(&digest::SHA256, base.as_bytes());
    let mut name = "twinkey/pair/".to_owned();
    for byte in hash.as_ref().iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}
