//! A stand-in of each service of AWS that twinkey rotates on, with masters as RDS, DocumentDB and
//! Redshift have them. `scripts/prove-on-aws --stand-in` runs against these.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value as Json, json};
use twinkey_core::secret::Credentials;
use twinkey_stores::SecretStore;

use crate::aws::StandIn;
use crate::aws::rds::RdsDatabase;
use crate::aws::redshift::{CLUSTER, HOME};
use crate::environment::{Database, mariadb, run};
use crate::mongo::client::{self, SignIn};
use crate::mongo::documentdb_rules::DocumentdbRule;
use crate::mongo::recording_relay::RecordingRelay;
use crate::mongo::server::MongoServer;
use crate::mysql::{Flavor, LocalMysql, Options as MysqlOptions};
use crate::pki::Pki;
use crate::postgres::{LocalPostgres, Options as PostgresOptions};

/// The name of each master.
pub const MASTER: &str = "rdsmaster";
/// The password of each master.
pub const MASTER_PASSWORD: &str = "Master-0123456789abcdefXYZ";
/// The empty database in which the proofs run.
pub const DATABASE: &str = "prove";
/// Roles of RDS for PostgreSQL, and its master. `{master}` and `{password}` are placeholders.
const RDS_ROLES: &str = "CREATE ROLE rds_superuser; CREATE ROLE rds_iam; CREATE ROLE rds_ad; \
     CREATE ROLE rds_replication; CREATE ROLE rds_password; \
     GRANT rds_replication, rds_password, pg_monitor TO rds_superuser WITH ADMIN OPTION; \
     CREATE ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD '{password}' IN ROLE rds_superuser";

/// The statements that create RDS's roles and its master on a PostgreSQL.
#[must_use]
pub fn rds_roles(master: &Credentials) -> String {
    RDS_ROLES
        .replace("{master}", &master.username)
        .replace("{password}", master.password.expose_secret())
}

/// Lines of `pg_hba.conf` as on RDS with `rds.force_ssl`: TLS only, md5 or SCRAM by the stored hash, and
/// `token_method` for members of `rds_iam`.
#[must_use]
pub fn rds_hba(token_method: &str) -> Vec<String> {
    vec![
        format!("hostssl all +rds_iam 127.0.0.1/32 {token_method}"),
        "hostssl all all 127.0.0.1/32 md5".into(),
        "hostnossl all all 127.0.0.1/32 reject".into(),
    ]
}

/// The running stand-ins. Dropping them stops them and removes their files.
pub struct StandIns {
    pub aws: StandIn,
    pub postgres: LocalPostgres,
    pub mariadb: LocalMysql,
    pub mongo: MongoServer,
    relay: RecordingRelay,
    pki: Pki,
}

impl StandIns {
    /// Starts all of them, and stores the secrets of their masters.
    ///
    /// # Panics
    /// A server is not installed, or does not start.
    pub async fn start() -> Self {
        let pki = Pki::new();
        let tls = pki.server.clone();
        let servers = tokio::task::spawn_blocking(move || {
            let bin = LocalPostgres::find(None).unwrap();
            let mut postgres = PostgresOptions::new(bin);
            postgres.tls = Some(tls.clone());
            postgres.settings.push("wal_level=logical".into());
            postgres.hba = rds_hba("reject");
            let program = LocalMysql::find(Flavor::Mariadb).unwrap();
            let mut mariadb = MysqlOptions::new(program);
            mariadb.tls = Some(tls);
            (
                LocalPostgres::start(&postgres).unwrap(),
                LocalMysql::start(&mariadb).unwrap(),
                MongoServer::start(None),
            )
        });
        let options = PostgresOptions::new(LocalPostgres::find(None).unwrap());
        let aws = StandIn::with_redshift(options).await;
        let (postgres, mariadb, mongo) = servers.await.unwrap();
        let relay = RecordingRelay::start(mongo.port(), Some(&pki.server)).await;
        relay.follow(&[
            DocumentdbRule::IdleConnectionsHaveNoUser,
            DocumentdbRule::NoUserAdmin,
        ]);
        let all = Self {
            aws,
            postgres,
            mariadb,
            mongo,
            relay,
            pki,
        };
        all.create_masters().await;
        all.store_masters().await;
        all
    }

    async fn create_masters(&self) {
        let master = Credentials {
            username: MASTER.into(),
            password: SecretString::from(MASTER_PASSWORD),
        };
        let root = Database::superuser(&self.postgres);
        let connecting = self
            .postgres
            .connect(&root.username, &root.password, "postgres");
        let mut root = connecting.await.unwrap();
        run(&mut root, &rds_roles(&master)).await;
        run(
            &mut root,
            &format!("CREATE DATABASE {DATABASE} OWNER {MASTER}"),
        )
        .await;

        let root = Database::superuser(&self.mariadb);
        let connecting = self
            .mariadb
            .connect(&root.username, &root.password, "mysql");
        let mut root = connecting.await.unwrap();
        for statement in [
            format!("CREATE DATABASE {DATABASE}"),
            format!("CREATE USER {MASTER}@'%' IDENTIFIED BY '{MASTER_PASSWORD}'"),
            format!(
                "GRANT {} ON *.* TO {MASTER}@'%' WITH GRANT OPTION",
                mariadb::RDS_MASTER
            ),
        ] {
            mariadb::run(&mut root, &statement).await;
        }

        let sign_in = SignIn::new(self.mongo.port());
        let root = sign_in.connect(self.mongo.superuser()).await.unwrap();
        let create = mongodb::bson::doc! {
            "createUser": MASTER, "pwd": MASTER_PASSWORD, "roles": ["root"],
        };
        client::run(&root, "admin", create).await.unwrap();

        let admin = format!("CREATE USER {MASTER} PASSWORD '{MASTER_PASSWORD}' CREATEUSER");
        let database = format!("CREATE DATABASE {DATABASE}");
        self.aws.redshift().dba(HOME, &[&admin, &database]).await;
    }

    /// RDS manages the master of PostgreSQL: its secret names no host.
    async fn store_masters(&self) {
        for (name, more) in [
            ("postgres", json!({})),
            ("mariadb", self.address(self.mariadb.port())),
            ("documentdb", self.address(self.relay.port())),
            ("redshift", json!({ "dbClusterIdentifier": CLUSTER })),
        ] {
            let mut document = more;
            document["username"] = json!(MASTER);
            document["password"] = json!(MASTER_PASSWORD);
            let text = SecretString::from(document.to_string());
            let store = self.aws.store();
            store.create_or_put(&secret(name), &text).await.unwrap();
        }
        let described = self.aws.store().describe(&secret("postgres")).await;
        let database = RdsDatabase {
            endpoint: Some(("localhost".into(), self.postgres.port())),
            reader: None,
            master_secret: Some(described.unwrap().arn),
            copies: Vec::new(),
        };
        self.aws.rds().add_instance(DATABASE, database);
    }

    /// The names of all users and collections of the MongoDB-wire server.
    ///
    /// # Panics
    /// The server does not answer.
    pub async fn mongo_names(&self) -> Vec<String> {
        let sign_in = SignIn::new(self.mongo.port());
        let root = sign_in.connect(self.mongo.superuser()).await.unwrap();
        let mut names = Vec::new();
        for database in [DATABASE, "twinkey", "admin"] {
            let users = mongodb::bson::doc! { "usersInfo": 1 };
            let users = client::run(&root, database, users).await.unwrap();
            let users = users.get_array("users").unwrap().iter();
            let users = users.filter_map(|user| user.as_document()?.get_str("user").ok());
            names.extend(users.map(str::to_owned));
            names.extend(
                root.database(database)
                    .list_collection_names()
                    .await
                    .unwrap(),
            );
        }
        names
    }

    fn address(&self, port: u16) -> Json {
        json!({ "host": "localhost", "port": port })
    }

    /// The endpoint of AWS's services, and the arguments of a proof on each engine.
    #[must_use]
    pub fn describe(&self) -> Json {
        let of = |engine: &str, name: &str| {
            json!({
                "engine": engine, "master": secret(name), "database": DATABASE,
                "ca_file": self.pki.ca_file,
            })
        };
        let mut redshift = of("redshift", "redshift");
        redshift["cluster"] = json!(CLUSTER);
        json!({
            "endpoint_url": self.aws.url(),
            "region": "eu-west-1",
            "proofs": [
                of("postgres", "postgres"),
                of("mysql", "mariadb"),
                of("documentdb", "documentdb"),
                redshift,
            ],
        })
    }
}

/// The name of a master's secret.
#[must_use]
pub fn secret(engine: &str) -> String {
    format!("prove-master/{engine}")
}
