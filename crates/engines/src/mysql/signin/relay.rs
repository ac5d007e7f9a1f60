//! Relay of a session, with limits for what the server sends.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter,
};
use tokio::net::UnixListener;
use twinkey_core::tasks::{OwnedTask, spawn_connection};

use super::handshake::{SignedInSession, admit};
use super::wire::{ERROR, packet};
use crate::stream::copy_exact;
use crate::{EngineError, local_socket};

/// The longest packet: one of 16 MiB would be continued by the next one, without a limit.
const LONGEST: usize = 0xFF_FFFF - 1;
/// The longest error, which may be logged.
const LONGEST_ERROR: usize = 64 * 1024;
/// All packets between two commands. The driver collects them.
const LONGEST_ANSWER: u64 = 128 * 1024 * 1024;
/// What a packet costs the driver besides its length.
const PACKET_COST: u64 = 128;
const HEADER: usize = 4;
const LOCAL_FILE: u8 = 0xFB;
const END: u8 = 0xFE;
/// An end of rows without a text, and a status. The driver reads a longer one as a number of
/// columns, and reserves memory for these.
const LONGEST_END: usize = 8;
/// Number of an error of this relay. Servers have none above 50,000.
pub(in crate::mysql) const LIMIT_EXCEEDED: u16 = 65_000;

/// A session that waits for the driver. Dropping it before [`Relay::finish`] ends the session.
pub(in crate::mysql) struct Relay {
    /// The path for the driver.
    pub socket: PathBuf,
    task: OwnedTask<()>,
}

impl Relay {
    /// # Errors
    /// [`EngineError::Refused`] without a free file descriptor.
    pub(in crate::mysql) fn start(session: SignedInSession) -> Result<Self, EngineError> {
        let name = local_socket::unique_name();
        let listener = local_socket::listen(&name)?;
        Ok(Self {
            socket: PathBuf::from(format!("\0{name}")),
            task: spawn_connection("sign-in relay", serve(listener, session)),
        })
    }

    /// Leaves the relay to the driver's connection, which ends it.
    pub(in crate::mysql) fn finish(self) {
        drop(self.task.detach());
    }
}

async fn serve(listener: UnixListener, session: SignedInSession) {
    let Some(client) = local_socket::accept_own(listener).await else {
        return;
    };
    let SignedInSession {
        server,
        capabilities,
        number: _,
    } = session;
    // Without its OK, the driver reports an error of the connection.
    let Ok(client) = admit(client, capabilities).await else {
        return;
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = tokio::io::split(server);
    let answer = AtomicU64::new(0);
    // An error ends both connections, which is all that the two sides need.
    tokio::select! {
        _ = send(from_client, to_server, &answer) => {}
        _ = forward(from_server, to_client, &answer) => {}
    }
}

/// Forwards the driver's commands. Each begins a new answer.
async fn send(
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    answer: &AtomicU64,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = client.read(&mut buffer).await?;
        if length == 0 {
            return server.shutdown().await;
        }
        answer.store(0, Ordering::Relaxed);
        server.write_all(&buffer[..length]).await?;
        server.flush().await?;
    }
}

/// Forwards the server's packets. One that exceeds a limit becomes an error for the driver.
pub(super) async fn forward(
    server: impl AsyncRead + Unpin,
    client: impl AsyncWrite + Unpin,
    answer: &AtomicU64,
) -> io::Result<()> {
    let mut server = BufReader::new(server);
    let mut client = BufWriter::new(client);
    loop {
        let mut header = [0; HEADER];
        server.read_exact(&mut header).await?;
        let [a, b, c, _] = header;
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        let kind = if length == 0 {
            0
        } else {
            first(&mut server).await?
        };
        let before = answer.fetch_add(length as u64 + PACKET_COST, Ordering::Relaxed);
        if let Some(reason) = excess(kind, length, before) {
            client.write_all(&error(&reason)).await?;
            return client.flush().await;
        }
        client.write_all(&header).await?;
        copy_exact(&mut server, &mut client, length).await?;
        if server.buffer().len() < HEADER {
            client.flush().await?;
        }
    }
}

/// The first byte of a packet, which is its type.
async fn first(server: &mut BufReader<impl AsyncRead + Unpin>) -> io::Result<u8> {
    let buffered = server.fill_buf().await?;
    buffered
        .first()
        .copied()
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// The reason why a packet is not forwarded. `before`: what the answer had cost.
fn excess(kind: u8, length: usize, before: u64) -> Option<String> {
    let limit = match kind {
        ERROR => LONGEST_ERROR,
        END => LONGEST_END,
        _ => LONGEST,
    };
    if length == 0 || length > limit {
        return Some(format!(
            "the server announced a packet of {length} bytes; the limit is {limit}"
        ));
    }
    if before == 0 && kind == LOCAL_FILE {
        return Some("the server requested a file of this machine (LOCAL INFILE)".into());
    }
    (before + length as u64 > LONGEST_ANSWER).then(|| {
        format!("the server sent more than {LONGEST_ANSWER} bytes in answer to one statement")
    })
}

/// An error packet for the driver, which ends the session.
fn error(reason: &str) -> Vec<u8> {
    let [low, high] = LIMIT_EXCEEDED.to_le_bytes();
    let payload = [&[ERROR, low, high], &b"#TWK01"[..], reason.as_bytes()].concat();
    packet(0, &payload).to_vec()
}
