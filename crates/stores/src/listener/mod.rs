//! Listening socket of an endpoint, with or without TLS, and the HTTP/1 connections that it accepts.
//!
//! # Failure modes
//! - A client stalls in its handshake or its request head. Each has ten seconds, as has the next head
//!   on an open connection; then the connection is closed.
//! - Clients open connections and send nothing. Their number is limited; at the limit, a new
//!   connection takes the slot of the one that has waited longest for a request.
//! - Connections use up the file descriptors that runs need. All listeners together take at most half
//!   of the process's limit, which [`descriptors::raise`] raises at the start.
//! - A panic in a handler passes unnoticed. It is logged and counted as one of the task `connection`, and
//!   ends that connection only.
//! - Request heads fill the memory. A head is limited to [`MAX_HEAD`] bytes.

mod body;
mod connection;
pub mod descriptors;
mod identity;
mod slots;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use twinkey_core::tasks::Tasks;
use twinkey_core::telemetry::metrics::Metrics;

pub use identity::{Identity, IdentityError, ServerTls};

use connection::Connection;
use slots::Slots;

/// Time limit of a TLS handshake, and of a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of a request head, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// Address of a connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// The listening socket.
pub struct Listener {
    address: SocketAddr,
    tcp: TcpListener,
    identity: Option<Arc<Identity>>,
    max_connections: usize,
    tasks: Tasks,
}

impl Listener {
    /// Listens on an address, with TLS if there is an identity.
    ///
    /// # Errors
    /// [`io::Error`] if the address cannot be bound.
    pub async fn bind(address: SocketAddr, identity: Option<Arc<Identity>>) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            address: tcp.local_addr()?,
            tcp,
            identity,
            max_connections: descriptors::max_connections(),
            tasks: Tasks::new(Metrics::default()),
        })
    }

    /// The connections are among these tasks.
    #[must_use]
    pub fn with_tasks(self, tasks: Tasks) -> Self {
        Self { tasks, ..self }
    }

    /// The local address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves a router, with the client's address as `ConnectInfo<PeerAddr>`, until `closing` is
    /// ready. Then it accepts no connection, and returns when the open responses have finished.
    pub async fn serve(mut self, router: Router, closing: impl Future<Output = ()>) {
        let slots = Arc::new(Slots::new(self.max_connections));
        let (open, drain) = (TaskTracker::new(), CancellationToken::new());
        let mut closing = std::pin::pin!(closing);
        loop {
            // `accept` handles errors of single connections and a lack of file descriptors.
            let accept = async {
                let accepted = axum::serve::Listener::accept(&mut self.tcp).await;
                (accepted, slots.acquire().await)
            };
            let ((stream, peer), slot) = tokio::select! {
                accepted = accept => accepted,
                () = &mut closing => break,
            };
            let connection = Connection {
                peer: PeerAddr(peer),
                identity: self.identity.clone(),
                router: router.clone(),
                drain: drain.clone(),
            };
            let served = open.track_future(connection.serve(stream, slot));
            drop(self.tasks.spawn_owned("connection", "", served).detach());
        }
        drop(self.tcp);
        drain.cancel();
        open.close();
        open.wait().await;
    }
}
