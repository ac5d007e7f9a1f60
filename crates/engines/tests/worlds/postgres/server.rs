//! A server of one version, and what its catalogue says about privileges.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Row};
use twinkey_core::secret::password::PasswordPolicy;
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::postgres::Postgres;
use twinkey_engines::{Credentials, PostgresOptions, Target, Tls, TlsMode};
use twinkey_testkit::postgres::{LocalPostgres, Options};

pub const MASTER: &str = "rdsmaster";

pub struct Server {
    postgres: LocalPostgres,
    pub version: u32,
    pub master: Credentials,
    pub engine: Postgres,
    /// The privileges of each kind of object (`acldefault`).
    pub privileges: BTreeMap<char, Vec<String>>,
    /// `pg_read_all_data` and the like.
    pub predefined_roles: Vec<String>,
}

pub fn new_password() -> Sensitive {
    PasswordPolicy::default().generate().unwrap()
}

/// `"a""b"`
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'a''b'`
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
    query.execute(connection).await.map(drop)
}

impl Server {
    pub async fn start(version: u32, bin: PathBuf) -> Self {
        let mut options = Options::new(bin);
        let settings = [
            "autovacuum=off",
            "allow_in_place_tablespaces=on",
            "max_connections=40",
        ];
        options.settings.extend(settings.map(str::to_owned));
        let mut server = Self {
            postgres: LocalPostgres::start(&options).unwrap(),
            version,
            master: Credentials {
                username: MASTER.into(),
                password: new_password(),
            },
            engine: Postgres::new(PostgresOptions::default()),
            privileges: BTreeMap::new(),
            predefined_roles: Vec::new(),
        };
        let mut superuser = server.connect("postgres", None).await.unwrap();
        let master = format!(
            "CREATE ROLE {MASTER} LOGIN CREATEROLE CREATEDB PASSWORD {}; \
             GRANT pg_read_all_stats TO {MASTER}",
            literal(server.master.password.expose_secret())
        );
        execute(&mut superuser, &master).await.unwrap();
        let kinds = "SELECT DISTINCT k::text, e.privilege_type \
             FROM unnest('{r,s,d,f,n,t,l,L,F,S,p,T}'::\"char\"[]) k, aclexplode(acldefault(k, 10)) e";
        for row in sqlx::query(kinds).fetch_all(&mut superuser).await.unwrap() {
            let kind = row.get::<String, _>(0).chars().next().unwrap();
            server.privileges.entry(kind).or_default().push(row.get(1));
        }
        server.privileges.values_mut().for_each(|all| all.sort());
        let roles = "SELECT rolname::text FROM pg_roles WHERE oid < 16384 AND NOT rolsuper \
             AND rolname <> 'pg_database_owner' ORDER BY 1";
        let roles = sqlx::query_scalar(roles).fetch_all(&mut superuser).await;
        server.predefined_roles = roles.unwrap();
        server
    }

    /// Name of the superuser.
    pub fn superuser(&self) -> &str {
        &self.postgres.superuser().username
    }

    /// A connection; `None`: as the superuser.
    pub async fn connect(
        &self,
        database: &str,
        who: Option<&Credentials>,
    ) -> Result<PgConnection, sqlx::Error> {
        let is_superuser = who.is_none();
        let who = who.unwrap_or_else(|| self.postgres.superuser());
        let options = PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.postgres.port())
            .username(&who.username)
            .password(who.password.expose_secret())
            .database(database)
            .ssl_mode(PgSslMode::Disable);
        // A world may choose a role for every session in a database.
        let options = if is_superuser {
            options.options([("role", "none")])
        } else {
            options
        };
        PgConnection::connect_with(&options).await
    }

    pub fn target(&self, database: &str) -> Target {
        Target {
            address: None,
            host: "127.0.0.1".into(),
            port: Some(self.postgres.port()),
            dbname: Some(database.into()),
            tls: Tls {
                mode: TlsMode::Disable,
                ca_file: None,
            },
        }
    }
}
