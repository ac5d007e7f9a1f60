//! Relay between the MongoDB driver and a server: TLS, and limits for what the server sends.
//!
//! The driver's own TLS supports two of the four modes and reads its roots from a file. It reports
//! every network error as a timeout of its server selection. It computes any number of SCRAM
//! rounds, allocates what a message announces, and parses any depth of documents. The driver
//! therefore connects to an abstract Unix socket (unix(7)) of this process, which relays each
//! connection over TCP and TLS.
//!
//! # Failure modes
//! - Another process connects to the socket. Only connections of this process are relayed.
//! - A wrong name, an unknown root or a closed port is reported late and as a timeout. The first
//!   connection is made before the driver starts, and the error of a later one is kept.
//! - A connection is weaker than configured. Only connections in the configured TLS mode are
//!   relayed.
//! - A server stops the worker. The rounds of SCRAM, the length of each message and the depth of
//!   each document have limits (`sign_in.rs`, `wire.rs`, `depth.rs`). A message that is no response
//!   ends the relay.
//! - A server selects a sign-in that reveals the password, or none. Only SCRAM is relayed, and no
//!   command before it.
//! - Connections outlive their run. They end when the relay is dropped.

mod connection;
mod depth;
mod sign_in;
#[cfg(test)]
mod tests;
mod upstream;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::UnixListener;
use tokio::sync::watch;
use twinkey_core::tasks::{OwnedTask, spawn_connection};

pub(super) use self::upstream::Upstream;
use self::wire::RelayError;
use crate::EngineError;
use crate::local_socket::{accept_next, listen, unique_name};
use crate::stream::Stream;

/// A message of a server that is not relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    pub reason: String,
    pub remedy: Remedy,
}

/// The remedy of a [`Violation`], for its hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The server's number of SCRAM rounds must change.
    Rounds,
    /// No server of this protocol sends such a message.
    OtherServer,
}

/// A running relay. Dropping it ends all of its connections.
pub(super) struct Relay {
    /// The path for the driver: a NUL and the name of the abstract socket.
    pub socket: PathBuf,
    state: Arc<State>,
    _task: OwnedTask<()>,
}

#[derive(Default)]
struct State {
    /// The error of the last connection that could not be made.
    failure: Mutex<Option<EngineError>>,
    violation: watch::Sender<Option<Violation>>,
}

impl Relay {
    /// Connects to the server once and starts the relay.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and [`EngineError::Tls`].
    pub(super) async fn open(upstream: Upstream) -> Result<Self, EngineError> {
        let first = upstream.connect_in_time().await?;
        let name = unique_name();
        let listener = listen(&name)?;
        let state = Arc::default();
        let work = serve(listener, upstream, first, Arc::clone(&state));
        Ok(Self {
            socket: PathBuf::from(format!("\0{name}")),
            state,
            _task: spawn_connection("relay", work),
        })
    }

    /// The error of the last connection that could not be relayed.
    pub(super) fn failure(&self) -> Option<EngineError> {
        self.state.failure.lock().clone()
    }

    /// Waits until the server sends a message that is not relayed.
    pub(super) async fn violation(&self) -> Violation {
        let mut violation = self.state.violation.subscribe();
        loop {
            let current = violation.borrow_and_update().clone();
            match current {
                Some(violation) => return violation,
                // The sender is a field of this relay.
                None => drop(violation.changed().await),
            }
        }
    }
}

async fn serve(
    listener: UnixListener,
    upstream: Upstream,
    first: Box<dyn Stream>,
    state: Arc<State>,
) {
    let mut ready = Some(first);
    // Dropping the list ends the connections.
    let mut connections: Vec<OwnedTask<()>> = Vec::new();
    while let Some(mut client) = accept_next(&listener).await {
        connections.retain(|connection| !connection.is_finished());
        let (ready, upstream, state) = (ready.take(), upstream.clone(), Arc::clone(&state));
        let relayed = async move {
            let server = match ready {
                Some(server) => Ok(server),
                None => upstream.connect_in_time().await,
            };
            let mut server = match server {
                Ok(server) => server,
                Err(error) => {
                    *state.failure.lock() = Some(error);
                    return;
                }
            };
            // Any other error also ends both connections, which is all that the two sides need.
            let ended = connection::relay(&mut client, &mut server).await;
            if let Err(RelayError::Violation(violation)) = ended {
                // The driver reports a lost connection once these two are dropped.
                state.violation.send_replace(Some(violation));
            }
        };
        connections.push(spawn_connection("relayed connection", relayed));
    }
}
