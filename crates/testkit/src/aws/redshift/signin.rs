//! As whom statements run, and whether they may.

use serde_json::Value as Json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use twinkey_core::secret::ExposeSecret;
use twinkey_stores::stage::CURRENT;
use twinkey_stores::{SecretStore, Selector, StoreError};

use super::pool::execute;
use super::refusal::Refusal;
use super::request::Place;
use super::sql::{literal, quote};
use super::{IDENTITY, Redshift, password};

/// As whom, before the database was asked.
#[derive(Clone)]
pub enum SignIn {
    /// Of a secret, as it was at the submission.
    Password { user: String, password: String },
    /// Temporary credentials of a database user.
    User(String),
    /// Of the caller, whose database user is made at the first use.
    Identity,
}

impl Redshift {
    /// Reads the secret, at AWSCURRENT. Whether its password is right shows when a statement runs.
    pub(super) async fn sign_in(&self, place: &Place) -> Result<SignIn, Refusal> {
        if let Some(user) = &place.db_user {
            return Ok(SignIn::User(user.clone()));
        }
        let Some(secret) = &place.secret else {
            return Ok(SignIn::Identity);
        };
        let version = self.store.get(secret, Selector::Stage(CURRENT)).await;
        let version = version.map_err(|error| match error {
            StoreError::NotFound { .. } => {
                Refusal::invalid("Secrets Manager can't find the specified secret.")
            }
            other => Refusal::invalid(format!("Secrets Manager: {other}")),
        })?;
        let document: Json = serde_json::from_str(version.value.expose_secret())
            .map_err(|_| Refusal::invalid("The secret is no JSON"))?;
        let field = |name: &str| document[name].as_str().map(str::to_owned);
        if let (Some(named), Some(cluster)) = (field("dbClusterIdentifier"), &place.cluster)
            && named != *cluster
        {
            let why = "The cluster identifier does not match the one in the secret";
            return Err(Refusal::invalid(why));
        }
        match (field("username"), field("password")) {
            (Some(user), Some(password)) => Ok(SignIn::Password { user, password }),
            _ => Err(Refusal::invalid("The secret has no username and password")),
        }
    }

    /// A connection as that user, outside of any transaction.
    ///
    /// # Errors
    /// The server's message.
    pub(super) async fn connect(
        &self,
        database: &str,
        sign_in: &SignIn,
    ) -> Result<(PgConnection, String), String> {
        let mut connection = match self.take(database).await {
            Ok(connection) => connection,
            Err(sqlx::Error::Database(error)) => return Err(format!("FATAL: {}", error.message())),
            Err(error) => panic!("{error}"),
        };
        let user = self.authenticate(&mut connection, sign_in).await?;
        self.become_user(&mut connection, &user).await;
        Ok((connection, user))
    }

    async fn authenticate(
        &self,
        root: &mut PgConnection,
        sign_in: &SignIn,
    ) -> Result<String, String> {
        let user = match sign_in {
            SignIn::Password { user, .. } | SignIn::User(user) => user.clone(),
            SignIn::Identity => IDENTITY.to_owned(),
        };
        let find = format!(
            "SELECT note ->> 'password', coalesce(rolvaliduntil < now(), false) \
             FROM pg_stand_in.identities JOIN pg_authid ON oid = id WHERE kind = 'user' AND name = {}",
            literal(&user)
        );
        let found = sqlx::query(AssertSqlSafe(find))
            .fetch_optional(&mut *root)
            .await
            .unwrap();
        match (sign_in, found) {
            (SignIn::Password { password, .. }, found) => {
                let refused = format!("FATAL: password authentication failed for user \"{user}\"");
                let row = found.ok_or(refused.clone())?;
                let stored: Option<String> = row.get(0);
                let is_right =
                    stored.is_some_and(|stored| password::holds(&stored, password, &user));
                if is_right && !row.get::<bool, _>(1) {
                    Ok(user)
                } else {
                    Err(refused)
                }
            }
            (SignIn::User(_), None) => Err(format!("FATAL: user \"{user}\" does not exist")),
            (SignIn::Identity, None) => {
                let name = quote(&user);
                let note = literal("{\"kind\": \"user\"}");
                for sql in [
                    format!("CREATE ROLE {name} LOGIN"),
                    format!("COMMENT ON ROLE {name} IS {note}"),
                ] {
                    execute(root, &sql).await.unwrap();
                }
                Ok(user)
            }
            (_, Some(_)) => Ok(user),
        }
    }

    /// With the user's own rights and settings, as a sign-in would.
    async fn become_user(&self, connection: &mut PgConnection, user: &str) {
        let name = literal(user);
        let settings = format!(
            "SELECT unnest(setconfig), oid::text FROM pg_authid \
             LEFT JOIN pg_db_role_setting ON setrole = oid AND setdatabase = 0 WHERE rolname = {name}"
        );
        let settings = sqlx::query(AssertSqlSafe(settings))
            .fetch_all(&mut *connection)
            .await
            .unwrap();
        let whose = format!(
            "SELECT set_config('application_name', 'data api: ' || oid, false) FROM pg_authid WHERE rolname = {name}"
        );
        execute(connection, &whose).await.unwrap();
        execute(connection, &format!("SET SESSION AUTHORIZATION {name}"))
            .await
            .unwrap();
        for row in settings {
            let setting: Option<String> = row.get(0);
            if let Some((key, value)) = setting.as_deref().and_then(|s| s.split_once('=')) {
                let (key, value) = (literal(key), literal(value));
                execute(
                    connection,
                    &format!("SELECT set_config({key}, {value}, false)"),
                )
                .await
                .unwrap();
            }
        }
    }
}
