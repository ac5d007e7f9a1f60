//! The driver's connections to a server, with TLS as the config asks for it.
//!
//! The driver's own TLS knows two of our four modes and reads its roots from a file, and what is wrong
//! with a network it tells as "no server was found in time". So it gets an address inside this process
//! (a Unix socket without a file, see unix(7), "abstract"), and each of its connections is carried on from
//! there over TCP and TLS of ours.
//!
//! What can go wrong, and what prevents it:
//! - another process finds the socket: only this process's own connections are carried on;
//! - a wrong name, an unknown root or a closed port is told seconds later and in other words: the first
//!   connection is made before the driver is asked, and why a later one failed is kept for who asks;
//! - a weaker connection than asked for: what is carried on is TLS in the mode of the config, or nothing;
//! - connections outlive their run: they end when the tunnel is dropped.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;

use crate::EngineError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Where a tunnel leads.
#[derive(Clone)]
pub(super) struct Far {
    pub host: String,
    pub port: u16,
    /// `None`: plain text.
    pub connector: Option<TlsConnector>,
}

/// An open tunnel. Dropping it ends all of its connections.
pub(super) struct Tunnel {
    /// For the driver: a NUL and the socket's name.
    pub entrance: PathBuf,
    failure: Arc<Mutex<Option<EngineError>>>,
    task: AbortHandle,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Tunnel {
    /// Connects once, and carries on what comes from then on.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and [`EngineError::Tls`].
    pub(super) async fn open(far: Far) -> Result<Self, EngineError> {
        let first = far.dial().await?;
        let name = format!("twinkey-{}", uuid::Uuid::new_v4());
        let listener = listen(&name).map_err(|error| EngineError::Refused {
            what: "preparing a connection".into(),
            reason: error.to_string(),
            hint: "twinkey needs Unix sockets and a few free file descriptors (ulimit -n)".into(),
        })?;
        let failure = Arc::default();
        let task = tokio::spawn(serve(listener, far, first, Arc::clone(&failure)));
        Ok(Self {
            entrance: PathBuf::from(format!("\0{name}")),
            failure,
            task: task.abort_handle(),
        })
    }

    /// Why a connection could not be carried on, if one could not.
    pub(super) fn failure(&self) -> Option<EngineError> {
        let failure = self.failure.lock();
        failure.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn listen(name: &str) -> io::Result<UnixListener> {
    let listener = StdUnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn serve(
    listener: UnixListener,
    far: Far,
    first: Box<dyn Stream>,
    failure: Arc<Mutex<Option<EngineError>>>,
) {
    let mut ready = Some(first);
    // Dropped, it ends the connections.
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if !is_ours(&near) {
            continue;
        }
        let (ready, far, failure) = (ready.take(), far.clone(), Arc::clone(&failure));
        connections.spawn(async move {
            let there = match ready {
                Some(there) => Ok(there),
                None => far.dial().await,
            };
            match there {
                // However it ends, each side learns so by the end of its own connection.
                Ok(there) => drop(carry(near, there).await),
                Err(error) => {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
        });
    }
}

fn is_ours(near: &UnixStream) -> bool {
    let peer = near.peer_cred().ok().and_then(|peer| peer.pid());
    peer.is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()))
}

async fn carry(mut near: UnixStream, mut there: Box<dyn Stream>) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut near, &mut there).await?;
    Ok(())
}

impl Far {
    async fn dial(&self) -> Result<Box<dyn Stream>, EngineError> {
        let limit = CONNECT_LIMIT.as_secs();
        match tokio::time::timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("no answer within {limit} seconds"))),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, EngineError> {
        let io_error = |error: io::Error| self.unreachable(error.to_string());
        let tcp = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(io_error)?;
        tcp.set_nodelay(true).map_err(io_error)?;
        let Some(connector) = &self.connector else {
            return Ok(Box::new(tcp));
        };
        let name = ServerName::try_from(self.host.clone())
            .map_err(|_| self.tls("the host is no name that a certificate can have".into()))?;
        match connector.connect(name, tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.handshake_failed(&error)),
        }
    }

    fn handshake_failed(&self, error: &io::Error) -> EngineError {
        let of_tls = error.get_ref().is_some_and(|e| e.is::<rustls::Error>());
        match error.kind() {
            _ if of_tls => self.tls(error.to_string()),
            // What a server without TLS does with a client's hello.
            io::ErrorKind::UnexpectedEof => {
                self.tls("the server ended the connection: it may have no TLS".into())
            }
            // Or so; but a server that goes down does it too, and comes back.
            _ => self.unreachable(format!(
                "{error} in the TLS handshake: the server may have no TLS"
            )),
        }
    }

    pub(super) fn unreachable(&self, reason: String) -> EngineError {
        EngineError::Unreachable {
            host: self.host.clone(),
            port: self.port,
            reason,
        }
    }

    fn tls(&self, reason: String) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason,
        }
    }
}
