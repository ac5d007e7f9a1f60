//! Many pairs on one PostgreSQL, each with its secret, table and rotation, and a checker that does
//! not use twinkey.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use twinkey_stores::{SecretStore, Selector, VersionId, stage};

use super::{Backend, Environment, FIRST, MASTER_SECRET, Setup, run};

/// An environment with many pairs.
pub struct ManyPairs {
    pub env: Environment,
    pub count: usize,
}

/// The base user of a pair, and the name of its rotation and of its schema.
pub fn name(pair: usize) -> String {
    format!("p{pair:02}")
}

/// The name of a pair's secret.
pub fn secret(pair: usize) -> String {
    format!("pairs/{}", name(pair))
}

impl ManyPairs {
    pub async fn open(count: usize, backend: Backend) -> Self {
        Self::open_with(Setup::default(), count, backend).await
    }

    pub async fn open_with(setup: Setup, count: usize, backend: Backend) -> Self {
        Self::add_to(Environment::open_with(setup, backend).await, count).await
    }

    /// Adds pairs to an environment.
    pub async fn add_to(env: Environment, count: usize) -> Self {
        let mut root = env.root("shop").await;
        let mut master = env.connect("rdsmaster", &env.master, "shop").await.unwrap();
        for pair in 0..count {
            let user = name(pair);
            run(
                &mut master,
                &format!("CREATE ROLE {user} LOGIN PASSWORD '{FIRST}'"),
            )
            .await;
            for statement in [
                format!("CREATE SCHEMA {user} AUTHORIZATION {user}"),
                format!("CREATE TABLE {user}.orders (id int)"),
                format!("ALTER TABLE {user}.orders OWNER TO {user}"),
            ] {
                run(&mut root, &statement).await;
            }
            env.put(&secret(pair), &env.document(&user, FIRST)).await;
        }
        Self { env, count }
    }

    /// A config: `head` precedes the rotations, and `each` has additional keys of every rotation.
    pub fn config(&self, head: &str, each: &str) -> String {
        let rotations: String = (0..self.count)
            .map(|pair| {
                format!(
                    "[[rotation]]\nname = \"{}\"\nsecret = \"{}\"\nmaster_secret = \"{MASTER_SECRET}\"\ntls = {{ mode = \"disable\" }}\n{each}\n",
                    name(pair),
                    secret(pair)
                )
            })
            .collect();
        format!("{head}\n{rotations}")
    }

    /// The document with a label, and its version.
    pub async fn read(
        &self,
        store: &dyn SecretStore,
        pair: usize,
        label: &str,
    ) -> Option<(Json, VersionId)> {
        let version = store
            .get(&secret(pair), Selector::Stage(label))
            .await
            .ok()?;
        let document = serde_json::from_str(version.value.expose_secret()).unwrap_or_default();
        Some((document, version.version_id))
    }

    /// Checks that AWSCURRENT signs in and has its privileges.
    ///
    /// # Errors
    /// The check that failed. If AWSCURRENT moves during the check, the check is repeated.
    pub async fn check(&self, store: &dyn SecretStore, pair: usize) -> Result<(), String> {
        loop {
            let current = self.read(store, pair, stage::CURRENT).await;
            let (document, id) = current.ok_or("AWSCURRENT cannot be read")?;
            let Err(error) = self.works(&document, pair).await else {
                return Ok(());
            };
            let now = self.read(store, pair, stage::CURRENT).await;
            if now.is_some_and(|(_, now)| now == id) {
                return Err(format!("{} in version {id}: {error}", name(pair)));
            }
        }
    }

    /// Opens a connection with a document and inserts a row.
    ///
    /// # Errors
    /// The error of the driver.
    pub async fn works(&self, document: &Json, pair: usize) -> Result<(), sqlx::Error> {
        let password = SecretString::from(document["password"].as_str().unwrap_or_default());
        let user = document["username"].as_str().unwrap_or_default();
        let mut connection = self.env.connect(user, &password, "shop").await?;
        let insert = format!("INSERT INTO {}.orders VALUES (1)", name(pair));
        sqlx::raw_sql(sqlx::AssertSqlSafe(insert))
            .execute(&mut connection)
            .await?;
        sqlx::Connection::close(connection).await
    }
}
