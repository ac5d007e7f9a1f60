//! TLS relay between the MongoDB driver and a server.
//!
//! The driver's own TLS supports two of the four modes and reads its roots from a file. It reports
//! every network error as a timeout of its server selection. The driver therefore connects to an
//! abstract Unix socket (unix(7)) of this process, which relays each connection over TCP and TLS.
//!
//! # Failure modes
//! - Another process connects to the socket. Only connections of this process are relayed.
//! - A wrong name, an unknown root or a closed port is reported late and as a timeout. The first
//!   connection is made before the driver starts, and the error of a later one is kept.
//! - A connection is weaker than configured. Only connections in the configured TLS mode are
//!   relayed.
//! - Connections outlive their run. They end when the relay is dropped.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as StdUnixListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsConnector;

use crate::EngineError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The server of a relay.
#[derive(Clone)]
pub(super) struct Upstream {
    pub host: String,
    pub port: u16,
    /// `None`: plain text.
    pub connector: Option<TlsConnector>,
}

/// A running relay. Dropping it ends all of its connections.
pub(super) struct TlsRelay {
    /// The path for the driver: a NUL and the name of the abstract socket.
    pub socket: PathBuf,
    failure: Arc<Mutex<Option<EngineError>>>,
    task: AbortHandle,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl TlsRelay {
    /// Connects to the server once and starts the relay.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] and [`EngineError::Tls`].
    pub(super) async fn open(upstream: Upstream) -> Result<Self, EngineError> {
        let first = upstream.connect_in_time().await?;
        let name = format!("twinkey-{}", uuid::Uuid::new_v4());
        let listener = listen(&name).map_err(|error| EngineError::Refused {
            what: "preparing a connection".into(),
            reason: error.to_string(),
            hint: "raise the limit of open files (ulimit -n); twinkey needs Unix sockets".into(),
        })?;
        let failure = Arc::default();
        let task = tokio::spawn(serve(listener, upstream, first, Arc::clone(&failure)));
        Ok(Self {
            socket: PathBuf::from(format!("\0{name}")),
            failure,
            task: task.abort_handle(),
        })
    }

    /// The error of the last connection that could not be relayed.
    pub(super) fn failure(&self) -> Option<EngineError> {
        self.failure.lock().clone()
    }
}

impl Drop for TlsRelay {
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
    upstream: Upstream,
    first: Box<dyn Stream>,
    failure: Arc<Mutex<Option<EngineError>>>,
) {
    let mut ready = Some(first);
    // Dropping the set ends the connections.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if !is_own_process(&client) {
            continue;
        }
        let (ready, upstream, failure) = (ready.take(), upstream.clone(), Arc::clone(&failure));
        connections.spawn(async move {
            let server = match ready {
                Some(server) => Ok(server),
                None => upstream.connect_in_time().await,
            };
            match server {
                // An error also ends both connections, which is all that the two sides need.
                Ok(server) => drop(relay(client, server).await),
                Err(error) => {
                    *failure.lock() = Some(error);
                }
            }
        });
    }
}

fn is_own_process(client: &UnixStream) -> bool {
    let pid = client.peer_cred().ok().and_then(|peer| peer.pid());
    pid.is_some_and(|pid| u32::try_from(pid) == Ok(std::process::id()))
}

async fn relay(mut client: UnixStream, mut server: Box<dyn Stream>) -> io::Result<()> {
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

impl Upstream {
    async fn connect_in_time(&self) -> Result<Box<dyn Stream>, EngineError> {
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
            .map_err(|_| self.tls("the host name cannot be in a certificate".into()))?;
        match connector.connect(name, tcp).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.handshake_failed(&error)),
        }
    }

    fn handshake_failed(&self, error: &io::Error) -> EngineError {
        let of_tls = error.get_ref().is_some_and(|e| e.is::<rustls::Error>());
        match error.kind() {
            _ if of_tls => self.tls(error.to_string()),
            // A server without TLS closes the connection at the client's hello.
            io::ErrorKind::UnexpectedEof => {
                self.tls("the server closed the connection and may not support TLS".into())
            }
            // A server that shuts down causes this too, so that the error is retryable.
            _ => self.unreachable(format!(
                "{error} in the TLS handshake; the server may not support TLS"
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
