//! Redshift as the strict stand-in plays it, provisioned and Serverless. A place is a schema of the
//! home database; another database has a schema of the same name, for privileges across databases.
//!
//! The Data API is asked by the engine alone: what the fixture does as a DBA or as an application goes to
//! the server behind it.

mod copies;
mod harness;
pub mod sentences;

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::aws::Aws;
use twinkey_core::secret::{ExposeSecret, verifier};
use twinkey_engines::redshift::Redshift;
use twinkey_engines::{Credentials, RedshiftOptions, Surroundings};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use crate::passwords::new_password;
use twinkey_testkit::aws::redshift::{CLUSTER, HOME, WORKGROUP};
use twinkey_testkit::aws::{StandIn, sdk_config};

/// The cluster's first user, a superuser.
pub const MASTER: &str = "awsuser";
/// The name of the secret that is rotated, as the engine knows it.
pub const SECRET: &str = "prod/shop";
/// Besides the home database.
pub const OTHER: &str = "archive";

/// Both are the same cluster here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Provisioned,
    Serverless,
}

pub struct Server {
    pub stand_in: StandIn,
    form: Form,
    pub master: Credentials,
    pub engine: Redshift,
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// With the digest in place of the password, as `CREATE USER` takes it.
fn digest(user: &Credentials) -> String {
    let digest = verifier::md5(&user.password, &user.username);
    digest.expose_secret().to_owned()
}

impl Server {
    pub async fn start(form: Form) -> Self {
        let mut options = Options::new(LocalPostgres::find(None).unwrap());
        options.settings.push("log_statement=all".into());
        let stand_in = StandIn::with_redshift(options).await;
        let master = Credentials {
            username: MASTER.into(),
            password: new_password(),
        };
        let surroundings = surroundings(&stand_in, form);
        let server = Self {
            engine: Redshift::new(RedshiftOptions::default(), &surroundings),
            stand_in,
            form,
            master,
        };
        let create = format!(
            "CREATE USER {MASTER} CREATEUSER PASSWORD '{}'",
            digest(&server.master)
        );
        let databases = format!("CREATE DATABASE {OTHER}");
        server.dba(HOME, &[&create, &databases]).await;
        server.keep("master", &server.master).await;
        server
    }

    /// In Redshift's SQL, past the Data API.
    pub async fn dba(&self, database: &str, statements: &[&str]) {
        self.stand_in.redshift().dba(database, statements).await;
    }

    /// As an application: over PostgreSQL's protocol.
    pub async fn connect_as(&self, database: &str, who: &Credentials) -> PgConnection {
        let server = self.stand_in.redshift().server();
        let options = PgConnectOptions::new_without_pgpass()
            .host(server.host())
            .port(server.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        PgConnection::connect_with(&options).await.unwrap()
    }

    /// Stores a user's secret under this name.
    pub async fn keep(&self, name: &str, who: &Credentials) {
        let mut document = json!({
            "engine": "redshift", "host": "stand-in", "dbname": HOME,
            "username": who.username, "password": who.password.expose_secret(),
        });
        if self.form == Form::Provisioned {
            document["dbClusterIdentifier"] = json!(CLUSTER);
        }
        let document = SecretString::from(Json::to_string(&document));
        self.stand_in
            .store()
            .create_or_put(name, &document)
            .await
            .unwrap();
    }
}

/// What a run would tell the engine of its secret.
fn surroundings(stand_in: &StandIn, form: Form) -> Surroundings {
    Surroundings {
        secret: SECRET.into(),
        master_secret: Some("master".into()),
        cluster: (form == Form::Provisioned).then(|| CLUSTER.into()),
        workgroup: (form == Form::Serverless).then(|| WORKGROUP.into()),
        aws: Aws::from_config(sdk_config(&stand_in.url())),
    }
}

pub async fn run(connection: &mut PgConnection, sql: &str) {
    try_run(connection, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

pub async fn try_run(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(connection)
        .await
        .map(drop)
}
