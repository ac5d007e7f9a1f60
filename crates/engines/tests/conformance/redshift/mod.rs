//! Conformance on the strict stand-in of Redshift, provisioned and Serverless.
//!
//! A place is a schema of the home database. Another database has a schema of the same name. Only
//! the engine uses the Data API; the fixture connects to the PostgreSQL server behind it.

mod copies;
mod harness;
pub mod manual;
pub mod sentences;

use secrecy::SecretString;
use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_core::aws::Aws;
use twinkey_core::secret::{ExposeSecret, verifier};
use twinkey_engines::redshift::Redshift;
use twinkey_engines::{Credentials, EngineContext, RedshiftOptions};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use crate::passwords::new_password;
use twinkey_testkit::aws::redshift::{CLUSTER, HOME, WORKGROUP};
use twinkey_testkit::aws::{StandIn, sdk_config};

/// The first user of the cluster, a superuser.
pub const MASTER: &str = "awsuser";
/// The name of the rotated secret.
pub const SECRET: &str = "prod/shop";
/// The second database.
pub const OTHER: &str = "archive";

/// The kind of deployment; the stand-in has the same databases in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    Provisioned,
    Serverless,
}

pub struct Server {
    pub stand_in: StandIn,
    deployment: Deployment,
    pub master: Credentials,
    pub engine: Redshift,
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The digest of the user's password for `CREATE USER`.
fn digest(user: &Credentials) -> String {
    let digest = verifier::md5(&user.password, &user.username);
    digest.expose_secret().to_owned()
}

impl Server {
    pub async fn start(deployment: Deployment) -> Self {
        let mut options = Options::new(LocalPostgres::find(None).unwrap());
        options.settings.push("log_statement=all".into());
        let stand_in = StandIn::with_redshift(options).await;
        let master = Credentials {
            username: MASTER.into(),
            password: new_password(),
        };
        let context = context(&stand_in, deployment);
        let server = Self {
            engine: Redshift::new(RedshiftOptions::default(), &context),
            stand_in,
            deployment,
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

    /// Runs Redshift SQL as a superuser without the Data API.
    pub async fn dba(&self, database: &str, statements: &[&str]) {
        self.stand_in.redshift().dba(database, statements).await;
    }

    /// Connects as an application, over the PostgreSQL protocol.
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
        if self.deployment == Deployment::Provisioned {
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

/// The engine context of a run.
fn context(stand_in: &StandIn, deployment: Deployment) -> EngineContext {
    EngineContext {
        secret: SECRET.into(),
        master_secret: Some("master".into()),
        cluster: (deployment == Deployment::Provisioned).then(|| CLUSTER.into()),
        workgroup: (deployment == Deployment::Serverless).then(|| WORKGROUP.into()),
        master_cluster: (deployment == Deployment::Provisioned).then(|| CLUSTER.into()),
        master_workgroup: (deployment == Deployment::Serverless).then(|| WORKGROUP.into()),
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
