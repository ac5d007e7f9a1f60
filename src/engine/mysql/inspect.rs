//! What is so on the server now: read-only, plain data.
//!
//! What can go wrong, and what prevents it:
//! - the master may not read the accounts, and the answer is an error in the middle: what it may is
//!   asked first, and then nothing else (`preflight.rs` names the statement that mends it);
//! - a grant on a table that is gone can be neither given nor missed: what the standby lacks is looked
//!   up among the tables that there are, one query a schema, and only where it lacks something;
//! - looking takes as long as there are views and routines: who is named in DEFINER clauses is looked
//!   for only where somebody has the time, or an account would be dropped.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use super::account::{Definition, MariadbRow, MysqlRow};
use super::connect::Peer;
use super::dialect::Dialect;
use super::grants::{Account, Grants, Object};
use super::{parse, preflight};
use crate::engine::{EngineError, InspectRequest};

/// The server as the plan needs it.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub dialect: Dialect,
    pub master: Master,
    /// The master may read accounts; without that nothing below is known.
    pub readable: bool,
    pub active: Vec<User>,
    pub standby: Vec<User>,
    /// Rounds of `caching_sha2_password`'s digest, in thousands.
    pub digest_thousands: u16,
    /// Hashes are refused (MariaDB's strict_password_validation with a validating plugin).
    pub hashes_refused: bool,
    pub existing: Existing,
    pub definers: Vec<Definer>,
}

/// Who we are, and what we may.
#[derive(Debug, Clone)]
pub(super) struct Master {
    pub account: Account,
    /// Its own and its active roles'.
    pub grants: Grants,
}

/// One account of a user.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub account: Account,
    pub definition: Definition,
    pub grants: Grants,
    pub default_roles: BTreeSet<Account>,
}

/// What there is in the schemas that were looked into.
#[derive(Debug, Clone, Default)]
pub(super) struct Existing {
    pub schemas: BTreeSet<String>,
    /// (schema, table) -> columns in lower case.
    pub tables: BTreeMap<(String, String), BTreeSet<String>>,
    /// (kind, schema, name)
    pub routines: BTreeSet<(String, String, String)>,
}

/// An object that runs as one of the pair's users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definer {
    /// For people: `view shop.v`.
    pub object: String,
    pub user: String,
    pub host: String,
}

pub(super) async fn facts(
    connection: &mut MySqlConnection,
    peer: &Peer,
    dialect: &Dialect,
    master: &Master,
    request: &InspectRequest<'_>,
) -> Result<Facts, EngineError> {
    let pair = request.pair;
    let mut facts = Facts {
        dialect: dialect.clone(),
        master: master.clone(),
        readable: preflight::reads_accounts(&master.grants),
        active: Vec::new(),
        standby: Vec::new(),
        digest_thousands: 5,
        hashes_refused: false,
        existing: Existing::default(),
        definers: Vec::new(),
    };
    if !facts.readable {
        return Ok(facts);
    }
    let mut look = Look { connection, peer };
    facts.active = look.users(dialect, pair.active_user()).await?;
    facts.standby = look.users(dialect, pair.standby_user()).await?;
    if dialect.is_mariadb() {
        facts.hashes_refused = look.number(HASHES_REFUSED).await? == Some(1);
    } else {
        let rounds = look.number(DIGEST_ROUNDS).await?;
        facts.digest_thousands = rounds
            .and_then(|rounds| u16::try_from(rounds / 1000).ok())
            .unwrap_or(facts.digest_thousands);
    }
    for schema in to_look_into(&facts) {
        look.schema(&schema, &mut facts.existing).await?;
    }
    if request.thorough || facts.surplus().next().is_some() {
        facts.definers = look
            .definers(pair.active_user(), pair.standby_user())
            .await?;
    }
    Ok(facts)
}

impl Facts {
    pub(super) fn standby_at(&self, host: Option<&String>) -> Option<&User> {
        self.standby
            .iter()
            .find(|user| user.account.host.as_ref() == host)
    }

    /// The standby's accounts at hosts where the active user has none.
    pub(super) fn surplus(&self) -> impl Iterator<Item = &User> {
        self.standby.iter().filter(|user| {
            let same_host = |active: &&User| active.account.host == user.account.host;
            !self.active.iter().any(|active| same_host(&active))
        })
    }
}

/// Schemas with tables or routines on which the standby lacks something.
fn to_look_into(facts: &Facts) -> BTreeSet<String> {
    let nothing = Grants::default();
    let mut schemas = BTreeSet::new();
    for active in &facts.active {
        let standby = facts.standby_at(active.account.host.as_ref());
        let has = standby.map_or(&nothing, |user| &user.grants);
        let differ = active
            .grants
            .on
            .iter()
            .filter(|(o, p)| has.on.get(o) != Some(p));
        schemas.extend(differ.filter_map(|(object, _)| match object {
            Object::Table { schema, .. } | Object::Routine { schema, .. } => Some(schema.clone()),
            Object::Global | Object::Schema(_) => None,
        }));
    }
    schemas
}

const MARIADB_ACCOUNTS: &str = "SELECT CAST(Host AS CHAR), CAST(Priv AS CHAR) FROM mysql.global_priv WHERE User = ? ORDER BY Host";

const MYSQL_ACCOUNTS: &str = "SELECT CAST(Host AS CHAR), CAST(JSON_OBJECT(\
     'plugin', plugin, 'stored', HEX(authentication_string), 'ssl_type', ssl_type, \
     'ssl_cipher', CONVERT(ssl_cipher USING utf8mb4), \
     'x509_issuer', CONVERT(x509_issuer USING utf8mb4), \
     'x509_subject', CONVERT(x509_subject USING utf8mb4), \
     'max_questions', max_questions, 'max_updates', max_updates, \
     'max_connections', max_connections, 'max_user_connections', max_user_connections, \
     'expired', password_expired = 'Y', 'lifetime', password_lifetime, \
     'locked', account_locked = 'Y', 'history', Password_reuse_history, \
     'reuse_days', Password_reuse_time, 'require_current', Password_require_current, \
     'attributes', User_attributes) AS CHAR) FROM mysql.user WHERE User = ? ORDER BY Host";

const MYSQL_DEFAULT_ROLES: &str = "SELECT CAST(DEFAULT_ROLE_USER AS CHAR), CAST(DEFAULT_ROLE_HOST AS CHAR) \
     FROM mysql.default_roles WHERE USER = ? AND HOST = ?";

const HASHES_REFUSED: &str = "SELECT CAST(@@strict_password_validation = 1 AND EXISTS (\
     SELECT 1 FROM information_schema.PLUGINS \
     WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE') AS SIGNED)";

/// The variable came with 8.0.24.
const DIGEST_ROUNDS: &str = "SELECT CAST(VARIABLE_VALUE AS SIGNED) FROM performance_schema.global_variables \
     WHERE VARIABLE_NAME = 'caching_sha2_password_digest_rounds'";

const COLUMNS: &str = "SELECT CAST(TABLE_NAME AS CHAR), CAST(LOWER(COLUMN_NAME) AS CHAR) \
     FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ?";

const ROUTINES: &str = "SELECT CAST(ROUTINE_TYPE AS CHAR), CAST(ROUTINE_NAME AS CHAR) \
     FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?";

/// `DEFINER` is `user@host` without quotes; a host holds no `@`.
const DEFINERS: &str = "SELECT CAST(o.what AS CHAR), CAST(o.definer AS CHAR) FROM (\
     SELECT CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME) AS what, DEFINER AS definer FROM information_schema.VIEWS \
     UNION ALL SELECT CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME), DEFINER FROM information_schema.TRIGGERS \
     UNION ALL SELECT CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME), DEFINER FROM information_schema.EVENTS \
     UNION ALL SELECT CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, '.', ROUTINE_NAME), DEFINER FROM information_schema.ROUTINES\
     ) o WHERE LEFT(o.definer, CHAR_LENGTH(o.definer) - LOCATE('@', REVERSE(o.definer))) IN (?, ?) ORDER BY 1";

pub(super) struct Look<'a> {
    pub connection: &'a mut MySqlConnection,
    pub peer: &'a Peer,
}

impl Look<'_> {
    async fn users(&mut self, dialect: &Dialect, name: &str) -> Result<Vec<User>, EngineError> {
        let sql = if dialect.is_mariadb() {
            MARIADB_ACCOUNTS
        } else {
            MYSQL_ACCOUNTS
        };
        let mut users = Vec::new();
        for (host, json) in self
            .pairs("reading the pair's accounts", sql, &[name])
            .await?
        {
            let account = Account::new(name, &host);
            let (definition, default_roles) = if dialect.is_mariadb() {
                let mut row: MariadbRow = read(&json)?;
                if row.is_role {
                    continue;
                }
                let role = std::mem::take(&mut row.default_role);
                let role = (!role.is_empty()).then_some(Account {
                    user: role,
                    host: None,
                });
                (row.definition(), role.into_iter().collect())
            } else {
                let row: MysqlRow = read(&json)?;
                let roles = self
                    .pairs("reading default roles", MYSQL_DEFAULT_ROLES, &[name, &host])
                    .await?;
                let roles = roles.iter().map(|(user, host)| Account::new(user, host));
                (row.definition(), roles.collect())
            };
            users.push(User {
                grants: self.grants(&format!("SHOW GRANTS FOR {account}")).await?,
                account,
                definition,
                default_roles,
            });
        }
        Ok(users)
    }

    /// Carries out `SHOW GRANTS` and reads every line of it.
    pub(super) async fn grants(&mut self, show: &str) -> Result<Grants, EngineError> {
        const WHAT: &str = "reading grants";
        let rows = sqlx::raw_sql(AssertSqlSafe(show.to_owned()))
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|error| self.peer.explain(WHAT, false, error))?;
        let mut grants = Grants::default();
        for row in rows {
            let line: String = row
                .try_get(0)
                .map_err(|error| self.peer.explain(WHAT, false, error))?;
            parse::line(&line, &mut grants).map_err(|_| not_understood(WHAT))?;
        }
        Ok(grants)
    }

    async fn schema(&mut self, schema: &str, into: &mut Existing) -> Result<(), EngineError> {
        for (table, column) in self.pairs("reading tables", COLUMNS, &[schema]).await? {
            let key = (schema.to_owned(), table);
            into.tables.entry(key).or_default().insert(column);
        }
        for (kind, name) in self.pairs("reading routines", ROUTINES, &[schema]).await? {
            into.routines.insert((kind, schema.to_owned(), name));
        }
        into.schemas.insert(schema.to_owned());
        Ok(())
    }

    async fn definers(&mut self, one: &str, other: &str) -> Result<Vec<Definer>, EngineError> {
        let rows = self
            .pairs("looking for DEFINER clauses", DEFINERS, &[one, other])
            .await?;
        let read = |(object, definer): (String, String)| {
            let (user, host) = definer.rsplit_once('@')?;
            // The comparison in SQL ignores case.
            (user == one || user == other).then(|| Definer {
                object,
                user: user.to_owned(),
                host: host.to_owned(),
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    async fn number(&mut self, sql: &'static str) -> Result<Option<i64>, EngineError> {
        sqlx::query_scalar(sql)
            .fetch_optional(&mut *self.connection)
            .await
            .map_err(|error| self.peer.explain("asking for a variable", false, error))
    }

    async fn pairs(
        &mut self,
        what: &str,
        sql: &'static str,
        values: &[&str],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let query = values
            .iter()
            .fold(sqlx::query_as(sql), |query, value| query.bind(*value));
        query
            .fetch_all(&mut *self.connection)
            .await
            .map_err(|error| self.peer.explain(what, false, error))
    }
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, EngineError> {
    // What serde says of a wrong value may quote it.
    serde_json::from_str(json).map_err(|_| not_understood("reading the pair's accounts"))
}

fn not_understood(what: &str) -> EngineError {
    EngineError::Refused {
        what: what.to_owned(),
        reason: "the server's answer is not understood".into(),
        hint: "this server may be a fork of MySQL or MariaDB, or a version that is not supported: please report it with the output of SHOW GRANTS and SHOW CREATE USER, hashes left out".into(),
    }
}
