//! TCP connection to a server, and its TLS.

use std::io;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::Login;
use crate::error::TlsRemedy;
use crate::stream::Stream;
use crate::{EngineError, stream};

/// `SSLRequest` (PostgreSQL manual, "Message Formats").
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

pub(super) async fn connect(login: &Login) -> Result<Box<dyn Stream>, EngineError> {
    let unreachable = |error: io::Error| login.unreachable(error.to_string());
    if login.host.starts_with('/') {
        let path = format!("{}/.s.PGSQL.{}", login.host, login.port);
        let socket = UnixStream::connect(path).await.map_err(unreachable)?;
        return protect(login, socket).await;
    }
    let tcp = stream::connect(&login.host, login.address, login.port)
        .await
        .map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    protect(login, tcp).await
}

async fn protect(
    login: &Login,
    mut plain: impl Stream + 'static,
) -> Result<Box<dyn Stream>, EngineError> {
    let Some(connector) = &login.connector else {
        return Ok(Box::new(plain));
    };
    let asked = async {
        plain.write_all(&TLS_REQUEST).await?;
        plain.read_u8().await
    };
    match asked.await {
        Ok(b'S') => {}
        Ok(b'N') => return Err(login.no_tls()),
        Ok(_) => return Err(login.tls("the server did not answer the request for TLS".into())),
        Err(error) => return Err(login.unreachable(error.to_string())),
    }
    let name = ServerName::try_from(login.host.clone())
        .map_err(|_| login.tls("the host name cannot be in a certificate".into()))?;
    match connector.connect(name, plain).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) if error.get_ref().is_some_and(|e| e.is::<rustls::Error>()) => {
            Err(login.tls(error.to_string()))
        }
        Err(error) => Err(login.unreachable(format!("{error} in the TLS handshake"))),
    }
}

impl Login {
    fn unreachable(&self, reason: String) -> EngineError {
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

    fn no_tls(&self) -> EngineError {
        EngineError::Tls {
            host: self.host.clone(),
            port: self.port,
            reason: "the server does not support TLS".into(),
            remedy: TlsRemedy::SwitchOn,
        }
    }
}
