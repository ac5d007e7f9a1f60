//! Sign-in at a PostgreSQL server, in front of the driver.
//!
//! The driver answers a server that requests the password in clear text or as md5, computes any
//! number of SCRAM rounds, and allocates what the server announces. It therefore connects to an
//! abstract Unix socket (unix(7)) of this process, without a password. This module connects to the
//! server, answers its authentication request, and relays the session.
//!
//! # Failure modes
//! - A server requests the password in clear text. Only verified TLS (verify-full, verify-ca)
//!   permits the answer, and for a master also the answer to an md5 request.
//! - A server does not know the password. SCRAM ends with the server's signature, which is verified.
//! - A server stops the worker. The rounds of SCRAM, the length of each message and the bytes of
//!   each answer have limits, and the rounds are computed on a thread of their own.
//! - A relay outlives its connection. It ends with either of its two sides.

mod authentication;
mod relay;
#[cfg(test)]
mod tests;
mod transport;
mod wire;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_rustls::TlsConnector;
use twinkey_core::secret::Sensitive;
use twinkey_core::tasks::{OwnedTask, spawn_connection};

use self::authentication::Outcome;
pub(super) use self::relay::LIMIT_EXCEEDED;
use crate::stream::Stream;
use crate::{EngineError, StoredForm, TlsMode, local_socket};

/// The server and the credentials of a sign-in.
#[derive(Clone)]
pub(super) struct Login {
    pub host: String,
    /// See [`crate::Target::address`].
    pub address: Option<IpAddr>,
    pub port: u16,
    pub user: String,
    pub password: Sensitive,
    pub mode: TlsMode,
    /// `None`: plain text.
    pub connector: Option<TlsConnector>,
    /// A master's password is answered with in fewer ways than that of a user of the pair.
    pub master: bool,
}

/// A sign-in that waits for the driver. Dropping it before [`SignIn::finish`] closes the connection.
pub(super) struct SignIn {
    /// The folder for the driver, which adds the file name of PostgreSQL: a NUL and a name.
    pub folder: PathBuf,
    result: Arc<Mutex<SignInResult>>,
    task: OwnedTask<()>,
}

/// What a sign-in shows of the server.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SignInFacts {
    /// How the server stores the password, if its request showed it.
    pub form: Option<StoredForm>,
    /// The process id of the session, as the server announced it.
    pub process: Option<i32>,
}

/// What the task reports to its [`SignIn`].
#[derive(Default)]
struct SignInResult {
    /// Set before the driver's connection is complete.
    facts: SignInFacts,
    failure: Option<EngineError>,
}

impl SignIn {
    /// Connects to the server, with TLS if configured.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and [`EngineError::Tls`].
    pub(super) async fn start(login: Login) -> Result<Self, EngineError> {
        let server = transport::connect(&login).await?;
        let name = local_socket::unique_name();
        let listener = local_socket::listen(&format!("{name}/.s.PGSQL.{}", login.port))?;
        let result = Arc::default();
        let work = serve(listener, server, login, Arc::clone(&result));
        Ok(Self {
            folder: PathBuf::from(format!("\0{name}")),
            result,
            task: spawn_connection("sign-in relay", work),
        })
    }

    /// Leaves the relay to the driver's connection, which ends it.
    pub(super) fn finish(self) -> SignInFacts {
        drop(self.task.detach());
        self.result.lock().facts
    }

    /// The reason why the server's request was not answered.
    pub(super) fn failure(&self) -> Option<EngineError> {
        self.result.lock().failure.take()
    }
}

async fn serve(
    listener: UnixListener,
    mut server: Box<dyn Stream>,
    login: Login,
    result: Arc<Mutex<SignInResult>>,
) {
    let Some(mut client) = local_socket::accept_own(listener).await else {
        return;
    };
    let begun = async {
        let startup = wire::read_startup(&mut client).await?;
        wire::send(&mut server, &startup).await?;
        authentication::authenticate(&mut server, &login).await
    };
    match begun.await {
        Ok(Outcome::SignedIn(form)) => {
            result.lock().facts.form = form;
            if client.write_all(&wire::AUTHENTICATION_OK).await.is_ok() {
                let announced = |process| result.lock().facts.process = Some(process);
                relay::relay(client, server, announced).await;
            }
        }
        // The driver reads the server's refusal. If it is gone, nothing is left to do.
        Ok(Outcome::Refused(error)) => drop(client.write_all(&error).await),
        Err(error) => result.lock().failure = Some(error.explain(&login)),
    }
}
