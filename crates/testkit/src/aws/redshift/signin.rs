//! Sign-ins: the user of a statement and its credentials.

use serde_json::Value as Json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use twinkey_core::secret::ExposeSecret;
use twinkey_stores::stage::CURRENT;
use twinkey_stores::{SecretStore, Selector, StoreError};

use super::api_error::ApiError;
use super::pool::execute;
use super::request::ConnectionTarget;
use super::sql::{literal, quote};
use super::{IDENTITY, Redshift, password};

/// The credentials of a call, before the database verifies them.
#[derive(Clone)]
pub enum SignIn {
    /// The user of a secret, as at the submission.
    Password { user: String, password: String },
    /// Temporary credentials of a database user.
    User(String),
    /// The caller's identity, whose database user is created at its first use.
    Identity,
}

impl Redshift {
    /// Reads AWSCURRENT of the secret; its password is verified when a statement runs.
    pub(super) async fn sign_in(&self, target: &ConnectionTarget) -> Result<SignIn, ApiError> {
        if let Some(user) = &target.db_user {
            return Ok(SignIn::User(user.clone()));
        }
        let Some(secret) = &target.secret else {
            return Ok(SignIn::Identity);
        };
        let version = self.store.get(secret, Selector::Stage(CURRENT)).await;
        let version = version.map_err(|error| match error {
            StoreError::NotFound { .. } => {
                ApiError::invalid("Secrets Manager can't find the specified secret.")
            }
            other => ApiError::invalid(format!("Secrets Manager: {other}")),
        })?;
        let document: Json = serde_json::from_str(version.value.expose_secret())
            .map_err(|_| ApiError::invalid("The secret is no JSON"))?;
        let field = |name: &str| document[name].as_str().map(str::to_owned);
        if let (Some(named), Some(cluster)) = (field("dbClusterIdentifier"), &target.cluster)
            && named != *cluster
        {
            let why = "The cluster identifier does not match the one in the secret";
            return Err(ApiError::invalid(why));
        }
        match (field("username"), field("password")) {
            (Some(user), Some(password)) => Ok(SignIn::Password { user, password }),
            _ => Err(ApiError::invalid("The secret has no username and password")),
        }
    }

    /// Connects as that user, outside a transaction.
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

    /// Sets the user and its settings, as a sign-in does.
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
