//! Redshift in the fault matrix, on the stand-in. A cell has a schema in place of a database, because
//! an inspection reads each database of the cluster.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use twinkey_testkit::aws::StandIn;
use twinkey_testkit::aws::redshift::{CLUSTER, HOME};
use twinkey_testkit::environment::{FIRST, run};
use twinkey_testkit::postgres::{LocalPostgres, Options};

use super::cell::{Cell, MASTER_PASSWORD, Names};
use super::{MatrixEngine, driver};

struct Redshift {
    stand_in: StandIn,
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_redshift_is_named_first_and_mended() {
    let options = Options::new(LocalPostgres::find(None).unwrap());
    let stand_in = StandIn::with_redshift(options).await;
    driver::run_rows(&Redshift { stand_in }).await;
}

impl Redshift {
    async fn root(&self) -> PgConnection {
        self.stand_in.redshift().root(HOME).await.unwrap()
    }
}

impl MatrixEngine for Redshift {
    const SERVER_DATABASE: &'static str = HOME;
    type Session = PgConnection;

    fn name(&self) -> &'static str {
        "redshift"
    }

    fn stand_in(&self) -> &StandIn {
        &self.stand_in
    }

    fn port(&self) -> u16 {
        self.stand_in.redshift().server().port()
    }

    fn ca_file(&self) -> Option<&Path> {
        None
    }

    fn document(&self, _: &Names, user: &str, password: &str) -> Json {
        json!({
            "engine": "redshift", "host": "127.0.0.1",
            "port": self.port(), "username": user, "password": password, "dbname": HOME,
            "dbClusterIdentifier": CLUSTER,
        })
    }

    async fn create(&self, names: &Names) {
        let Names {
            user,
            master,
            database: schema,
            ..
        } = names;
        let statements = [
            format!("CREATE USER \"{master}\" PASSWORD '{MASTER_PASSWORD}' CREATEUSER"),
            format!("CREATE USER \"{user}\" PASSWORD '{FIRST}'"),
            format!("CREATE SCHEMA {schema}"),
            format!("GRANT USAGE ON SCHEMA {schema} TO PUBLIC"),
            format!("CREATE TABLE {schema}.orders (id int)"),
            format!("GRANT SELECT, INSERT ON {schema}.orders TO \"{user}\""),
        ];
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        self.stand_in.redshift().dba(HOME, &statements).await;
    }

    async fn execute(&self, _: &str, statement: &str) -> Result<(), String> {
        let statements: Vec<&str> = statement.split("; ").collect();
        let redshift = self.stand_in.redshift();
        redshift.run_as(HOME, None, &statements).await
    }

    async fn sign_in(
        &self,
        user: &str,
        password: &SecretString,
        _: &str,
    ) -> Result<PgConnection, String> {
        let server = self.stand_in.redshift().server();
        let options = PgConnectOptions::new_without_pgpass()
            .host(server.host())
            .port(server.port())
            .username(user)
            .password(password.expose_secret())
            .database(HOME)
            .ssl_mode(PgSslMode::Disable);
        let connected = PgConnection::connect_with(&options).await;
        connected.map_err(|error| error.to_string())
    }

    async fn execute_in(session: &mut PgConnection, statement: &str) {
        run(session, statement).await;
    }

    async fn close(session: PgConnection) {
        session.close().await.unwrap();
    }

    async fn stored(&self, user: &str) -> String {
        let sql = format!(
            "SELECT coalesce(max(row_to_json(s)::text), '') || ' ' || coalesce((\
               SELECT string_agg(row_to_json(g)::text, ' ' ORDER BY 1) FROM pg_stand_in.granted g \
               JOIN pg_stand_in.identities i ON i.id = grantee WHERE i.name = '{user}'), '') \
             FROM pg_shadow s WHERE usename = '{user}'"
        );
        let sql = sql.replace("ORDER BY 1", "ORDER BY row_to_json(g)::text");
        let stored = sqlx::query_scalar(AssertSqlSafe(sql));
        stored.fetch_one(&mut self.root().await).await.unwrap()
    }

    async fn act(cell: &mut Cell<'_, Self>, name: &str) {
        let Names {
            user,
            clone,
            database: schema,
            ..
        } = cell.names.clone();
        let mut root = cell.engine.root().await;
        let policy = |grantee: &str| {
            format!(
                "INSERT INTO pg_stand_in.policies VALUES ('rls', 'own_rows', '{schema}', 'orders', '{grantee}')"
            )
        };
        match name {
            "a run of another worker" => {
                let lease = format!(
                    "INSERT INTO twinkey.locks VALUES ('{user}', 'another', getdate() + interval '1 minute')"
                );
                cell.engine.execute(HOME, &lease).await.unwrap();
            }
            "a row policy of the user" => run(&mut root, &policy(&user)).await,
            "the same row policy of the clone" => run(&mut root, &policy(&clone)).await,
            "a grant of a third user to the standby" => {
                let lender = format!("{schema}_lender");
                let table = format!("{schema}.orders");
                for statement in [
                    format!("CREATE USER \"{lender}\" PASSWORD DISABLE"),
                    format!("GRANT USAGE ON SCHEMA {schema} TO \"{lender}\""),
                    format!("GRANT UPDATE ON {table} TO \"{lender}\" WITH GRANT OPTION"),
                ] {
                    cell.engine.execute(HOME, &statement).await.unwrap();
                }
                run(
                    &mut root,
                    &format!("SET SESSION AUTHORIZATION \"{lender}\""),
                )
                .await;
                run(&mut root, &format!("GRANT UPDATE ON {table} TO \"{user}\"")).await;
            }
            "the third user revokes it" => {
                let lender = format!("{schema}_lender");
                run(
                    &mut root,
                    &format!("SET SESSION AUTHORIZATION \"{lender}\""),
                )
                .await;
                run(
                    &mut root,
                    &format!("REVOKE UPDATE ON {schema}.orders FROM \"{user}\""),
                )
                .await;
            }
            _ => panic!("no step {name:?}"),
        }
    }
}
