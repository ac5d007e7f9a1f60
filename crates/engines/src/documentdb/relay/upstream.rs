//! The server of a relay: TCP connection and TLS.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::EngineError;
use crate::error::TlsRemedy;
use crate::stream::{self, Stream};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The server of a relay.
#[derive(Clone)]
pub(in crate::documentdb) struct Upstream {
    pub host: String,
    /// See [`crate::Target::address`].
    pub address: Option<IpAddr>,
    pub port: u16,
    /// `None`: plain text.
    pub connector: Option<TlsConnector>,
}

impl Upstream {
    pub(super) async fn connect_in_time(&self) -> Result<Box<dyn Stream>, EngineError> {
        let limit = CONNECT_LIMIT.as_secs();
        match tokio::time::timeout(CONNECT_LIMIT, self.connect()).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("no answer within {limit} seconds"))),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>, EngineError> {
        let io_error = |error: io::Error| self.unreachable(error.to_string());
        let tcp = stream::connect(&self.host, self.address, self.port)
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
                self.no_tls("the server closed the connection and may not support TLS".into())
            }
            // A server that shuts down causes this too, so that the error is retryable.
            _ => self.unreachable(format!(
                "{error} in the TLS handshake; the server may not support TLS"
            )),
        }
    }

    pub(in crate::documentdb) fn unreachable(&self, reason: String) -> EngineError {
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
            remedy: TlsRemedy::Verify,
        }
    }

    fn no_tls(&self, reason: String) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason,
            remedy: TlsRemedy::SwitchOn,
        }
    }
}
