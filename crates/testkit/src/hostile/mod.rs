//! Hostile database servers: they accept every password, report the identity of another server and
//! any user that signs in, or request too much of a client; and record all bytes that they receive.

mod demand;
mod mongodb;
mod mysql;
mod mysql_demand;
mod postgres;

pub use demand::Demand;
pub use mongodb::{MongodbDemand, nested};
pub use mysql_demand::MysqlDemand;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A running server. Dropping it stops it.
pub struct HostileServer {
    port: u16,
    record: Arc<Record>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Record {
    connections: AtomicUsize,
    received: Mutex<Vec<u8>>,
}

/// A client's connection, whose bytes are recorded.
struct Client {
    stream: Box<dyn Stream>,
    record: Arc<Record>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl HostileServer {
    /// A PostgreSQL server that reports this `system_identifier`.
    pub async fn postgres(identity: &str) -> Self {
        let identity = identity.to_owned();
        Self::start(move |client| postgres::serve(client, identity.clone())).await
    }

    /// A MariaDB server that reports this `server_uid`.
    pub async fn mariadb(identity: &str) -> Self {
        let identity = identity.to_owned();
        Self::start(move |client| mysql::serve(client, identity.clone())).await
    }

    /// A PostgreSQL server with this demand, with TLS if it has a certificate and a key.
    pub async fn demanding(demand: Demand, tls: Option<&(String, String)>) -> Self {
        let tls = tls.map(demand::acceptor);
        Self::start(move |client| demand::serve(client, demand, tls.clone())).await
    }

    /// A MySQL server with this demand, with TLS if it has a certificate and a key.
    pub async fn mysql_demanding(demand: MysqlDemand, tls: Option<&(String, String)>) -> Self {
        let tls = tls.map(demand::acceptor);
        Self::start(move |client| mysql_demand::serve(client, demand, tls.clone())).await
    }

    /// A MongoDB server with this demand, with TLS if it has a certificate and a key.
    pub async fn mongodb(demand: MongodbDemand, tls: Option<&(String, String)>) -> Self {
        let tls = tls.map(demand::acceptor);
        Self::start(move |client| mongodb::serve(client, demand, tls.clone())).await
    }

    /// A MySQL server that refuses each connection with this message.
    pub async fn mysql_error(text: &'static str) -> Self {
        Self::start(move |client| mysql::refuse(client, text)).await
    }

    async fn start<F>(serve: impl Fn(Client) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let record: Arc<Record> = Arc::default();
        let shared = Arc::clone(&record);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let record = Arc::clone(&shared);
                // A client that disconnects ends its task.
                let stream = Box::new(stream);
                tokio::spawn(serve(Client { stream, record }));
            }
        });
        Self { port, record, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        self.record.connections.load(Ordering::SeqCst)
    }

    /// Whether a text is among the received bytes.
    pub fn received(&self, text: &str) -> bool {
        let received = self.record.received.lock();
        let mut windows = received.windows(text.len());
        windows.any(|window| window == text.as_bytes())
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    async fn read(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).await?;
        self.record.received.lock().extend_from_slice(&bytes);
        Ok(bytes)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Continues under TLS. What the client sends in it is recorded in clear.
    async fn protect(self, acceptor: &TlsAcceptor) -> io::Result<Self> {
        Ok(Self {
            stream: Box::new(acceptor.accept(self.stream).await?),
            record: self.record,
        })
    }
}

/// The bytes before the next NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}
