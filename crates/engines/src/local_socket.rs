//! Abstract Unix sockets (unix(7)) of this process, which drivers connect to in place of a server.
//!
//! # Failure modes
//! - Another process connects to the socket. Only a connection of this process is accepted.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};

use tokio::net::{UnixListener, UnixStream};

use crate::EngineError;

/// A new name for a socket or its folder.
pub(crate) fn unique_name() -> String {
    format!("twinkey-{}", uuid::Uuid::new_v4())
}

/// Listens at an abstract name. A driver's path to it begins with a NUL.
///
/// # Errors
/// [`EngineError::Refused`] without a free file descriptor.
pub(crate) fn listen(name: &str) -> Result<UnixListener, EngineError> {
    try_listen(name).map_err(|error| EngineError::Refused {
        what: "preparing a connection".into(),
        reason: error.to_string(),
        hint: "raise the limit of open files (ulimit -n); twinkey needs Unix sockets".into(),
    })
}

fn try_listen(name: &str) -> io::Result<UnixListener> {
    let listener = StdUnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// The driver's only connection.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) async fn accept_own(listener: UnixListener) -> Option<UnixStream> {
    accept_next(&listener).await
}

/// The next connection of the driver. `None`: the listener has failed.
pub(crate) async fn accept_next(listener: &UnixListener) -> Option<UnixStream> {
    loop {
        let (client, _) = listener.accept().await.ok()?;
        let pid = client.peer_cred().ok().and_then(|peer| peer.pid());
        if pid.is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id())) {
            return Some(client);
        }
    }
}
