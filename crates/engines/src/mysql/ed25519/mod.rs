//! Sign-in of MariaDB's `ed25519` users, which the driver does not support.
//!
//! sqlx answers a request for `client_ed25519` with a protocol error. `mysql_async` supports it,
//! but its verify-ca refuses every certificate for another name, because it searches the text of
//! rustls's error for a word that is no longer there. This module implements the part of MariaDB's
//! protocol that a sign-in takes.
//!
//! # Failure modes
//! - A connection is weaker than configured: without TLS on the server the connection is closed
//!   before anything is sent, and of the clear text only the server's capabilities are used.
//! - Another method lets the user in, so the password is not tested: the server's "OK" counts only
//!   after the signature of its nonce. Other methods get no answer, so neither the password nor a
//!   hash is sent. For a user that does not exist the server requests any method; if that is
//!   another one, the error is not [`EngineError::SignIn`]. The driver signs in first, and this
//!   module is used only where the server requests ed25519.
//! - The server truncates a name at a NUL, and it is another user's: such names are refused.
//! - The server requests a local file: this is a protocol error, because no file is offered.
//! - An answer fills the memory: only the start of each packet is kept.
//! - A host does not answer: connecting and the whole sign-in have a time limit.

mod failure;
mod handshake;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use tokio::net::TcpStream;

use self::failure::{Failure, explain, explain_sign_in};
use self::wire::Wire;
use super::connect::Connector;
use crate::tls::connector::connector as tls_connector;
use crate::{Credentials, EngineError, SignedIn, Target};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Opens a connection with these credentials, reads the user and `identity` (an SQL expression for
/// the server's identity), runs the `probes`, and closes it, all within `limit`.
///
/// # Errors
/// As [`crate::Engine::sign_in`].
pub(super) async fn sign_in(
    target: &Target,
    credentials: &Credentials,
    identity: &str,
    probes: &[String],
    limit: Duration,
) -> Result<SignedIn, EngineError> {
    let connector = Connector::new(target, credentials)?;
    no_nul(target, credentials)?;
    let signing_in = async {
        let mut wire = connect(&connector, target, credentials).await?;
        let what = "reading the signed-in user";
        let row = wire
            .query(&format!("SELECT USER(), {identity}"))
            .await
            .and_then(|row| row.map_or(Ok(Vec::new()), |row| row.texts()))
            .map_err(|failure| explain(&connector, what, failure))?;
        let [Some(user), server_identity] = row.as_slice() else {
            return Err(explain(
                &connector,
                what,
                Failure::Protocol("it is a row of two texts"),
            ));
        };
        let signed_in = SignedIn {
            // `name@host`: the name can hold an `@`, the host cannot.
            user: user
                .rsplit_once('@')
                .map_or(user.as_str(), |(name, _)| name)
                .to_owned(),
            server_identity: server_identity.clone(),
        };
        for probe in probes {
            wire.query(probe)
                .await
                .map_err(|failure| explain(&connector, &format!("the probe {probe:?}"), failure))?;
        }
        // The answers are complete; an error of the close changes nothing.
        let _ = wire.quit().await;
        Ok(signed_in)
    };
    match tokio::time::timeout(limit, signing_in).await {
        Ok(result) => result,
        Err(_) => Err(connector.unreachable(no_answer(limit))),
    }
}

/// Refuses a NUL, at which the protocol would truncate a name without an error.
fn no_nul(target: &Target, who: &Credentials) -> Result<(), EngineError> {
    let database = target.dbname.as_deref().unwrap_or_default();
    if !who.username.contains('\0') && !database.contains('\0') {
        return Ok(());
    }
    Err(EngineError::Refused {
        what: "the sign-in".into(),
        reason: "the user name or dbname holds a NUL character".into(),
        hint: "set them to a user and a schema of this server".into(),
    })
}

async fn connect(
    connector: &Connector,
    target: &Target,
    credentials: &Credentials,
) -> Result<Wire, EngineError> {
    let tls = tls_connector(&target.tls)?;
    let signing_in = async {
        let tcp = TcpStream::connect((connector.host.as_str(), connector.port)).await?;
        tcp.set_nodelay(true)?;
        handshake::sign_in(
            tcp,
            tls.as_ref(),
            &connector.host,
            target.dbname.as_deref(),
            credentials,
        )
        .await
    };
    match tokio::time::timeout(CONNECT_LIMIT, signing_in).await {
        Ok(result) => result.map_err(|failure| explain_sign_in(connector, failure)),
        Err(_) => Err(connector.unreachable(no_answer(CONNECT_LIMIT))),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} seconds", limit.as_secs_f32())
}
