//! The sign-in of MariaDB's `ed25519` users, which the driver cannot do.
//!
//! sqlx answers the server's request for `client_ed25519` with a protocol error. `mysql_async` can
//! do it, but its verify-ca refuses every certificate for another name: it looks for a word in the
//! text of rustls's error that is no longer there. So here is the little of MariaDB's protocol that
//! a proof takes.
//!
//! What can go wrong, and what prevents it:
//! - a weaker connection than asked for: without TLS on the server nothing is sent but the end of
//!   the connection, and nothing that came in clear is believed afterwards but what the server can do;
//! - another method lets the user in, and the password is not proved: the server's "OK" counts only
//!   after the signature of its nonce. No other method is answered, so neither the password nor a
//!   hash of it is ever sent. For a user that does not exist the server asks for some method: if
//!   that is another one, the error is not [`EngineError::SignIn`]. The driver is asked first, and
//!   comes here only where the server asks for ed25519;
//! - a name with a NUL is cut off there, and is somebody else: refused;
//! - the server asks for a local file: we do not offer it, and it is a protocol error;
//! - an answer that fills the memory: only the beginning of each packet is kept;
//! - a hanging host: connecting has a limit, and so has the whole.

mod failure;
mod handshake;
#[cfg(test)]
mod tests;
mod wire;

use std::time::Duration;

use tokio::net::TcpStream;

use self::failure::{Failure, explain, explain_sign_in};
use self::wire::Wire;
use super::connect::Peer;
use crate::tls::connector::connector;
use crate::{Credentials, EngineError, SignedIn, Target};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Opens a new connection with exactly these credentials, asks who it is and for `identity` (an
/// expression whose text is the server's identity), runs the `probes`, and closes it: all within
/// `limit`.
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
    let peer = Peer::new(target, credentials)?;
    no_nul(target, credentials)?;
    let proof = async {
        let mut wire = connect(&peer, target, credentials).await?;
        let what = "asking who has signed in";
        let greeting = wire
            .query(&format!("SELECT USER(), {identity}"))
            .await
            .and_then(|row| row.map_or(Ok(Vec::new()), |row| row.texts()))
            .map_err(|failure| explain(&peer, what, failure))?;
        let [Some(user), server_identity] = greeting.as_slice() else {
            return Err(explain(
                &peer,
                what,
                Failure::Protocol("it is a row of two texts"),
            ));
        };
        let signed_in = SignedIn {
            // `name@host`, of which the name can hold an `@`, and the host cannot.
            user: user
                .rsplit_once('@')
                .map_or(user.as_str(), |(name, _)| name)
                .to_owned(),
            server_identity: server_identity.clone(),
        };
        for probe in probes {
            wire.query(probe)
                .await
                .map_err(|failure| explain(&peer, &format!("the probe {probe:?}"), failure))?;
        }
        // What was asked is answered; how the connection ends changes nothing.
        let _ = wire.quit().await;
        Ok(signed_in)
    };
    match tokio::time::timeout(limit, proof).await {
        Ok(result) => result,
        Err(_) => Err(peer.unreachable(no_answer(limit))),
    }
}

/// A name is sent up to its first NUL: what follows would be cut off in silence.
fn no_nul(target: &Target, who: &Credentials) -> Result<(), EngineError> {
    let database = target.dbname.as_deref().unwrap_or_default();
    if !who.username.contains('\0') && !database.contains('\0') {
        return Ok(());
    }
    Err(EngineError::Refused {
        what: "the sign-in".into(),
        reason: "the user name or dbname holds a NUL character".into(),
        hint: "make them those of a user and a schema on this server".into(),
    })
}

async fn connect(
    peer: &Peer,
    target: &Target,
    credentials: &Credentials,
) -> Result<Wire, EngineError> {
    let connector = connector(&target.tls)?;
    let signing_in = async {
        let tcp = TcpStream::connect((peer.host.as_str(), peer.port)).await?;
        tcp.set_nodelay(true)?;
        handshake::sign_in(
            tcp,
            connector.as_ref(),
            &peer.host,
            target.dbname.as_deref(),
            credentials,
        )
        .await
    };
    match tokio::time::timeout(CONNECT_LIMIT, signing_in).await {
        Ok(result) => result.map_err(|failure| explain_sign_in(peer, failure)),
        Err(_) => Err(peer.unreachable(no_answer(CONNECT_LIMIT))),
    }
}

fn no_answer(limit: Duration) -> String {
    format!("no answer within {} seconds", limit.as_secs_f32())
}
