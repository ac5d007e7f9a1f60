//! Listening socket of an endpoint, with or without TLS.
//!
//! # Failure modes
//! - A client starts a handshake and stalls. Each handshake has its own task and ten seconds, and their
//!   number is limited, so that other clients are accepted.
//! - The certificate is renewed while the worker runs. [`Identity::reload`] reads it again; a pair of
//!   files that do not match leaves the previous one active.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// Time limit of a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of concurrent handshakes.
const MAX_HANDSHAKES: usize = 256;

/// `server.tls`: PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate, and the chain of its issuers.
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// Certificate and key of a server, as last read.
pub struct Identity {
    files: ServerTls,
    config: ArcSwap<ServerConfig>,
}

/// Why a certificate and its key cannot be used. Never quotes the key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file} {reason}")]
pub struct IdentityError {
    file: String,
    reason: String,
}

impl Identity {
    /// Reads the two files.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn read(files: ServerTls) -> Result<Self, IdentityError> {
        let config = ArcSwap::new(load(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the two files again. Unusable files leave the previous certificate active.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn reload(&self) -> Result<(), IdentityError> {
        let new = load(&self.files)?;
        self.config.store(new);
        Ok(())
    }

    /// The files of the certificate and of the key.
    #[must_use]
    pub fn files(&self) -> [&Path; 2] {
        [&self.files.cert, &self.files.key]
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn load(files: &ServerTls) -> Result<Arc<ServerConfig>, IdentityError> {
    let failed = |file: &Path, reason: String| IdentityError {
        file: file.display().to_string(),
        reason,
    };
    let chain = std::fs::read(&files.cert)
        .map_err(|error| failed(&files.cert, format!("cannot be read: {error}")))?;
    let chain = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(&files.cert, format!("is no PEM file: {error}")))?;
    if chain.is_empty() {
        return Err(failed(&files.cert, "holds no certificate".into()));
    }
    let key = std::fs::read(&files.key)
        .map(zeroize::Zeroizing::new)
        .map_err(|error| failed(&files.key, format!("cannot be read: {error}")))?;
    // The message of the parser might quote the key.
    let key = PrivateKeyDer::from_pem_slice(&key)
        .map_err(|_| failed(&files.key, "holds no private key in PEM".into()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map(Arc::new)
        .map_err(|error| failed(&files.cert, format!("and its key cannot be used: {error}")))
}

/// A connection of a client.
type Connection = Either<TcpStream, TlsStream<TcpStream>>;

/// The listening socket.
pub struct Listener {
    address: SocketAddr,
    incoming: Incoming,
}

enum Incoming {
    Plain(TcpListener),
    /// Connections after their handshake.
    Tls(mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>),
}

/// Address of a connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for PeerAddr {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Listener {
    /// Listens on an address, with TLS if there is an identity.
    ///
    /// # Errors
    /// [`io::Error`] if the address cannot be bound.
    pub async fn bind(address: SocketAddr, identity: Option<Arc<Identity>>) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let address = tcp.local_addr()?;
        let incoming = match identity {
            None => Incoming::Plain(tcp),
            Some(identity) => {
                let (done, ready) = mpsc::channel(MAX_HANDSHAKES);
                tokio::spawn(accept_tls(tcp, identity, done));
                Incoming::Tls(ready)
            }
        };
        Ok(Self { address, incoming })
    }

    /// The local address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts connections and completes their handshakes until the receiver is dropped.
async fn accept_tls(
    mut tcp: TcpListener,
    identity: Arc<Identity>,
    done: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let permits = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        let (stream, peer) = tokio::select! {
            // `accept` handles errors of single connections and a lack of file descriptors.
            incoming = axum::serve::Listener::accept(&mut tcp) => incoming,
            () = done.closed() => return,
        };
        let (acceptor, done) = (identity.acceptor(), done.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                // The endpoint may have stopped.
                Ok(Ok(stream)) => drop(done.send((stream, peer)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "TLS handshake timed out"),
            }
            drop(permit);
        });
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        match &mut self.incoming {
            Incoming::Plain(tcp) => {
                let (stream, peer) = axum::serve::Listener::accept(tcp).await;
                (Either::Left(stream), peer)
            }
            Incoming::Tls(ready) => match ready.recv().await {
                Some((stream, peer)) => (Either::Right(stream), peer),
                // The channel closes only with this listener.
                None => std::future::pending().await,
            },
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
