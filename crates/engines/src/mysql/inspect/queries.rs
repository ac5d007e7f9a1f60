//! The queries of an inspection, and the parsing of their results.

use serde::de::DeserializeOwned;
use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use super::account::{MariadbRow, MysqlRow, PasswordAges};
use super::facts::{Master, User};
use crate::mysql::accounts;
use crate::mysql::connect::Connector;
use crate::mysql::dialect::Dialect;
use crate::mysql::grants::{Account, Grants};
use crate::mysql::parse::{self, UnknownLine};
use crate::{EngineError, timeouts};

const MARIADB_ACCOUNTS: &str = "SELECT CAST(Host AS CHAR), CAST(Priv AS CHAR) FROM mysql.global_priv WHERE User = ? ORDER BY Host";

const MYSQL_ACCOUNTS: &str = "SELECT CAST(Host AS CHAR), CAST(JSON_OBJECT(\
     'plugin', plugin, 'stored', HEX(authentication_string), 'ssl_type', ssl_type, \
     'ssl_cipher', CONVERT(ssl_cipher USING utf8mb4), \
     'x509_issuer', CONVERT(x509_issuer USING utf8mb4), \
     'x509_subject', CONVERT(x509_subject USING utf8mb4), \
     'max_questions', max_questions, 'max_updates', max_updates, \
     'max_connections', max_connections, 'max_user_connections', max_user_connections, \
     'expired', password_expired = 'Y', \
     'changed', CAST(UNIX_TIMESTAMP(password_last_changed) AS SIGNED), 'lifetime', password_lifetime, \
     'locked', account_locked = 'Y', 'history', Password_reuse_history, \
     'reuse_days', Password_reuse_time, 'require_current', Password_require_current, \
     'attributes', User_attributes) AS CHAR) FROM mysql.user WHERE User = ? ORDER BY Host";

const MYSQL_DEFAULT_ROLES: &str = "SELECT CAST(DEFAULT_ROLE_USER AS CHAR), CAST(DEFAULT_ROLE_HOST AS CHAR) \
     FROM mysql.default_roles WHERE USER = ? AND HOST = ?";

const READ_ONLY_MARIADB: &str =
    "SELECT CAST(@@global.read_only AS CHAR), CAST(@@global.innodb_read_only AS CHAR)";
const READ_ONLY_MYSQL: &str = "SELECT CAST(@@global.read_only AS CHAR), \
     CAST(@@global.super_read_only OR @@global.innodb_read_only AS CHAR)";
const HASHES_REFUSED: &str = "SELECT CAST(@@strict_password_validation = 1 AND EXISTS (\
     SELECT 1 FROM information_schema.PLUGINS \
     WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE') AS SIGNED)";

const PASSWORD_AGES: &str = "SELECT CAST(CAST(UNIX_TIMESTAMP() AS SIGNED) AS CHAR), \
     CAST(@@global.default_password_lifetime AS CHAR)";

/// The variable came with 8.0.24.
const DIGEST_ROUNDS: &str = "SHOW GLOBAL VARIABLES LIKE 'caching_sha2_password_digest_rounds'";

const PLUGINS: &str = "SELECT CAST(PLUGIN_NAME AS CHAR), CAST(PLUGIN_STATUS AS CHAR) \
     FROM information_schema.PLUGINS WHERE PLUGIN_NAME = ? AND PLUGIN_STATUS = 'ACTIVE'";

/// The admin connection, for read-only queries.
pub(in crate::mysql) struct Queries<'a> {
    pub connection: &'a mut MySqlConnection,
    pub connector: &'a Connector,
}

impl Queries<'_> {
    /// The accounts of a user at the listed hosts, or all; and the hosts of all.
    pub(in crate::mysql) async fn users(
        &mut self,
        dialect: &Dialect,
        name: &str,
        listed: Option<&[String]>,
    ) -> Result<(Vec<User>, Vec<String>), EngineError> {
        let (mut users, mut hosts) = (Vec::new(), Vec::new());
        for (host, json) in self.accounts(dialect, name).await? {
            if !is_role(dialect, &host) {
                hosts.push(host.clone());
            }
            if !accounts::is_listed(listed, &host) {
                continue;
            }
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
                grants: self.grants_of(&account).await?,
                account,
                definition,
                default_roles,
            });
        }
        Ok((users, hosts))
    }

    /// Hosts and definitions of the accounts of a user; in MariaDB also the role of that name.
    async fn accounts(
        &mut self,
        dialect: &Dialect,
        name: &str,
    ) -> Result<Vec<(String, String)>, EngineError> {
        let sql = if dialect.is_mariadb() {
            MARIADB_ACCOUNTS
        } else {
            MYSQL_ACCOUNTS
        };
        self.pairs("reading the pair's accounts", sql, &[name])
            .await
    }

    /// Hosts of all accounts of a user.
    pub(in crate::mysql) async fn hosts(
        &mut self,
        dialect: &Dialect,
        name: &str,
    ) -> Result<Vec<String>, EngineError> {
        let all = self.accounts(dialect, name).await?;
        let hosts = all.into_iter().map(|(host, _)| host);
        Ok(hosts.filter(|host| !is_role(dialect, host)).collect())
    }

    /// Grants of the account itself.
    pub(in crate::mysql) async fn grants_of(
        &mut self,
        account: &Account,
    ) -> Result<Grants, EngineError> {
        let show = format!("SHOW GRANTS FOR {account}");
        let mut grants = Grants::default();
        for line in self.grants(&show).await? {
            parse::line(&line, &mut grants).map_err(|unknown| unknown_grant(&show, &unknown))?;
        }
        Ok(grants)
    }

    /// Grants of this session: of its account, its active roles and PUBLIC.
    ///
    /// `roles`: the active roles of MySQL, which includes their privileges only where the statement
    /// names them.
    pub(in crate::mysql) async fn own_grants(
        &mut self,
        roles: Option<&str>,
    ) -> Result<Grants, EngineError> {
        let show = match roles {
            Some(roles) => format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}"),
            None => "SHOW GRANTS".to_owned(),
        };
        let lines = self.grants(&show).await?;
        parse::session(lines.iter().map(String::as_str))
            .map_err(|unknown| unknown_grant(&show, &unknown))
    }

    /// The lines of `SHOW GRANTS`.
    async fn grants(&mut self, show: &str) -> Result<Vec<String>, EngineError> {
        let query = sqlx::raw_sql(AssertSqlSafe(show.to_owned()));
        let rows = timeouts::statement(query.fetch_all(&mut *self.connection)).await;
        let lines = rows.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect());
        lines.map_err(|error| self.connector.explain("reading grants", false, error))
    }

    /// Whether MariaDB refuses hashes and accepts clear passwords only.
    pub(in crate::mysql) async fn hashes_refused(&mut self) -> Result<bool, EngineError> {
        let query =
            sqlx::query_scalar::<_, Option<i64>>(HASHES_REFUSED).fetch_one(&mut *self.connection);
        timeouts::statement(query)
            .await
            .map(|refused| refused == Some(1))
            .map_err(|error| {
                self.connector
                    .explain("reading how passwords are validated", false, error)
            })
    }

    /// Whether the server lets this master change no account.
    pub(in crate::mysql) async fn read_only(
        &mut self,
        dialect: &Dialect,
        master: &Master,
    ) -> Result<bool, EngineError> {
        let query = if dialect.is_mariadb() {
            READ_ONLY_MARIADB
        } else {
            READ_ONLY_MYSQL
        };
        let all = self.pairs("reading read_only", query, &[]).await?;
        let is_on = |value: &str| !matches!(value, "0" | "OFF");
        Ok(all.iter().any(|(read_only, of_all_users)| {
            is_on(of_all_users) || (is_on(read_only) && !master.writes_on_readers(dialect))
        }))
    }

    pub(super) async fn password_ages(&mut self) -> Result<PasswordAges, EngineError> {
        let what = "reading the server's time";
        let all = self.pairs(what, PASSWORD_AGES, &[]).await?;
        let [(now, lifetime)] = all.as_slice() else {
            return Err(unparsable(what));
        };
        let ages = now.parse().ok().zip(lifetime.parse().ok());
        let (now, default_lifetime) = ages.ok_or_else(|| unparsable(what))?;
        Ok(PasswordAges {
            now,
            default_lifetime,
        })
    }

    /// Whether the server has loaded the plugin.
    pub(in crate::mysql) async fn is_loaded(&mut self, plugin: &str) -> Result<bool, EngineError> {
        let active = self
            .pairs("reading the loaded plugins", PLUGINS, &[plugin])
            .await?;
        Ok(!active.is_empty())
    }

    /// MySQL's number of digest rounds in thousands, where the server reports it.
    pub(in crate::mysql) async fn digest_thousands(&mut self) -> Result<Option<u16>, EngineError> {
        let rounds = self
            .pairs("reading the number of digest rounds", DIGEST_ROUNDS, &[])
            .await?;
        let rounds = rounds
            .first()
            .and_then(|(_, rounds)| rounds.parse::<u32>().ok());
        Ok(rounds.and_then(|rounds| u16::try_from(rounds / 1000).ok()))
    }

    pub(super) async fn pairs(
        &mut self,
        what: &str,
        sql: &'static str,
        values: &[&str],
    ) -> Result<Vec<(String, String)>, EngineError> {
        let query = values
            .iter()
            .fold(sqlx::query_as(sql), |query, value| query.bind(*value));
        timeouts::statement(query.fetch_all(&mut *self.connection))
            .await
            .map_err(|error| self.connector.explain(what, false, error))
    }
}

/// Whether this is the host of a role of MariaDB.
fn is_role(dialect: &Dialect, host: &str) -> bool {
    dialect.is_mariadb() && host.is_empty()
}

fn read<T: DeserializeOwned>(json: &str) -> Result<T, EngineError> {
    // An error of serde may quote the value.
    serde_json::from_str(json).map_err(|_| unparsable("reading the pair's accounts"))
}

fn unknown_grant(show: &str, line: &UnknownLine) -> EngineError {
    let reason = match line.0.as_str() {
        "" => "a line is no grant that twinkey knows".to_owned(),
        text => format!("{text:?} is no grant that twinkey knows"),
    };
    EngineError::Refused {
        what: format!("reading the answer to {show}"),
        reason,
        hint: "revoke this grant if nothing needs it, and report the line: the server's version may be newer than this twinkey".into(),
    }
}

fn unparsable(what: &str) -> EngineError {
    EngineError::Refused {
        what: what.to_owned(),
        reason: "the server's answer cannot be parsed".into(),
        hint: "check the server's version: it may be a fork of MySQL or MariaDB, or not supported; otherwise report this with the output of SHOW GRANTS and SHOW CREATE USER, without hashes".into(),
    }
}
