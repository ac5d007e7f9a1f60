//! The application on MariaDB.

use secrecy::ExposeSecret;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::environment::DemoError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_testkit::mysql::{Flavor, LaunchError, LocalMysql, Options, text_literal};

pub(super) fn server() -> Result<Options, DemoError> {
    Ok(Options::new(LocalMysql::find(Flavor::Mariadb)?))
}

/// Starts a server with accounts as on RDS: the master, which is not a superuser, creates the
/// application's user. The master may create users, see their sessions, read their definitions, and
/// grant the application's privileges.
pub(super) async fn open(master: &Sensitive, app: &Sensitive) -> Result<LocalMysql, DemoError> {
    let options = server()?;
    let start = move || -> Result<LocalMysql, LaunchError> { LocalMysql::start(&options) };
    let server = tokio::task::spawn_blocking(start)
        .await
        .map_err(|e| DemoError::Other(e.to_string()))??;
    let superuser = server.superuser();
    let mut root = sign_in(&superuser.username, &superuser.password, server.port())
        .connect()
        .await?;
    root.execute("CREATE DATABASE shop").await?;
    root.execute(create_user("rdsmaster", master)).await?;
    for grant in [
        "GRANT CREATE USER, PROCESS ON *.* TO rdsmaster@'%'",
        "GRANT SELECT ON mysql.* TO rdsmaster@'%'",
        "GRANT ALL PRIVILEGES ON shop.* TO rdsmaster@'%' WITH GRANT OPTION",
    ] {
        root.execute(grant).await?;
    }
    let mut rds = sign_in("rdsmaster", master, server.port())
        .connect()
        .await?;
    rds.execute(create_user("app", app)).await?;
    rds.execute("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON shop.* TO app@'%'")
        .await?;
    let mut connection = sign_in("app", app, server.port())
        .database("shop")
        .connect()
        .await?;
    connection
        .execute(
            "CREATE TABLE orders (id bigint AUTO_INCREMENT PRIMARY KEY, \
         made_by varchar(80) NOT NULL DEFAULT (SUBSTRING_INDEX(USER(), '@', 1)))",
        )
        .await?;
    Ok(server)
}

fn create_user(name: &str, password: &Sensitive) -> AssertSqlSafe<String> {
    let password = text_literal(password.expose_secret());
    AssertSqlSafe(format!("CREATE USER {name}@'%' IDENTIFIED BY {password}"))
}

pub(super) async fn write_a_row(document: &Document) -> Result<String, sqlx::Error> {
    let fields = document.fields();
    let mut connection = sign_in(
        &fields.username,
        document.password(),
        fields.port.unwrap_or(3306),
    )
    .host(fields.host.as_deref().unwrap_or("127.0.0.1"))
    .database(fields.dbname.as_deref().unwrap_or("shop"))
    .connect()
    .await?;
    let row = sqlx::query("INSERT INTO orders () VALUES () RETURNING made_by")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    row.try_get(0)
}

fn sign_in(user: &str, password: &Sensitive, port: u16) -> MySqlConnectOptions {
    MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password.expose_secret())
        .ssl_mode(MySqlSslMode::Disabled)
        .disable_statement_logging()
}
