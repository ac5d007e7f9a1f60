//! Connections of the MongoDB driver.
//!
//! # Failure modes
//! - A connection is weaker than configured. `relay` prevents it.
//! - The master connects to a reader, which accepts no commands on users. The reader names the
//!   primary, and the master connects there (`mod.rs`).
//! - A host does not respond. Connecting and each command have a time limit.
//! - SCRAM rounds keep a thread busy. The driver computes them on threads of its own (`RUNTIME`).
//! - A command runs twice. The driver's retries are off; DocumentDB before 8.0.2 also requires
//!   `retryWrites=false`.
//! - A password stays in memory. The driver caches passwords and their derived keys for the life of
//!   the process; nothing prevents that.

use std::sync::LazyLock;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::Document;
use mongodb::options::{
    AuthMechanism, ClientOptions, Credential, ServerAddress, ServerMonitoringMode,
};
use secrecy::ExposeSecret;
use tokio::runtime::{Builder, Runtime};

use super::failure::{COMMAND_LIMIT, Failure, ServerLogin};
use super::relay::{Relay, Upstream};
use crate::tls::connector::connector;
use crate::{Credentials, EngineError, Target};

const DEFAULT_PORT: u16 = 27017;
/// The database of users that are not defined in the secret's own database.
pub(super) const ADMIN: &str = "admin";
/// The application name of twinkey's sessions.
pub(super) const APPLICATION: &str = "twinkey";
const SELECTION_LIMIT: Duration = Duration::from_secs(5);

/// The threads of the driver, which computes SCRAM rounds in its tasks. Clients create their tasks on
/// the runtime that they are created on.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("mongodb")
        .enable_all()
        .build()
});

/// A signed-in client.
pub(super) struct Connection {
    client: Client,
    relay: Relay,
    login: ServerLogin,
}

/// The server of a target.
pub(super) fn upstream(target: &Target) -> Result<Upstream, EngineError> {
    Ok(Upstream {
        host: target.host.clone(),
        address: target.address,
        port: target.port.unwrap_or(DEFAULT_PORT),
        connector: connector(&target.tls)?,
    })
}

impl Connection {
    /// Signs in with exactly these credentials and returns the user's database too.
    ///
    /// The user is defined in `admin`, as all users of DocumentDB, or in the target's own database.
    /// Each mechanism is tried by name too, for servers that do not report a user's mechanisms.
    ///
    /// # Errors
    /// [`EngineError::SignIn`] if all of these attempts are refused.
    pub(super) async fn open(
        upstream: &Upstream,
        credentials: &Credentials,
        dbname: Option<&str>,
    ) -> Result<(Self, String), EngineError> {
        let mut refused = None;
        let named = [AuthMechanism::ScramSha256, AuthMechanism::ScramSha1];
        for mechanism in [None].into_iter().chain(named.map(Some)) {
            for source in auth_databases(dbname) {
                match Self::sign_in(upstream, credentials, source, mechanism.clone()).await {
                    Ok(connection) => return Ok((connection, source.to_owned())),
                    Err(error @ EngineError::SignIn { .. }) => {
                        refused.get_or_insert(error);
                    }
                    // An error of a later attempt does not replace the refusal of the first.
                    Err(error) => return Err(refused.unwrap_or(error)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| upstream.unreachable("no sign-in mechanism is left".into())))
    }

    async fn sign_in(
        upstream: &Upstream,
        credentials: &Credentials,
        source: &str,
        mechanism: Option<AuthMechanism>,
    ) -> Result<Self, EngineError> {
        let relay = Relay::open(upstream.clone()).await?;
        let mut credential = Credential::builder()
            .username(credentials.username.clone())
            .password(credentials.password.expose_secret().to_owned())
            .source(source.to_owned())
            .build();
        credential.mechanism = mechanism;
        let options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Unix {
                path: relay.socket.clone(),
            }])
            .direct_connection(true)
            .app_name(APPLICATION.to_owned())
            .credential(credential)
            .retry_reads(false)
            .retry_writes(false)
            .connect_timeout(SELECTION_LIMIT)
            .server_selection_timeout(SELECTION_LIMIT)
            .server_monitoring_mode(ServerMonitoringMode::Poll)
            .max_pool_size(2)
            .build();
        let client = client(options)?;
        let connection = Self {
            client,
            relay,
            login: ServerLogin {
                host: upstream.host.clone(),
                port: upstream.port,
                user: credentials.username.clone(),
            },
        };
        let ping = mongodb::bson::doc! { "ping": 1 };
        connection.run(ADMIN, ping, "the sign-in").await?;
        Ok(connection)
    }

    /// Runs a command; `what` describes its purpose in an error.
    pub(super) async fn run(
        &self,
        database: &str,
        command: Document,
        what: &str,
    ) -> Result<Document, EngineError> {
        let response = self.try_run(database, command).await;
        response.map_err(|failure| self.explain(what, false, failure))
    }

    /// Runs a command whose failure the caller interprets.
    pub(super) async fn try_run(
        &self,
        database: &str,
        command: Document,
    ) -> Result<Document, Failure> {
        let database = self.client.database(database);
        let response = tokio::time::timeout(COMMAND_LIMIT, database.run_command(command));
        tokio::select! {
            // The driver reports a violation as a lost connection.
            biased;
            violation = self.relay.violation() => Err(Failure::Violation(violation)),
            response = response => match response {
                Ok(response) => response.map_err(Failure::from),
                Err(_) => Err(Failure::TimedOut),
            },
        }
    }

    /// Closes the connection now; a dropped connection closes later.
    pub(super) async fn close(self) {
        let closing = self.client.shutdown().immediate(true);
        // A connection that does not close in time is dropped.
        let _ = tokio::time::timeout(SELECTION_LIMIT, closing).await;
    }

    /// The error for a failure of `what`. `secret`: the command contains a password.
    pub(super) fn explain(&self, what: &str, secret: bool, failure: Failure) -> EngineError {
        let relay_error = self
            .relay
            .failure()
            .filter(|_| matches!(failure, Failure::ConnectionLost));
        relay_error.unwrap_or_else(|| failure.explain(&self.login, what, secret))
    }
}

fn client(options: ClientOptions) -> Result<Client, EngineError> {
    let defect = |reason: String| {
        EngineError::Refused {
        what: "preparing the driver".into(),
        reason,
        hint: "check the limit of threads (ulimit -u); if it is high enough, report this defect of twinkey".into(),
    }
    };
    let runtime = RUNTIME
        .as_ref()
        .map_err(|error| defect(error.to_string()))?;
    let _entered = runtime.enter();
    Client::with_options(options).map_err(|error| defect(error.to_string()))
}

/// The databases in which the users of a target may be defined, the most likely first.
///
/// A refused sign-in may be audited, so that the order matters.
pub(super) fn auth_databases(dbname: Option<&str>) -> Vec<&str> {
    match dbname {
        None | Some(ADMIN) => vec![ADMIN],
        Some(own) => vec![ADMIN, own],
    }
}
