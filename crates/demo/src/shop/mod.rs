//! The two shops of the demo: the same application on two engines, each with a secret and a
//! rotation of its own.

mod mariadb;
mod postgres;

use secrecy::{ExposeSecret, SecretString};

use crate::stage::StageError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::password::PasswordPolicy;

/// Which shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shop {
    Postgres,
    Mariadb,
}

/// An open shop. Dropping it stops its server.
pub(super) struct Premises {
    /// The documents of the master's and of the application's secret.
    pub(super) master: SecretString,
    pub(super) app: SecretString,
    _server: Box<dyn Send + Sync>,
}

impl Shop {
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Mariadb];

    /// As the secrets' field `engine` names it.
    #[must_use]
    pub const fn engine(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    /// The rotation's name.
    #[must_use]
    pub const fn rotation(self) -> &'static str {
        match self {
            Self::Postgres => "shop-postgres",
            Self::Mariadb => "shop-mariadb",
        }
    }

    /// The application's secret.
    #[must_use]
    pub const fn secret(self) -> &'static str {
        match self {
            Self::Postgres => "demo/shop-postgres",
            Self::Mariadb => "demo/shop-mariadb",
        }
    }

    /// The master's.
    #[must_use]
    pub const fn master_secret(self) -> &'static str {
        match self {
            Self::Postgres => "demo/master-postgres",
            Self::Mariadb => "demo/master-mariadb",
        }
    }

    /// What the application must be able to do.
    pub(super) const fn probe(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT count(*) FROM app.orders WHERE false",
            Self::Mariadb => "SELECT count(*) FROM orders WHERE false",
        }
    }

    /// Whether its server is there to be started.
    pub(super) fn look_for_server(self) -> Result<(), StageError> {
        match self {
            Self::Postgres => postgres::server().map(drop),
            Self::Mariadb => mariadb::server().map(drop),
        }
    }

    /// Starts its server, with a master that is no superuser (as on RDS) and an application's user
    /// with a table.
    pub(super) async fn open(self) -> Result<Premises, StageError> {
        let (master, app) = (password()?, password()?);
        let (port, server): (u16, Box<dyn Send + Sync>) = match self {
            Self::Postgres => {
                let server = postgres::open(&master, &app).await?;
                (server.port(), Box::new(server))
            }
            Self::Mariadb => {
                let server = mariadb::open(&master, &app).await?;
                (server.port(), Box::new(server))
            }
        };
        Ok(Premises {
            master: self.document(port, "rdsmaster", &master),
            app: self.document(port, "app", &app),
            _server: server,
        })
    }

    fn document(self, port: u16, user: &str, password: &Sensitive) -> SecretString {
        let document = serde_json::json!({
            "engine": self.engine(), "host": "127.0.0.1", "port": port,
            "username": user, "password": password.expose_secret(), "dbname": "shop",
            "note": "fields that twinkey does not know survive",
        });
        SecretString::from(document.to_string())
    }

    /// Opens a connection with what the secret holds, and writes a row; gives the user that signed in.
    pub(super) async fn write_a_row(self, document: &Document) -> Result<String, sqlx::Error> {
        match self {
            Self::Postgres => postgres::write_a_row(document).await,
            Self::Mariadb => mariadb::write_a_row(document).await,
        }
    }
}

fn password() -> Result<Sensitive, StageError> {
    PasswordPolicy::default()
        .generate()
        .map_err(|_| StageError::Other("the operating system gave no randomness".into()))
}
