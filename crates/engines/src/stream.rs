//! Connections to servers, as the relays in front of the drivers use them.

use std::io;
use std::net::IpAddr;

#[cfg(any(feature = "mysql", feature = "postgres"))]
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A connection over TCP, a Unix socket or TLS.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to one address of a host, or to the first of its addresses that answers.
///
/// # Errors
/// Errors of the system.
pub(crate) async fn connect(
    host: &str,
    address: Option<IpAddr>,
    port: u16,
) -> io::Result<TcpStream> {
    match address {
        Some(address) => TcpStream::connect((address, port)).await,
        None => TcpStream::connect((host, port)).await,
    }
}

/// Copies exactly `rest` bytes. It holds no more of them than the reader's buffer.
///
/// # Errors
/// Errors of the two sides; [`io::ErrorKind::UnexpectedEof`] if the server sent fewer.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) async fn copy_exact(
    server: &mut BufReader<impl AsyncRead + Unpin>,
    client: &mut (impl AsyncWrite + Unpin),
    mut rest: usize,
) -> io::Result<()> {
    while rest > 0 {
        let buffered = server.fill_buf().await?;
        if buffered.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = buffered.len().min(rest);
        client.write_all(&buffered[..length]).await?;
        server.consume(length);
        rest -= length;
    }
    Ok(())
}
