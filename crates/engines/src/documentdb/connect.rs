//! Connections.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: `tunnel.rs`;
//! - an admin connection to a reader, which takes no command about users: it says so itself and names
//!   the primary, and that is where the master goes (`mod.rs`);
//! - a hanging host: connecting has a limit, and so has each command;
//! - a command is carried out twice: the driver repeats none of ours (`retryWrites=false`, which DocumentDB
//!   before 8.0.2 demands besides).
//!
//! The driver keeps what it derived from a password, and the password beside it, in the process's memory for
//! good (its cache of salted passwords); it can be told neither to wipe nor to bound it.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::Document;
use mongodb::options::{
    AuthMechanism, ClientOptions, Credential, ServerAddress, ServerMonitoringMode,
};
use secrecy::ExposeSecret;

use super::failure::{Failure, Peer};
use super::tunnel::{Far, Tunnel};
use crate::tls::connector::connector;
use crate::{Credentials, EngineError, Target};

const DEFAULT_PORT: u16 = 27017;
/// Where users live, unless they live in the secret's own database.
pub(super) const ADMIN: &str = "admin";
/// What our sessions call themselves.
pub(super) const APPLICATION: &str = "twinkey";
const SELECTION_LIMIT: Duration = Duration::from_secs(5);
/// For one command.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(30);

/// A signed-in client.
pub(super) struct Connection {
    client: Client,
    tunnel: Tunnel,
    peer: Peer,
}

/// Where a target leads.
pub(super) fn far(target: &Target) -> Result<Far, EngineError> {
    Ok(Far {
        host: target.host.clone(),
        port: target.port.unwrap_or(DEFAULT_PORT),
        connector: connector(&target.tls)?,
    })
}

impl Connection {
    /// Signs in with exactly these credentials. The user lives in `admin`, as all users of DocumentDB do, or in
    /// the target's own database; and a server that does not tell which mechanisms a user has is asked for
    /// each by name. Gives the database besides.
    ///
    /// # Errors
    /// [`EngineError::SignIn`] where none of these ways is taken.
    pub(super) async fn open(
        far: &Far,
        who: &Credentials,
        dbname: Option<&str>,
    ) -> Result<(Self, String), EngineError> {
        let mut refused = None;
        let named = [AuthMechanism::ScramSha256, AuthMechanism::ScramSha1];
        for mechanism in [None].into_iter().chain(named.map(Some)) {
            for source in homes(dbname) {
                match Self::sign_in(far, who, source, mechanism.clone()).await {
                    Ok(connection) => return Ok((connection, source.to_owned())),
                    Err(error @ EngineError::SignIn { .. }) => {
                        refused.get_or_insert(error);
                    }
                    // An answer to the second way of asking says nothing about the first.
                    Err(error) => return Err(refused.unwrap_or(error)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| far.unreachable("no way to sign in is left".into())))
    }

    async fn sign_in(
        far: &Far,
        who: &Credentials,
        source: &str,
        mechanism: Option<AuthMechanism>,
    ) -> Result<Self, EngineError> {
        let tunnel = Tunnel::open(far.clone()).await?;
        let mut credential = Credential::builder()
            .username(who.username.clone())
            .password(who.password.expose_secret().to_owned())
            .source(source.to_owned())
            .build();
        credential.mechanism = mechanism;
        let options = ClientOptions::builder()
            .hosts(vec![ServerAddress::Unix {
                path: tunnel.entrance.clone(),
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
        let client = Client::with_options(options).map_err(|error| EngineError::Refused {
            what: "preparing the driver".into(),
            reason: error.to_string(),
            hint: "this is a defect of twinkey: please report it".into(),
        })?;
        let connection = Self {
            client,
            tunnel,
            peer: Peer {
                host: far.host.clone(),
                port: far.port,
                user: who.username.clone(),
            },
        };
        let ping = mongodb::bson::doc! { "ping": 1 };
        connection.run(ADMIN, ping, "the sign-in").await?;
        Ok(connection)
    }

    /// Carries out a command; `what` it is for, in an error.
    pub(super) async fn run(
        &self,
        database: &str,
        command: Document,
        what: &str,
    ) -> Result<Document, EngineError> {
        let answer = self.ask(database, command).await;
        answer.map_err(|failure| self.explain(what, false, failure))
    }

    /// Carries out a command whose failure may be an answer too.
    pub(super) async fn ask(&self, database: &str, command: Document) -> Result<Document, Failure> {
        let database = self.client.database(database);
        match tokio::time::timeout(COMMAND_LIMIT, database.run_command(command)).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::NoAnswer),
        }
    }

    /// Ends it at once; dropped, it ends a little later.
    pub(super) async fn close(self) {
        let closing = self.client.shutdown().immediate(true);
        // Nothing is left to do about a connection that does not end in time: it is dropped.
        let _ = tokio::time::timeout(SELECTION_LIMIT, closing).await;
    }

    /// What a failure of `what` means; `secret`: the command held a password.
    pub(super) fn explain(&self, what: &str, secret: bool, failure: Failure) -> EngineError {
        let cut_because = self
            .tunnel
            .failure()
            .filter(|_| matches!(failure, Failure::Cut));
        cut_because.unwrap_or_else(|| failure.explain(&self.peer, what, secret))
    }
}

/// The databases in which the users of a target may live, the likeliest first: a sign-in that is refused
/// is noted by somebody.
pub(super) fn homes(dbname: Option<&str>) -> Vec<&str> {
    match dbname {
        None | Some(ADMIN) => vec![ADMIN],
        Some(own) => vec![ADMIN, own],
    }
}
