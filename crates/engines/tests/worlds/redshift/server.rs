//! The stand-in, its superusers, and the removal of a world.

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use twinkey_core::aws::Aws;
use twinkey_core::secret::{ExposeSecret, Sensitive, verifier};
use twinkey_engines::redshift::Redshift;
use twinkey_engines::{Credentials, EngineContext, RedshiftOptions, Target, Tls, TlsMode};
use twinkey_testkit::aws::redshift::{CLUSTER, HOME};
use twinkey_testkit::aws::{StandIn, sdk_config};
use twinkey_testkit::postgres::Options;

use super::world::{Step, World};

/// The first user of the cluster, a superuser.
pub const MASTER: &str = "awsuser";
/// The second database.
pub const OTHER: &str = "archive";
pub const DATABASES: [&str; 2] = [HOME, OTHER];

pub struct Server {
    pub stand_in: StandIn,
    pub engine: Redshift,
    pub master: Credentials,
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Server {
    pub async fn start(bin: PathBuf) -> Self {
        let stand_in = StandIn::with_redshift(Options::new(bin)).await;
        let master = Credentials {
            username: MASTER.into(),
            password: Sensitive::from("Master-password-1".to_owned()),
        };
        let context = EngineContext {
            secret: "prod/shop".into(),
            master_secret: Some("master".into()),
            cluster: Some(CLUSTER.into()),
            workgroup: None,
            master_cluster: Some(CLUSTER.into()),
            master_workgroup: None,
            aws: Aws::from_config(sdk_config(&stand_in.url())),
        };
        let digest = verifier::md5(&master.password, MASTER);
        let create = format!(
            "CREATE USER {MASTER} CREATEUSER PASSWORD '{}'",
            digest.expose_secret()
        );
        let database = format!("CREATE DATABASE {OTHER}");
        stand_in.redshift().dba(HOME, &[&create, &database]).await;
        let document = json!({
            "engine": "redshift", "host": "stand-in", "dbname": HOME, "username": MASTER,
            "password": master.password.expose_secret(), "dbClusterIdentifier": CLUSTER,
        });
        let document = SecretString::from(document.to_string());
        let put = stand_in.store().create_or_put("master", &document).await;
        put.unwrap();
        Self {
            engine: Redshift::new(RedshiftOptions::default(), &context),
            stand_in,
            master,
        }
    }

    pub fn target() -> Target {
        Target {
            host: "stand-in".into(),
            address: None,
            port: None,
            dbname: Some(HOME.into()),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                ca_file: None,
            },
        }
    }

    pub async fn run(&self, step: &Step) -> Result<(), String> {
        if step.is_raw {
            let mut root = self.root(step.database).await;
            for sql in &step.sqls {
                execute(&mut root, sql).await?;
            }
            return Ok(());
        }
        let sqls: Vec<&str> = step.sqls.iter().map(String::as_str).collect();
        let redshift = self.stand_in.redshift();
        redshift
            .run_as(step.database, step.user.as_deref(), &sqls)
            .await
    }

    /// A session of PostgreSQL's superuser.
    pub async fn root(&self, database: &str) -> PgConnection {
        self.stand_in.redshift().root(database).await.unwrap()
    }

    /// Removes everything of a world, and makes the master a superuser again.
    pub async fn clear(&self, world: &World) {
        let roles = world.all_names();
        for database in DATABASES {
            let mut root = self.root(database).await;
            for schema in &world.schemas {
                let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", quoted(schema));
                execute(&mut root, &drop).await.unwrap();
            }
            for role in &roles {
                // It may be missing.
                let _ = execute(
                    &mut root,
                    &format!("DROP OWNED BY {} CASCADE", quoted(role)),
                )
                .await;
            }
            for table in ["extra", "models", "policies", "shared"] {
                let delete = format!("DELETE FROM pg_stand_in.{table}");
                execute(&mut root, &delete).await.unwrap();
            }
        }
        let mut root = self.root(HOME).await;
        for role in &roles {
            let drop = format!("DROP ROLE IF EXISTS {}", quoted(role));
            execute(&mut root, &drop).await.unwrap();
        }
        let back = [
            format!("ALTER USER {MASTER} CREATEUSER SYSLOG ACCESS RESTRICTED"),
            format!("REVOKE ROLE \"sys:secadmin\" FROM {MASTER}"),
            format!("REVOKE ROLE \"sys:monitor\" FROM {MASTER}"),
        ];
        let back: Vec<&str> = back.iter().map(String::as_str).collect();
        self.stand_in.redshift().dba(HOME, &back).await;
    }
}

pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), String> {
    let sql = AssertSqlSafe(sql.to_owned());
    let done = sqlx::raw_sql(sql).execute(connection).await;
    done.map(drop).map_err(|error| error.to_string())
}

/// The rows of a query with one column of text.
pub async fn rows(connection: &mut PgConnection, sql: &str) -> Vec<String> {
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    let rows = query.fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|error| panic!("{sql}: {error}"));
    rows.iter().map(|row| row.get(0)).collect()
}
