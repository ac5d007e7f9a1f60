//! The two applications of the demo: the same on two engines, each with its own secret and
//! rotation.

mod mariadb;
mod postgres;

use secrecy::{ExposeSecret, SecretString};

use crate::environment::DemoError;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::document::Document;
use twinkey_core::secret::password::PasswordPolicy;

/// An application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum App {
    Postgres,
    Mariadb,
}

/// A running database server of an application. Dropping it stops the server.
pub(super) struct RunningApp {
    /// The documents of the master's and of the application's secret.
    pub(super) master: SecretString,
    pub(super) app: SecretString,
    _server: Box<dyn Send + Sync>,
}

impl App {
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Mariadb];

    /// The value of the field `engine` in secrets.
    #[must_use]
    pub const fn engine(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mariadb => "mariadb",
        }
    }

    /// The name of the rotation.
    #[must_use]
    pub const fn rotation(self) -> &'static str {
        match self {
            Self::Postgres => "shop-postgres",
            Self::Mariadb => "shop-mariadb",
        }
    }

    /// The name of the application's secret.
    #[must_use]
    pub const fn secret(self) -> &'static str {
        match self {
            Self::Postgres => "demo/shop-postgres",
            Self::Mariadb => "demo/shop-mariadb",
        }
    }

    /// The name of the master secret.
    #[must_use]
    pub const fn master_secret(self) -> &'static str {
        match self {
            Self::Postgres => "demo/master-postgres",
            Self::Mariadb => "demo/master-mariadb",
        }
    }

    /// The probe of the rotation.
    pub(super) const fn probe(self) -> &'static str {
        match self {
            Self::Postgres => "SELECT count(*) FROM app.orders WHERE false",
            Self::Mariadb => "SELECT count(*) FROM orders WHERE false",
        }
    }

    /// Checks that its server is installed.
    pub(super) fn find_server(self) -> Result<(), DemoError> {
        match self {
            Self::Postgres => postgres::server().map(drop),
            Self::Mariadb => mariadb::server().map(drop),
        }
    }

    /// Starts its server, with a master that is not a superuser (as on RDS), and a user of the
    /// application with a table.
    pub(super) async fn open(self) -> Result<RunningApp, DemoError> {
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
        Ok(RunningApp {
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

    /// Opens a connection with a secret's document and writes a row. Returns the user that signed
    /// in.
    pub(super) async fn write_a_row(self, document: &Document) -> Result<String, sqlx::Error> {
        match self {
            Self::Postgres => postgres::write_a_row(document).await,
            Self::Mariadb => mariadb::write_a_row(document).await,
        }
    }
}

fn password() -> Result<Sensitive, DemoError> {
    PasswordPolicy::default()
        .generate()
        .map_err(|_| DemoError::Other("the random generator of the operating system failed".into()))
}
