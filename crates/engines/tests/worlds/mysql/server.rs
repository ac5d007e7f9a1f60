//! A server, its privileges by level, and the session of its superuser.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::mysql::Mysql;
use twinkey_engines::{Credentials, Target, Tls, TlsMode};
use twinkey_testkit::mysql::{Flavor, LocalMysql, Options, Program};
use twinkey_testkit::pki::Pki;

pub const MASTER: &str = "rdsmaster";

/// The privileges that `SHOW PRIVILEGES` lists, by the objects that they are granted on.
#[derive(Debug, Default)]
pub struct Privileges {
    pub global: Vec<String>,
    pub schema: Vec<String>,
    pub table: Vec<String>,
    pub routine: Vec<String>,
    /// MySQL's dynamic ones.
    pub dynamic: Vec<String>,
}

impl Privileges {
    /// # Panics
    /// If the server has a context that is unknown here: the worlds would lack those privileges.
    fn add(&mut self, name: &str, context: &str) {
        let name = name.to_uppercase();
        let levels: &[&str] = match (name.as_str(), context) {
            // These have statements of their own, or make an administrator.
            ("USAGE" | "PROXY" | "SUPER", "Server Admin")
            | ("GRANT OPTION", "Databases,Tables,Functions,Procedures") => &[],
            ("EVENT", "Server Admin") | (_, "Databases") => &["global", "schema"],
            (_, "Tables" | "Databases,Tables" | "Databases,Tables,Indexes") => {
                &["global", "schema", "table"]
            }
            (_, "Functions,Procedures") => &["global", "schema", "routine"],
            (_, "Server Admin") if name.contains('_') && !name.contains(' ') => &["dynamic"],
            (_, "Server Admin" | "Server" | "File access on server") => &["global"],
            _ => panic!("the context {context:?} of the privilege {name:?} is not known"),
        };
        for level in levels {
            let list = match *level {
                "global" => &mut self.global,
                "schema" => &mut self.schema,
                "table" => &mut self.table,
                "routine" => &mut self.routine,
                _ => &mut self.dynamic,
            };
            list.push(name.clone());
        }
    }
}

pub struct Server {
    mysql: LocalMysql,
    pub flavor: Flavor,
    pub master: Credentials,
    pub engine: Mysql,
    pub privileges: Privileges,
    pki: Pki,
}

/// A name in backquotes.
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text, under `NO_BACKSLASH_ESCAPES`.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub fn account(user: &str, host: &str) -> String {
    format!("{}@{}", ident(user), ident(host))
}

/// The error's number and message.
pub type SqlError = (u16, String);

pub async fn execute(connection: &mut MySqlConnection, sql: &str) -> Result<(), SqlError> {
    let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    query.execute(connection).await.map(drop).map_err(explain)
}

fn explain(error: sqlx::Error) -> SqlError {
    let number = error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<MySqlDatabaseError>())
        .map_or(0, MySqlDatabaseError::number);
    (number, error.to_string())
}

/// The rows as texts.
pub async fn rows(
    connection: &mut MySqlConnection,
    sql: &str,
) -> Result<Vec<Vec<String>>, SqlError> {
    let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    let rows = query.fetch_all(connection).await.map_err(explain)?;
    let text = |row: &sqlx::mysql::MySqlRow, at: usize| {
        let bytes: Option<Vec<u8>> = row.try_get_unchecked(at).unwrap_or_default();
        bytes.map_or_else(
            || "NULL".to_owned(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    };
    let texts = |row: &sqlx::mysql::MySqlRow| (0..row.len()).map(|at| text(row, at)).collect();
    Ok(rows.iter().map(texts).collect())
}

impl Server {
    pub async fn start(program: Program) -> Self {
        let pki = Pki::new();
        let mut options = Options::new(program);
        options.tls = Some(pki.server.clone());
        let mysql = LocalMysql::start(&options).unwrap();
        let flavor = mysql.flavor();
        let mut server = Self {
            mysql,
            flavor,
            master: Credentials {
                username: MASTER.into(),
                password: Sensitive::from("Master-of-the-worlds-1".to_owned()),
            },
            engine: match flavor {
                Flavor::Mariadb => Mysql::of_mariadb(),
                Flavor::Mysql => Mysql::of_mysql(),
            },
            privileges: Privileges::default(),
            pki,
        };
        let mut root = server.superuser().await;
        // The superuser may then grant PROXY, as that of an installation may.
        let proxy = format!(
            "INSERT INTO mysql.proxies_priv VALUES ('%', '{}', '', '', 1, '', NOW()); FLUSH PRIVILEGES",
            server.mysql.superuser().username
        );
        execute(&mut root, &proxy).await.unwrap();
        for row in rows(&mut root, "SHOW PRIVILEGES").await.unwrap() {
            server.privileges.add(&row[0], &row[1]);
        }
        server
    }

    pub fn is_mariadb(&self) -> bool {
        self.flavor == Flavor::Mariadb
    }

    /// A session without escapes in texts.
    pub async fn superuser(&self) -> MySqlConnection {
        let who = self.mysql.superuser();
        let mut connection = self.connect(who).await.unwrap();
        execute(&mut connection, MODE).await.unwrap();
        connection
    }

    pub async fn connect(&self, who: &Credentials) -> Result<MySqlConnection, SqlError> {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.mysql.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .ssl_mode(MySqlSslMode::Required);
        MySqlConnection::connect_with(&options)
            .await
            .map_err(explain)
    }

    pub fn target(&self) -> Target {
        Target {
            address: None,
            host: "localhost".into(),
            port: Some(self.mysql.port()),
            dbname: None,
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: Some(self.pki.ca_file.clone()),
            },
        }
    }

    /// A master with what the documentation demands; `broad`: with everything that RDS gives.
    pub async fn make_master(&self, root: &mut MySqlConnection, broad: bool) {
        let name = account(MASTER, "%");
        let password = literal(self.master.password.expose_secret());
        let mut all = format!(
            "DROP USER IF EXISTS {name}; CREATE USER {name} IDENTIFIED BY {password}; \
             GRANT CREATE USER, PROCESS ON *.* TO {name}; GRANT SELECT ON mysql.* TO {name}"
        );
        if broad {
            let global = self.privileges.global.iter();
            let global: Vec<&str> = global.map(String::as_str).collect();
            let global = global.join(", ");
            all += &format!("; GRANT {global} ON *.* TO {name} WITH GRANT OPTION");
        }
        execute(root, &all).await.unwrap();
    }
}

/// The `sql_mode` of the scripts.
pub const MODE: &str = "SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'";
