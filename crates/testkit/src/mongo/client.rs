//! Client of the MongoDB server for fixtures.

use std::path::Path;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use secrecy::ExposeSecret;
use twinkey_core::secret::Credentials;

/// Options of a sign-in.
pub struct SignIn<'a> {
    pub port: u16,
    /// The root certificate of the server's certificate; `None`: without TLS.
    pub ca_file: Option<&'a Path>,
    /// The database in which the user is defined.
    pub auth_database: &'a str,
    /// `None`: the best mechanism that the server reports.
    pub mechanism: Option<AuthMechanism>,
}

impl SignIn<'_> {
    /// Without TLS, for users that are defined in `admin`.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            ca_file: None,
            auth_database: "admin",
            mechanism: None,
        }
    }

    /// Signs in with a new client.
    ///
    /// # Errors
    /// The error of the driver.
    pub async fn connect(&self, credentials: &Credentials) -> Result<Client, Error> {
        let mut credential = Credential::default();
        credential.username = Some(credentials.username.clone());
        credential.password = Some(credentials.password.expose_secret().to_owned());
        credential.source = Some(self.auth_database.to_owned());
        credential.mechanism.clone_from(&self.mechanism);
        let mut options = ClientOptions::default();
        options.hosts = vec![ServerAddress::Tcp {
            host: "localhost".into(),
            port: Some(self.port),
        }];
        options.credential = Some(credential);
        options.direct_connection = Some(true);
        options.retry_writes = Some(false);
        options.app_name = Some("shop".into());
        options.server_selection_timeout = Some(Duration::from_secs(30));
        if let Some(ca_file) = self.ca_file {
            let mut tls = TlsOptions::default();
            tls.ca_file_path = Some(ca_file.to_owned());
            options.tls = Some(Tls::Enabled(tls));
        }
        let client = Client::with_options(options)?;
        run(&client, "admin", doc! { "connectionStatus": 1 }).await?;
        Ok(client)
    }
}

/// Runs a command.
///
/// # Errors
/// The error of the driver or of the server.
pub async fn run(client: &Client, database: &str, command: Document) -> Result<Document, Error> {
    client.database(database).run_command(command).await
}

/// The code of an error response.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refused) => Some(refused.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(refused)) => Some(refused.code),
        _ => None,
    }
}
