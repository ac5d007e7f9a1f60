//! MariaDB and MySQL with a master like that of RDS. A namespace is a schema in which the base user
//! has all privileges. A second schema, `…_shared`, has the objects of the tested privileges.
//!
//! In grants the underscores of schema names are escaped, because they are wildcards there.

mod harness;
pub mod locks;
pub mod sentences;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::Credentials;
use twinkey_engines::mysql::Mysql;
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options, Program};

use crate::passwords::new_password;
use twinkey_testkit::pki::Pki;

pub const MASTER: &str = "rdsmaster";

pub struct Server {
    mysql: LocalMysql,
    flavor: Flavor,
    master: Credentials,
    engine: Mysql,
    pki: Pki,
}

/// The user's account for every host.
pub fn account(user: &str) -> String {
    let user = user.replace('\\', "\\\\").replace('\'', "''");
    format!("'{user}'@'%'")
}

/// A schema's pattern for a grant.
pub fn pattern(schema: &str) -> String {
    format!("`{}`", schema.replace('_', "\\_"))
}

pub async fn run(connection: &mut MySqlConnection, sql: &str) {
    try_run(connection, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn try_run(connection: &mut MySqlConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}

impl Server {
    pub async fn start(program: Program) -> Self {
        let pki = Pki::new();
        let mut options = Options::new(program);
        options.settings.push("general_log=ON".into());
        options.tls = Some(pki.server.clone());
        let mysql = LocalMysql::start(&options).unwrap();
        let flavor = mysql.flavor();
        let server = Self {
            mysql,
            flavor,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: match flavor {
                Flavor::Mariadb => Mysql::of_mariadb(),
                Flavor::Mysql => Mysql::of_mysql(),
            },
            pki,
        };
        server.make_user(&server.master).await;
        // The superuser may then grant PROXY, as that of an installation may.
        let proxy = format!(
            "INSERT INTO mysql.proxies_priv VALUES ('%', '{}', '', '', 1, '', NOW()); FLUSH PRIVILEGES",
            server.superuser().username
        );
        server.sql(&proxy).await;
        let master = account(MASTER);
        server
            .sql(&format!(
                "GRANT CREATE USER, PROCESS ON *.* TO {master}; GRANT SELECT ON mysql.* TO {master}"
            ))
            .await;
        server
    }

    pub async fn connect_as(&self, schema: &str, who: &Credentials) -> MySqlConnection {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.mysql.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(schema)
            .ssl_mode(MySqlSslMode::Required);
        MySqlConnection::connect_with(&options).await.unwrap()
    }

    /// As the superuser.
    pub async fn sql(&self, sql: &str) {
        let mut connection = self.connect_as("mysql", self.mysql.superuser()).await;
        run(&mut connection, sql).await;
    }

    pub fn superuser(&self) -> &Credentials {
        self.mysql.superuser()
    }

    /// Executes statements without logging them: the log is searched for passwords.
    pub async fn quietly(&self, sql: &str) {
        // The server logs a batch as a whole, before it executes the first statement.
        let mut connection = self.connect_as("mysql", self.superuser()).await;
        run(&mut connection, "SET sql_log_off = ON").await;
        run(&mut connection, sql).await;
    }

    async fn make_user(&self, user: &Credentials) {
        let name = account(&user.username);
        let password = user.password.expose_secret().replace('\\', "\\\\");
        let password = password.replace('\'', "''");
        self.quietly(&format!("CREATE USER {name} IDENTIFIED BY '{password}'"))
            .await;
    }
}
