//! Somebody who speaks to the server itself, past the witness.

use std::path::Path;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{AuthMechanism, ClientOptions, Credential, ServerAddress, Tls, TlsOptions};
use secrecy::ExposeSecret;
use twinkey_core::secret::Credentials;

/// Where a client signs in, and how.
pub struct Door<'a> {
    pub port: u16,
    /// The root that the server's certificate is of; `None`: without TLS.
    pub ca_file: Option<&'a Path>,
    /// The database in which the user lives.
    pub users_in: &'a str,
    /// `None`: the best that the server has for the user.
    pub mechanism: Option<AuthMechanism>,
}

impl Door<'_> {
    /// In clear, for users who live in `admin`.
    pub fn at(port: u16) -> Self {
        Self {
            port,
            ca_file: None,
            users_in: "admin",
            mechanism: None,
        }
    }

    /// Signs in; what is given has one connection of its own.
    pub async fn sign_in(&self, who: &Credentials) -> Result<Client, Error> {
        let mut credential = Credential::default();
        credential.username = Some(who.username.clone());
        credential.password = Some(who.password.expose_secret().to_owned());
        credential.source = Some(self.users_in.to_owned());
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

/// Carries out a command.
pub async fn run(client: &Client, database: &str, command: Document) -> Result<Document, Error> {
    client.database(database).run_command(command).await
}

/// With which the server refused a command.
pub fn code(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refused) => Some(refused.code),
        ErrorKind::Write(mongodb::error::WriteFailure::WriteError(refused)) => Some(refused.code),
        _ => None,
    }
}
