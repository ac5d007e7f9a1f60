//! The application on PostgreSQL.

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};

use crate::environment::DemoError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_testkit::postgres::{LaunchError, LocalPostgres, Options};

pub(super) fn server() -> Result<Options, DemoError> {
    Ok(Options::new(LocalPostgres::find(None)?))
}

/// Starts a server with roles as on RDS: the master has CREATEROLE and creates the application's
/// user.
pub(super) async fn open(master: &Sensitive, app: &Sensitive) -> Result<LocalPostgres, DemoError> {
    let options = server()?;
    let start = move || -> Result<LocalPostgres, LaunchError> { LocalPostgres::start(&options) };
    let server = tokio::task::spawn_blocking(start)
        .await
        .map_err(|e| DemoError::Other(e.to_string()))??;
    let superuser = server.superuser();
    let to = |user: &str, password: &Sensitive, database: &str| {
        sign_in(user, password, database, server.port())
    };
    let quoted = |p: &Sensitive| format!("'{}'", p.expose_secret().replace('\'', "''"));
    let mut root = to(&superuser.username, &superuser.password, "postgres")
        .connect()
        .await?;
    let master_sql = format!(
        "CREATE ROLE rdsmaster LOGIN CREATEROLE CREATEDB PASSWORD {}",
        quoted(master)
    );
    root.execute(AssertSqlSafe(master_sql)).await?;
    let mut rds = to("rdsmaster", master, "postgres").connect().await?;
    let app_sql = format!("CREATE ROLE app LOGIN PASSWORD {}", quoted(app));
    rds.execute(AssertSqlSafe(app_sql)).await?;
    rds.execute("CREATE DATABASE shop").await?;
    rds.execute("GRANT CREATE ON DATABASE shop TO app").await?;
    let mut connection = to("app", app, "shop").connect().await?;
    connection.execute("CREATE SCHEMA app").await?;
    connection.execute("CREATE TABLE app.orders (id bigserial PRIMARY KEY, made_by name NOT NULL DEFAULT session_user)")
        .await?;
    Ok(server)
}

pub(super) async fn write_a_row(document: &Document) -> Result<String, sqlx::Error> {
    let fields = document.fields();
    let mut connection = sign_in(
        &fields.username,
        document.password(),
        fields.dbname.as_deref().unwrap_or("postgres"),
        fields.port.unwrap_or(5432),
    )
    .host(fields.host.as_deref().unwrap_or("127.0.0.1"))
    .connect()
    .await?;
    let row = sqlx::query("INSERT INTO app.orders DEFAULT VALUES RETURNING made_by::text")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    row.try_get(0)
}

fn sign_in(user: &str, password: &Sensitive, database: &str, port: u16) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password.expose_secret())
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .disable_statement_logging()
}
